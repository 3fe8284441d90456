"""The cases again with the build that was optimised by how it runs (`make release-pgo`), where there is one."""

import sys

from cases import MICROSECONDS, Bench
from gateway import Gateway
from generator import Request
from measure import interleave
from report import Row, compared, row
from tokens import verified_anew
from workspace import REPOSITORY

PROGRAM = REPOSITORY / "target" / "release-pgo" / "wicketgate"


def optimised(bench: Bench) -> list[Row]:
    if not PROGRAM.exists():
        print(f"    left out: {PROGRAM.relative_to(REPOSITORY)} is missing (make release-pgo)", file=sys.stderr)
        return []
    gateway = bench.gateway_with("wicketgate PGO", program=PROGRAM)
    rows = []
    for name, path, limit in (("a: full checks", "/full/x", 0.75), ("e: route without checks", "/plain/x", None)):
        rows += beside_nginx(bench, gateway, name, path, limit)
    rows += verified_anew(bench, gateway, "RS256", 0.75, "PGO build, c")
    bench.end(gateway)
    return rows


def beside_nginx(bench: Bench, gateway: Gateway, name: str, path: str, limit: float | None) -> list[Row]:
    headers = gateway.headers() if path == "/full/x" else {}
    others = bench.headers() if path == "/full/x" else {}
    slots = {
        "wicketgate": lambda: bench.wrk(gateway, Request(path, headers)),
        "nginx": lambda: bench.wrk(bench.nginx(), Request(path, others)),
    }
    series = interleave(slots, bench.rounds)
    found = [row(f"PGO build, {name}", side, MICROSECONDS, series[side]) for side in slots]
    compared(found[0], series["wicketgate"].ratios(series["nginx"]), "nginx", limit)
    return found
