"""The case about many cores: whether a request costs more where two workers serve."""

import sys

from cases import MICROSECONDS, Bench
from generator import Request
from measure import interleave
from nginx import Proxy
from process import LOAD_CORES, SIDE_CORES
from report import Row, compared, row


def two_workers(bench: Bench) -> list[Row]:
    """CPU per request with two workers beside one; nginx, whose workers share nothing, shows what the machine adds.

    On two cores the load needs one of them, so that the throughput of two workers cannot be measured here. Two workers
    serve 2 / RATIO times what one serves, as long as none waits for the other: 1.9 times with a ratio of 1.05.
    """
    if SIDE_CORES == LOAD_CORES:
        print("    left out: there is only one core", file=sys.stderr)
        return []
    cores = SIDE_CORES | set(sorted(LOAD_CORES)[:1])
    headers, rows = bench.headers(), []
    for name in ("wicketgate", "nginx"):
        sides = {}
        for workers, words in ((1, "one worker"), (2, "two workers")):
            if name == "wicketgate":
                side = bench.gateway_with(f"wicketgate, {words}", workers=workers, cores=cores)
                request = Request("/full/x", side.headers())
            else:
                side = Proxy(bench.workspace, bench.backend, workers=workers, cores=cores)
                request = Request("/full/x", headers)
            sides[words] = (side, request)
        slots = {words: lambda pair=pair: bench.wrk(*pair) for words, pair in sides.items()}
        series = interleave(slots, bench.rounds)
        found = [row(f"m: {words}", name, MICROSECONDS, series[words]) for words in slots]
        limit = 2 / 1.9 if name == "wicketgate" else None
        compared(found[1], series["two workers"].ratios(series["one worker"]), "one worker", limit)
        rows += found
        for side, _ in sides.values():
            bench.end(side)
    return rows
