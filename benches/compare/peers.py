"""The cases beside proxies that check what wicketgate checks, and beside Caddy."""

import sys

from caddy import Caddy
from cases import MICROSECONDS, Bench
from envoy import Envoy
from generator import Request
from measure import interleave
from report import Row, compared, row
from tokens import new_tokens
from workspace import program


def peers(bench: Bench) -> list[Row]:
    sides = {"wicketgate": bench.gateway()}
    if executable := program("envoy"):
        jwks = bench.workspace.ask(f"{bench.gateway().base}/.well-known/jwks.json")[1].decode()
        sides["Envoy"] = Envoy(bench.workspace, bench.backend, bench.credentials, executable, jwks)
    if program("caddy"):
        asked = bench.gateway_with("wicketgate behind Caddy", decides=bench.workspace.port())
        sides["Caddy"] = Caddy(bench.workspace, bench.backend)
        sides["Caddy + forward_auth"] = Caddy(bench.workspace, bench.backend, asked)
    if len(sides) < 4:
        print("    Envoy or Caddy is missing (benches/install)", file=sys.stderr)
    request = Request("/full/x", bench.headers())
    slots = {name: lambda side=side: bench.wrk(side, request) for name, side in sides.items()}
    series = interleave(slots, bench.rounds)
    rows = []
    for name in list(sides)[1:]:
        case = f"o: full checks beside {name}"
        found = [row(case, side, MICROSECONDS, series[side]) for side in ("wicketgate", name)]
        compared(found[0], series["wicketgate"].ratios(series[name]), name)
        rows += found
    if "Envoy" in sides:
        rows += new_beside_envoy(bench, sides["Envoy"])
    for side in list(sides.values())[1:]:
        bench.end(side)
    return rows


def new_beside_envoy(bench: Bench, envoy: Envoy) -> list[Row]:
    """Case c beside Envoy: it checks signature, `alg`, `iss`, `aud`, `exp` and the API key."""
    rows = []
    for algorithm in ("RS256", "ES256"):
        slots = {side.name: new_tokens(bench, side, algorithm) for side in (bench.gateway(), envoy)}
        series = interleave(slots, bench.fewer())
        found = [row(f"o: new {algorithm} tokens beside Envoy", name, MICROSECONDS, series[name]) for name in slots]
        compared(found[0], series["wicketgate"].ratios(series["Envoy"]), "Envoy")
        rows += found
    return rows
