"""A program that runs beside the comparison: started, watched, measured and always stopped."""

import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path


class Failure(Exception):
    """The comparison cannot go on; the message says why and what to do."""


def split_cores() -> tuple[set[int], set[int]]:
    """One core for the side that is measured, the others for the load and the backend; all for both on one core."""
    cores = sorted(os.sched_getaffinity(0))
    return (set(cores[:1]), set(cores[1:])) if len(cores) > 1 else (set(cores), set(cores))


SIDE_CORES, LOAD_CORES = split_cores()

# As many files as we may have: what is started inherits it.
OPEN_FILES = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65_536)
resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class Process:
    """A running program, with the processes that it starts itself."""

    def __init__(
        self, name: str, command: list, log: Path, cores: set[int] = LOAD_CORES, stdout=None, stdin=None, env=None
    ):
        self.name, self.log = name, log
        self._errors = log.open("ab")
        try:
            self.started = time.monotonic()
            self.popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or self._errors,
                stderr=self._errors,
                env=env,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        except OSError as error:
            raise Failure(f"{name}: cannot run {command[0]}: {error}") from error

    def pids(self) -> list[int]:
        """The process and all below it."""
        found = [self.popen.pid]
        for pid in found:
            try:
                tasks = list(Path(f"/proc/{pid}/task").iterdir())
                found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
            except OSError:
                continue
        return found

    def cpu_ns(self) -> int:
        """The CPU time of all threads until now, in nanoseconds, also of those that have ended."""
        total = 0
        for pid in self.pids():
            try:
                # The number of a process's own clock, as clock_getcpuclockid(3) gives it.
                total += time.clock_gettime_ns(~pid << 3 | 2)
            except OSError:
                continue
        return total

    def rss_kb(self) -> int:
        """The resident memory of all processes, in kB."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        return total

    def open_files(self) -> int:
        """How many files and sockets all processes have open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids())

    def wait_for_port(self, port: int, seconds: float = 30) -> None:
        """Waits until something listens there."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                raise self.failure(f"ended with code {self.popen.returncode} instead of listening")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        raise self.failure(f"did not listen on port {port} within {seconds:.0f} s")

    def failure(self, what: str) -> Failure:
        """What went wrong with it, with the end of its error log."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        tail = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
        return Failure(f"{self.name}: {what}\n  the end of its error log:\n{tail}")

    def stop(self) -> None:
        """Ends it, by force after five seconds."""
        pids = self.pids()
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                for pid in pids:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                self.popen.wait()
        self._errors.close()
