"""The cases about growth: whether a request costs more where there is more to look through."""

from collections.abc import Callable

from cases import MICROSECONDS, Bench
from credentials import numbered_key
from generator import Request
from measure import Sample, interleave
from report import Row, compared, row
from tokens import issued, new_tokens


def growth(bench: Bench) -> list[Row]:
    return callers(bench) + routes(bench) + sessions(bench) + revocations(bench) + keys(bench)


def callers(bench: Bench) -> list[Row]:
    """Of so many clients and API keys, the last ones call."""
    sides = {}
    for count in (10, 1_000, 100_000):
        gateway = bench.gateway_with(f"{count:,} clients and API keys", seconds=300, callers=count)
        last = count - 1
        headers = gateway.headers(api_key=numbered_key(last)[0], client=f"client{last}")
        sides[f"{count:,}"] = (gateway, Request("/full/x", headers))
    return measured(bench, "j: clients and API keys", sides)


def routes(bench: Bench) -> list[Row]:
    sides = {}
    for count in (10, 1_000):
        gateway = bench.gateway_with(f"{count:,} routes", routes=count)
        sides[f"{count:,}"] = (gateway, Request(f"/more{count - 1}/x", gateway.headers()))
    return measured(bench, "j: routes", sides)


def sessions(bench: Bench) -> list[Row]:
    """Of so many sessions, ten thousand call in turn (or all)."""
    sides = {}
    for count in (1_000, 1_000_000):
        gateway = bench.gateway_with(f"{count:,} sessions", seconds=300, sessions=count)
        gateway.wait_for_cookies()
        headers = gateway.headers(session=True)
        del headers["Cookie"]
        sides[f"{count:,}"] = (gateway, Request("/session/x", headers), turns(gateway))
    return measured(bench, "j: live sessions", sides)


def revocations(bench: Bench) -> list[Row]:
    """So many customers' tokens are revoked; the caller's are not."""
    sides = {}
    for count in (1_000, 1_000_000):
        gateway = bench.gateway_with(f"{count:,} revocations", revocations=count)
        gateway.wait_for_cookies(300)
        sides[f"{count:,}"] = (gateway, Request("/full/x", gateway.headers()))
    return measured(bench, "j: revocations", sides)


def keys(bench: Bench) -> list[Row]:
    """So many keys of a trusted issuer, of which the last one signs: the same token again, and new ones."""
    sides, gateways = {}, {}
    token = issued(bench, "ES256", 1).read_text().split()[0]
    request = Request("/cold/x", {"api-key": bench.credentials.api_key, "customer-auth": f"JWT {token}"})
    for count in (2, 1_000):
        gateways[f"{count:,}"] = bench.gateway_with(f"{count:,} trusted keys", trusted_keys=count)
        sides[f"{count:,}"] = (gateways[f"{count:,}"], request)
    slots = {name: new_tokens(bench, gateway, "ES256") for name, gateway in gateways.items()}
    rows = grown(bench, "j: trusted keys, new ES256 tokens", slots)
    return rows + measured(bench, "j: trusted keys", sides)


def turns(gateway) -> str:
    """A script for wrk: another cookie with each request."""
    return f"""
local cookies, turn = {{}}, 0
for line in io.lines("{gateway.cookies}") do cookies[#cookies + 1] = line end
request = function()
  turn = turn % #cookies + 1
  wrk.headers["Cookie"] = cookies[turn]
  return wrk.format()
end
"""


def measured(bench: Bench, case: str, sides: dict) -> list[Row]:
    rows = grown(bench, case, {name: lambda side=side: bench.wrk(*side) for name, side in sides.items()})
    for gateway, *_ in sides.values():
        bench.end(gateway)
    return rows


def grown(bench: Bench, case: str, slots: dict[str, Callable[[], Sample]]) -> list[Row]:
    """The last of these beside the first."""
    series = interleave(slots, bench.rounds)
    first, last = list(slots)[0], list(slots)[-1]
    rows = [row(f"{case}: {name}", "wicketgate", MICROSECONDS, series[name]) for name in slots]
    compared(rows[-1], series[last].ratios(series[first]), first, 1.10)
    return rows
