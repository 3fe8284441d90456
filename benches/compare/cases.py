"""The cases on connections that are already open: each is a few requests, measured side by side."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from gateway import Gateway
from generator import H2load, Request, Wrk
from haproxy import Haproxy
from measure import SETTLE, Sample, interleave, per_request
from nginx import SIZES, Backend, Proxy
from process import SIDE_CORES
from report import Row, compared, row
from credentials import Credentials
from workspace import Workspace

MICROSECONDS = "us CPU/request"


@dataclass
class Bench:
    """What all cases share: the sides, and how long to measure."""

    workspace: Workspace
    rounds: int
    seconds: float
    full: bool

    def __post_init__(self):
        self.backend = Backend(self.workspace)
        self.credentials = Credentials(self.workspace)
        self._sides: dict[str, object] = {}

    # Sides are started by the first case that needs them.

    def gateway(self, log: bool = False) -> Gateway:
        name = "wicketgate with log" if log else "wicketgate"
        return self._side(name, lambda: Gateway(*self._common(), name=name, log=log).wait())

    def nginx(self, log: bool = False) -> Proxy:
        name = "nginx with log" if log else "nginx"
        return self._side(name, lambda: Proxy(self.workspace, self.backend, log, cores=SIDE_CORES))

    def haproxy(self) -> Haproxy:
        return self._side("HAProxy", lambda: Haproxy(*self._common(), cores=SIDE_CORES))

    def headers(self, session: bool = False) -> dict:
        """The credentials of a call; the same ones go to every side."""
        key = f"headers {session}"
        return self._side(key, lambda: self.gateway().headers(session))

    def headers_of(self, side) -> dict:
        """Credentials that this side takes: its own where it is a gateway."""
        return side.headers() if isinstance(side, Gateway) else self.headers()

    def fresh_sides(self) -> Iterator:
        """One of each, just started, one after the other; `end` them."""
        yield Gateway(*self._common()).wait()
        yield Proxy(self.workspace, self.backend, cores=SIDE_CORES)
        yield Haproxy(*self._common(), cores=SIDE_CORES)

    def gateway_with(self, name: str, seconds: float = 30, **choices) -> Gateway:
        """One that is set up in another way; `end` it."""
        return Gateway(*self._common(), name=name, **choices).wait(seconds)

    def end(self, side) -> None:
        side.process.stop()

    def _common(self) -> tuple:
        return self.workspace, self.backend, self.credentials

    def _side(self, name: str, make):
        if name not in self._sides:
            self._sides[name] = make()
        return self._sides[name]

    def wrk(self, side, request: Request, script: str = "") -> Sample:
        """One window under wrk."""
        return per_request(side, self.backend, Wrk(self.workspace, side, request, script), self.seconds)

    def h2load(self, side, request: Request) -> Sample:
        """One window under h2load, which takes whole seconds only."""
        whole = int(SETTLE + self.seconds + 1)
        return per_request(side, self.backend, H2load(self.workspace, side, request, whole), self.seconds)

    def fewer(self) -> int:
        """The rounds of a case that has no target to keep."""
        return min(3, self.rounds) if self.full else max(1, self.rounds - 2)


def pair(bench: Bench, case: str, request: Request, limit: float | None, rounds: int) -> list[Row]:
    """The gateway against nginx with the same request."""
    sides = [bench.gateway(), bench.nginx()]
    series = interleave({side.name: lambda side=side: bench.wrk(side, request) for side in sides}, rounds)
    ours, theirs = series.values()
    rows = [row(case, side.name, MICROSECONDS, series[side.name]) for side in sides]
    compared(rows[0], ours.ratios(theirs), "nginx", limit)
    return rows


def full_checks(bench: Bench) -> list[Row]:
    return pair(bench, "a: full checks", Request("/full/x", bench.headers()), 0.85, bench.rounds)


def with_log(bench: Bench) -> list[Row]:
    """Both write a line per request to a file."""
    gateway, request = bench.gateway(log=True), Request("/full/x", bench.headers())
    own = Request("/full/x", gateway.headers())
    slots = {
        "wicketgate": lambda: bench.wrk(gateway, own),
        "nginx": lambda: bench.wrk(bench.nginx(log=True), request),
    }
    series = interleave(slots, bench.rounds)
    rows = [row("a-log: with access log", name, MICROSECONDS, series[name]) for name in slots]
    compared(rows[0], series["wicketgate"].ratios(series["nginx"]), "nginx", 0.90)
    return rows


def json_body(size: int) -> str:
    """A JSON object of this many bytes; the identifier goes to /customer/id."""
    start = json.dumps({"customer": {"name": "Ada"}, "items": []})[:-2]
    items = ", ".join(json.dumps({"id": number, "text": "x" * 40}) for number in range(size // 68))
    text = f"{start}{items}]}}"
    return text + " " * (size - len(text))


def body(bench: Bench) -> list[Row]:
    """The identifier is put into the body; nginx passes the same body on as it is."""
    headers = bench.headers()
    rows = []
    for name, size, reference, limit in (
        ("1 KiB", 1 << 10, "wicketgate (a)", 1.10),
        ("100 KiB", 100 << 10, "nginx", 1.20),
    ):
        request = Request("/body/x", headers, json_body(size))
        slots = {
            "wicketgate": lambda: bench.wrk(bench.gateway(), request),
            "nginx": lambda: bench.wrk(bench.nginx(), request),
        }
        if reference not in slots:
            slots[reference] = lambda: bench.wrk(bench.gateway(), Request("/full/x", headers))
        series = interleave(slots, bench.rounds)
        case = f"b: identifier in a {name} body"
        found = [row(case, side, MICROSECONDS, series[side]) for side in slots]
        compared(found[0], series["wicketgate"].ratios(series[reference]), reference, limit)
        if reference != "nginx":
            compared(found[1], series["nginx"].ratios(series["wicketgate"]), "wicketgate")
        rows += found
    return rows


def session(bench: Bench) -> list[Row]:
    request = Request("/session/x", bench.headers(session=True))
    return pair(bench, "d: session cookie", request, None, bench.fewer())


def plain(bench: Bench) -> list[Row]:
    return pair(bench, "e: route without checks", Request("/plain/x"), 0.85, bench.rounds)


def http2(bench: Bench) -> list[Row]:
    request = Request("/full/x", bench.headers(), connections=16)
    sides = [bench.gateway(), bench.haproxy(), bench.nginx()]
    series = interleave({side.name: lambda side=side: bench.h2load(side, request) for side in sides}, bench.rounds)
    rows = [row("f: HTTP/2, full checks", side.name, MICROSECONDS, series[side.name]) for side in sides]
    compared(rows[0], series["wicketgate"].ratios(series["HAProxy"]), "HAProxy", 0.95)
    compared(rows[2], series["nginx"].ratios(series["HAProxy"]), "HAProxy")
    return rows


def large(bench: Bench) -> list[Row]:
    """CPU per megabyte (a million bytes) of answers."""
    rows = []
    for name, size in SIZES.items():
        connections = 16 if size < 1 << 20 else 4
        request = Request(f"/files/{name}", connections=connections)
        sides = [bench.gateway(), bench.nginx(), bench.haproxy()]
        slots = {side.name: lambda side=side: bench.wrk(side, request) for side in sides}
        series = interleave(slots, bench.fewer())
        scale = 1e6 / size
        found = [row(f"i: answers of {name}", side.name, "us CPU/MB", series[side.name], scale) for side in sides]
        compared(found[0], series["wicketgate"].ratios(series["nginx"]), "nginx")
        compared(found[2], series["HAProxy"].ratios(series["nginx"]), "nginx")
        rows += found
    return rows
