"""A configuration with many routes, API keys and clients, to see what start, check and reload cost:

    python3 benches/large.py /tmp/large --routes 10000 --keys 100000 --clients 20000
    time target/release/wicketgate check --config /tmp/large/gateway.yaml

The directory is made where it is missing; what is in it stays, but for gateway.yaml. `--keys-from` lets the numbers of
API keys begin elsewhere, which gives other keys. The key of number N is `wgk_large_N`.
"""

import argparse
import hashlib
import subprocess
from pathlib import Path

# The secret is: demo-secret-change-me
HASH = "$argon2id$v=19$m=19456,t=2,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbjnN5ppPPge/imsBhjMuT0TvZQsQBKV5Ro6RxC5tk"


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def certificates(path: Path) -> None:
    """Whatever keys and certificates are missing."""
    (path / "signing").mkdir(parents=True, exist_ok=True)
    files = [path / "server.pem", path / "server.key", path / "signing" / "20260101T000000Z-es256.pem"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    if not files[0].exists():
        name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        openssl("req", "-x509", *curve, *name, "-days", "30", "-keyout", str(files[1]), "-out", str(files[0]))
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(files[2]))
    for file in path.rglob("*"):
        if file.is_file():
            file.chmod(0o600)


def configuration(options: argparse.Namespace) -> str:
    lines = [
        f"listen: [{{address: '127.0.0.1:{options.port}', tls: {{certificates: "
        "[{certificate: certs/server.pem, private_key: certs/server.key}]}}]",
        f"admin: {{address: '127.0.0.1:{options.port + 1}'}}",
        "log: {access: off}",
        "issuer: {url: 'https://localhost', audience: legacy-api, signing_keys: certs/signing/}",
        "access_token: {}",
        "state: {embedded: {path: data/}}",
        "clients:",
    ]
    for number in range(options.clients):
        lines += [f"  - id: client{number}", f"    secrets: [\"{HASH}\"]", "    scopes: [profile, orders]"]
    lines.append("api_keys:")
    for number in range(options.keys_from, options.keys_from + options.keys):
        digest = hashlib.sha256(f"wgk_large_{number}".encode()).hexdigest()
        routes = ", ".join(f"route{(number + step) % options.routes}" for step in (0, 1))
        lines += [f"  - id: key{number}", f"    sha256: [\"{digest}\"]", f"    routes: [{routes}]"]
        if number % 2:
            lines.append(f"    client: client{number % options.clients}")
    lines.append("routes:")
    for number in range(options.routes):
        lines += [f"  - name: route{number}", f"    path: /r{number}/", "    methods: [GET, POST]"]
        lines += ["    require: [api_key]", f"    backend: backend{number % options.backends}"]
        if number % 10 == 0:
            lines.append(f"    hosts: [host{number}.example.com]")
    lines.append("backends:")
    for number in range(options.backends):
        lines.append(f"  backend{number}: {{servers: ['http://127.0.0.1:{options.backend_port}']}}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    for name, usual in [("routes", 10_000), ("keys", 100_000), ("keys-from", 0), ("clients", 20_000)]:
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--backends", type=int, default=200)
    parser.add_argument("--port", type=int, default=24443)
    parser.add_argument("--backend-port", type=int, default=24900)
    options = parser.parse_args()
    certificates(options.directory / "certs")
    # As a deployment does it: a new file in the place of the old one.
    new = options.directory / "gateway.yaml.new"
    new.write_text(configuration(options))
    new.rename(options.directory / "gateway.yaml")


if __name__ == "__main__":
    main()
