"""callgrind: instructions of a program, by function."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from process import Failure
from workspace import REPOSITORY

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
    """A file of callgrind: what each function did itself, without what it called. Code that was inlined from another file
    counts for that file: `FUNCTION in FILE`."""
    functions, files = Names(plain), Names(source)
    costs: Counter = Counter()
    function, home, here, is_call = "", "", "", False
    with file.open() as lines:
        for line in lines:
            match line[:3]:
                case "fl=":
                    home = here = files.read(line[3:])
                case "fi=" | "fe=":
                    here = files.read(line[3:])
                case "fn=":
                    function, here = functions.read(line[3:]), home
                case "cfn":
                    functions.read(line[4:])
                case "cfi" | "cfl":
                    files.read(line[4:])
                case "cal":
                    is_call = True
                case _ if line[0] in "0123456789+-*":
                    if not is_call:
                        costs[function if here == home else f"{function} in {here}"] += int(line.split()[1])
                    is_call = False
    return Profile(costs)


class Names:
    """Names that a file of callgrind writes out once: `(NUMBER) NAME`, and then `(NUMBER)`."""

    def __init__(self, shortened: Callable[[str], str]):
        self._shortened = shortened
        self._known: dict[str, str] = {}

    def read(self, text: str) -> str:
        number, _, name = text.rstrip().partition(" ")
        return self._known.setdefault(number, self._shortened(name))


def plain(name: str) -> str:
    """The name of a function without what differs from build to build."""
    return re.sub(r"::h[0-9a-f]{16}|'\d+$|\.llvm\.\d+", "", name)


def source(path: str) -> str:
    """The path of a source file from its crate on: `src/gateway.rs`, `hyper/src/proto/h1/io.rs`, `core/src/ptr/mod.rs`; of any
    other file its name. Nothing of the machine is in it."""
    if built := re.search(r"/build/([\w-]+)-[0-9a-f]{16}/out/(?:build/)?(.*)$", path):
        return f"{built[1]}/{built[2]}"
    found = re.search(r"(?:registry/src/[^/]+/|library/)(.*)$", path)
    if found:
        return re.sub(r"^([\w-]+?)-\d+\.\d[^/]*/", r"\1/", found[1])
    own = path.removeprefix(f"{REPOSITORY}/")
    return Path(own).name if own.startswith("/") else own
