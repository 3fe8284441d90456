"""What sends requests: wrk, h2load and our own `load`. An answer that is not 2xx and a lost connection are failures."""

import json
import os
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field

from process import LOAD_CORES, Failure
from workspace import Workspace


@dataclass
class Request:
    """What is asked for, again and again."""

    path: str
    headers: dict = field(default_factory=dict)
    body: str | None = None
    connections: int = 64


class Generator:
    """A running generator; `finish` waits for it, and fails where an answer was not as it should be."""

    def __init__(self, workspace: Workspace, side, command: list, stdin=None):
        self.side = side
        # A file, so that nothing waits for us to read.
        self._output = tempfile.TemporaryFile(dir=workspace.path)
        words = [str(word) for word in command]
        self.popen = subprocess.Popen(
            words,
            stdin=stdin or subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORES),
        )

    def finish(self, seconds: float = 120) -> str:
        """What it printed."""
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise self.failure("its load generator did not come to an end") from None
        finally:
            self.kill()
        if self.popen.returncode:
            raise self.failure(f"its load generator ended with code {self.popen.returncode}")
        return self.printed()

    def printed(self) -> str:
        """What it has printed so far."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def kill(self) -> None:
        """Ends it without any ado."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()

    def failure(self, what: str) -> Failure:
        """What went wrong with the side, with what the generator said."""
        return self.side.process.failure(f"{what}\n{self.printed().strip()}")


class Wrk(Generator):
    """HTTP/1.1 over TLS until it is told to stop."""

    def __init__(self, workspace: Workspace, side, request: Request, script: str = ""):
        lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in request.headers.items()]
        if request.body is not None:
            body = workspace.write(f"body-{len(request.body)}.json", request.body)
            lines += ['wrk.method = "POST"', f'wrk.body = io.open("{body}"):read("*a")']
            lines.append('wrk.headers["content-type"] = "application/json"')
        file = workspace.write("wrk.lua", "\n".join(lines) + "\n" + script)
        command = ["wrk", "-t1", f"-c{request.connections}", "-d600s", "--timeout", "30s", "-s", file]
        super().__init__(workspace, side, [*command, side.base + request.path])

    def finish(self, seconds: float = 30) -> str:
        self.popen.send_signal(signal.SIGINT)
        printed = super().finish(seconds)
        if "Non-2xx" in printed or "Socket errors" in printed or not re.search(r"[1-9]\d* requests in", printed):
            raise self.failure("not all requests were answered with 2xx")
        return printed


# On each connection of HTTP/2.
STREAMS = 32


class H2load(Generator):
    """HTTP/2 over TLS, for a time or for a number of requests: 32 streams on each connection."""

    def __init__(
        self, workspace: Workspace, side, request: Request, seconds: float | None = None, requests: int | None = None
    ):
        headers = [f"-H{name.lower()}: {value}" for name, value in request.headers.items()]
        until = f"-D{seconds:.0f}" if requests is None else f"-n{requests}"
        command = ["h2load", f"-c{request.connections}", f"-m{STREAMS}", until, *headers]
        super().__init__(workspace, side, [*command, side.base + request.path])

    def finish(self, seconds: float = 60) -> str:
        printed = super().finish(seconds)
        codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", printed)
        outcome = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", printed)
        if not codes or not outcome or any(map(int, codes.groups()[1:] + outcome.groups())) or codes[1] == "0":
            raise self.failure("not all requests were answered with 2xx")
        return printed


class Load(Generator):
    """Our own generator; its answer is one line of JSON."""

    def __init__(self, workspace: Workspace, side, command: str, request: Request, stdin=None, **options):
        headers = workspace.write("load.headers", "".join(f"{key}: {value}\n" for key, value in request.headers.items()))
        words = [workspace.load, command, "--url", side.base + request.path, "--ca", workspace.ca, "--headers", headers]
        if request.body is not None:
            words += ["--method", "POST", "--body", workspace.write("load.body", request.body)]
        for option, value in options.items():
            words += [f"--{option.replace('_', '-')}"] + ([] if value is True else [value])
        super().__init__(workspace, side, words, stdin)

    def finish(self, seconds: float = 120) -> dict:
        answer = json.loads(super().finish(seconds).splitlines()[-1])
        if answer.get("errors") or answer.get("not_2xx"):
            raise self.failure("not all requests were answered with 2xx")
        return answer
