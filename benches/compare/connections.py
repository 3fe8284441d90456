"""The cases about connections: what opening, holding and waiting on them costs."""

import json
import socket
import ssl
import statistics
import subprocess
import time

from cases import MICROSECONDS, Bench
from gateway import Gateway
from generator import Load, Request, Wrk
from measure import Sample, Series, interleave, whole_run
from process import OPEN_FILES
from report import Row, compared, limited, row


def handshakes(bench: Bench) -> list[Row]:
    """New TLS connections with one request each, and the same with resumed sessions."""
    rows = []
    count = 4_000 if bench.full else 1_000
    sides = [bench.gateway(), bench.nginx(), bench.haproxy()]
    for name, resume, limit in (("full", False, 1 / 1.5), ("resumed", True, None)):
        options = {"resume": True} if resume else {}

        def run(side) -> Sample:
            load = Load(bench.workspace, side, "handshakes", Request("/plain/x"), count=count, **options)
            return whole_run(side, load, count)

        slots = {side.name: lambda side=side: run(side) for side in sides}
        series = interleave(slots, bench.fewer())
        found = [row(f"g: TLS handshakes, {name}", side.name, "us CPU/connection", series[side.name]) for side in sides]
        compared(found[0], series["wicketgate"].ratio(series["nginx"]), "nginx", limit)
        compared(found[2], series["HAProxy"].ratio(series["nginx"]), "nginx")
        rows += found
    return rows


def memory(bench: Bench) -> list[Row]:
    """How much the resident memory grows per connection: quiet ones, and ones that all have requests in flight."""
    rows = []
    counts = [3_000, 9_000] if bench.full else [3_000]
    for count in (count for count in counts if 2 * count + 1_000 < OPEN_FILES):
        for name, limit in (("quiet", 20), ("active", 43)):
            found = []
            for side in bench.fresh_sides():
                before = side.process.rss_kb()
                (quiet if name == "quiet" else active)(bench, side, count, before, found, name)
                bench.end(side)
            for ours in (line for line in found if line.side == "wicketgate"):
                limited(ours, limit)
            rows += found
    return rows


def quiet(bench: Bench, side, count: int, before: int, rows: list[Row], name: str) -> None:
    load = Load(bench.workspace, side, "hold", Request("/plain/x"), subprocess.PIPE, connections=count)
    while '"held"' not in load.printed():
        if load.popen.poll() is not None:
            raise load.failure("could not hold the connections")
        time.sleep(0.05)
    # Whatever is done once a second has been done.
    time.sleep(2)
    grown = (side.process.rss_kb() - before) / count
    load.popen.stdin.close()
    load.finish()
    rows.append(Row(f"k: {count:,} {name} connections", side.name, grown, "kB/connection"))


def active(bench: Bench, side, count: int, before: int, rows: list[Row], name: str) -> None:
    wrk = Wrk(bench.workspace, side, Request("/full/x", bench.headers_of(side), connections=count))
    time.sleep(8 if bench.full else 4)
    grown = (side.process.rss_kb() - before) / count
    wrk.finish()
    rows.append(Row(f"k: {count:,} {name} connections", side.name, grown, "kB/connection"))


def latency(bench: Bench) -> list[Row]:
    """Arrivals at half the rate that the slower side can take, whether or not answers come."""
    request = Request("/full/x", bench.headers())
    sides = [bench.gateway(), bench.nginx()]
    most = min(bench.wrk(side, request).rate for side in sides)
    rate, seconds = int(most / 2), 10 if bench.full else 2
    measured = {side.name: [] for side in sides}
    for _ in range(bench.fewer()):
        for side in sides:
            load = Load(bench.workspace, side, "open", request, rate=rate, seconds=seconds)
            measured[side.name].append(load.finish())
    rows = []
    for name, field in (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")):
        ours, theirs = (Series([Sample(float(run[field])) for run in measured[side.name]]) for side in sides)
        case = f"l: latency at {rate:,}/s, {name}"
        found = [row(case, side.name, "us", series) for side, series in zip(sides, (ours, theirs))]
        compared(found[0], ours.median / theirs.median, "nginx", 1.0 if name == "p99" else None)
        rows += found
    return rows


def start(bench: Bench) -> list[Row]:
    """From the start of the program to the first answered request, and what it needs then."""
    took, resident = [], []
    for _ in range(bench.rounds):
        gateway = Gateway(bench.workspace, bench.backend, bench.credentials, name="wicketgate")
        first_answer(bench, gateway)
        took.append((time.monotonic() - gateway.process.started) * 1000)
        resident.append(gateway.process.rss_kb() / 1000)
        bench.end(gateway)
    return [
        limited(Row("start to first answer", "wicketgate", statistics.median(took), "ms", min(took), max(took)), 50),
        limited(Row("memory after start", "wicketgate", statistics.median(resident), "MB", min(resident), max(resident)), 20),
    ]


def first_answer(bench: Bench, gateway: Gateway) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            stream = socket.create_connection(("127.0.0.1", gateway.port), 1)
            break
        except OSError:
            if time.monotonic() > end or gateway.process.popen.poll() is not None:
                raise gateway.process.failure("does not listen") from None
            time.sleep(0.0005)
    with bench.workspace.tls.wrap_socket(stream, server_hostname="localhost") as tls:
        tls.sendall(b"GET /plain/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        if not tls.recv(4096).startswith(b"HTTP/1.1 200"):
            raise gateway.process.failure("answered its first request with something else than 200")
