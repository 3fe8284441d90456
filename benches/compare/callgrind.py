"""callgrind: instructions of a program, by function."""

import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from process import Failure

# Copies of the same length are to cost the same on every processor: glibc chooses by the size of its caches.
THRESHOLDS = ("x86_rep_movsb_threshold", "x86_rep_stosb_threshold", "x86_non_temporal_threshold")
ENVIRONMENT = {"GLIBC_TUNABLES": ":".join(f"glibc.cpu.{name}=0x10000000" for name in THRESHOLDS)}

# What the assembler of the cryptographic library chooses by: with other features the counts are others.
FEATURES = {"adx", "aes", "avx2", "bmi1", "bmi2", "pclmulqdq", "sse4_2", "ssse3"}


@dataclass
class Profile:
    """Instructions by function, of one thread or of the difference of two runs."""

    functions: Counter

    @property
    def total(self) -> int:
        return sum(self.functions.values())

    def __sub__(self, other: "Profile") -> "Profile":
        difference = Counter(self.functions)
        difference.subtract(other.functions)
        return Profile(difference)

    def per(self, times: int) -> "Profile":
        """The same for one of so many requests."""
        return Profile(Counter({name: count / times for name, count in self.functions.items()}))


def command(program: Path, out: Path) -> list:
    """What runs a program and leaves one file per thread."""
    if not shutil.which("valgrind"):
        raise Failure("valgrind is not installed: benches/install installs it")
    return ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}", program]


def missing_features() -> set[str]:
    """Features of the processor that the budget was counted with and that this one does not have."""
    found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return FEATURES - set(found[1].split()) if found else FEATURES


def environment() -> dict:
    return os.environ | ENVIRONMENT


def worker(out: Path) -> Profile:
    """The thread that answers requests: the one with the function that serves connections."""
    profiles = [read(file) for file in sorted(out.parent.glob(f"{out.name}-*"))]
    workers = [profile for profile in profiles if any("server::worker::serve" in name for name in profile.functions)]
    if not workers:
        raise Failure(f"no thread in {out} served a connection: is the program built with debug information?")
    return max(workers, key=lambda profile: profile.total)


def read(file: Path) -> Profile:
    """A file of callgrind: what each function did itself, without what it called."""
    names: dict[str, str] = {}
    functions: Counter = Counter()
    current, is_call = "", False
    with file.open() as lines:
        for line in lines:
            first = line[0]
            if first == "f" and line.startswith("fn="):
                number, _, name = line[3:].rstrip().partition(" ")
                current = names.setdefault(number, plain(name))
            elif first == "c" and line.startswith("cfn="):
                number, _, name = line[4:].rstrip().partition(" ")
                names.setdefault(number, plain(name))
            elif first == "c" and line.startswith("calls="):
                is_call = True
            elif first in "0123456789+-*":
                if not is_call:
                    functions[current] += int(line.split()[1])
                is_call = False
    return Profile(functions)


def plain(name: str) -> str:
    """The name of a function without what differs from build to build."""
    return re.sub(r"::h[0-9a-f]{16}|'\d+$|\.llvm\.\d+", "", name)
