"""Compares wicketgate with nginx and HAProxy on this machine: `make bench`, `make bench-full`."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import cases
import connections
import cores
import growth
import optimised
import peers
import readme
import report
import tokens
from picture import picture
from process import LOAD_CORES, Failure
from workspace import REPOSITORY, Workspace

CASES = {
    "a": cases.full_checks,
    "a-log": cases.with_log,
    "b": cases.body,
    "c": tokens.cold,
    "d": cases.session,
    "e": cases.plain,
    "f": cases.http2,
    "g": connections.handshakes,
    "h": tokens.token_endpoint,
    "i": cases.large,
    "j": growth.growth,
    "k": connections.memory,
    "l": connections.latency,
    "m": cores.two_workers,
    "n": connections.crowd,
    "o": peers.peers,
    "start": connections.start,
    "pgo": optimised.optimised,
}
# A million sessions and a hundred thousand clients take their time, and so do ten thousand connections.
FULL_ONLY = {"i", "j", "m", "n", "o", "pgo"}
# What a build is optimised for that is optimised by how it runs.
TRAINING = ["a", "a-log", "b", "c", "d", "e", "f", "g"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/compare", description=__doc__)
    parser.add_argument("--full", action="store_true", help="longer, all cases, and docs/benchmarks.* are written")
    parser.add_argument("--train", action="store_true", help="only load, for the profile of scripts/build-pgo")
    parser.add_argument("--case", help=f"only these, with commas between them: {','.join(CASES)}")
    parser.add_argument("--rounds", type=int, help="how often each side is measured; default: 3, with --full 7")
    parser.add_argument("--seconds", type=float, help="how long each time; default: 0.4, with --full 1")
    release = REPOSITORY / "target" / "release"
    parser.add_argument("--gateway", type=Path, default=release / "wicketgate", help="another wicketgate")
    parser.add_argument("--load", type=Path, default=release / "examples" / "load", help="another load generator")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    wanted = [name for name in CASES if options.full or name not in FULL_ONLY]
    if options.train:
        wanted, options.rounds = TRAINING, 1
    if options.case:
        wanted = options.case.split(",")
    unknown = [name for name in wanted if name not in CASES]
    if unknown:
        raise Failure(f"there is no case {', '.join(unknown)}: there are {', '.join(CASES)}")
    rounds = options.rounds or (7 if options.full else 3)
    seconds = options.seconds or (1.0 if options.full else 0.4)
    # The sides get a core of their own; all else, this program too, stays off it.
    os.sched_setaffinity(0, LOAD_CORES)
    rows, begun = [], time.monotonic()
    with Workspace(options.gateway.resolve(), options.load.resolve()) as workspace:
        bench = cases.Bench(workspace, rounds, seconds, options.full)
        for name in wanted:
            case_begun = time.monotonic()
            rows += CASES[name](bench)
            print(f"{time.monotonic() - case_begun:5.0f} s  case {name}", file=sys.stderr, flush=True)
    print(report.text_table(rows))
    command = "make bench-full" if options.full else "make bench"
    facts = report.facts(options.gateway, command, rounds, seconds)
    kept = REPOSITORY / "docs" if options.full and not options.case else REPOSITORY / "target" / "bench"
    report.put_between_markers(kept / "benchmarks.md", report.markdown(rows, facts))
    (kept / "benchmarks.svg").write_text(picture(rows))
    if kept.name == "docs":
        report.put_between_markers(REPOSITORY / "README.md", readme.table(rows))
    print(f"{time.monotonic() - begun:.0f} s; see {kept.relative_to(REPOSITORY)}/benchmarks.md", file=sys.stderr)


def stop(*_) -> None:
    """Ends as Ctrl-C does: what was started is stopped."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        main()
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
