"""The cases about connections: what opening, holding and waiting on them costs."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from cases import Bench
from gateway import Gateway
from generator import STREAMS, H2load, Load, Request, Wrk
from measure import Sample, Series, interleave, whole_run
from process import OPEN_FILES
from report import Row, compared, limited, row


def handshakes(bench: Bench) -> list[Row]:
    """New TLS connections with one request each, and the same with resumed sessions."""
    rows = []
    count = 4_000 if bench.full else 1_000
    sides = [bench.gateway(), bench.nginx(), bench.haproxy()]
    for name, resume, limit in (("full", False, 1 / 1.8), ("resumed", True, 1 / 1.8)):
        options = {"resume": True} if resume else {}

        def run(side) -> Sample:
            load = Load(bench.workspace, side, "handshakes", Request("/plain/x"), count=count, **options)
            return whole_run(side, load, count)

        slots = {side.name: lambda side=side: run(side) for side in sides}
        series = interleave(slots, bench.rounds if bench.full else bench.fewer())
        found = [row(f"g: TLS handshakes, {name}", side.name, "us CPU/connection", series[side.name]) for side in sides]
        compared(found[0], series["wicketgate"].ratios(series["nginx"]), "nginx", limit)
        compared(found[2], series["HAProxy"].ratios(series["nginx"]), "nginx")
        rows += found
    return rows


# How a side is loaded while its memory is read; what was opened is closed at the end.
Held = Callable[[Bench, object, int], AbstractContextManager]


def memory(bench: Bench) -> list[Row]:
    """How much the resident memory grows per connection, of a side that has just started."""
    rows = []
    rounds = min(3, bench.rounds) if bench.full else 1
    for count, times in ((3_000, rounds), (9_000, 1))[: 2 if bench.full else 1]:
        if 2 * count + 1_000 < OPEN_FILES:
            rows += grown(bench, f"k: {count:,} quiet connections", quiet, count, times, 16)
            rows += grown(bench, f"k: {count:,} active connections", active, count, times, 35)
    if bench.full:
        rows += grown(bench, f"k: HTTP/2 with {STREAMS} open streams", streams, 100, rounds, None)
    return rows


def grown(bench: Bench, case: str, held: Held, count: int, rounds: int, limit: float | None) -> list[Row]:
    """kB per connection of each side; without a limit, no more than nginx."""
    samples: dict[str, list[Sample]] = {}
    for _ in range(rounds):
        for side in bench.fresh_sides():
            before = side.process.rss_kb()
            with held(bench, side, count):
                sample = Sample((side.process.rss_kb() - before) / count)
            samples.setdefault(side.name, []).append(sample)
            bench.end(side)
    series = {name: Series(found) for name, found in samples.items()}
    rows = [row(case, name, "kB/connection", series[name]) for name in series]
    compared(rows[0], series["wicketgate"].ratios(series["nginx"]), "nginx", None if limit else 1.0)
    if limit:
        limited(rows[0], series["wicketgate"], limit)
    return rows


@contextmanager
def quiet(bench: Bench, side, count: int) -> Iterator[None]:
    """Connections that were answered once, and that are silent since."""
    load = Load(bench.workspace, side, "hold", Request("/plain/x"), subprocess.PIPE, connections=count)
    try:
        while '"held"' not in load.printed():
            if load.popen.poll() is not None:
                raise load.failure("could not hold the connections")
            time.sleep(0.05)
        # Whatever is done once a second has been done.
        time.sleep(2)
        yield
        load.popen.stdin.close()
        load.finish()
    finally:
        load.kill()


@contextmanager
def active(bench: Bench, side, count: int) -> Iterator[None]:
    """Connections with a request in flight on each."""
    answered = bench.backend.requests() + 2 * count
    wrk = Wrk(bench.workspace, side, Request("/full/x", bench.headers_of(side), connections=count))
    end = time.monotonic() + 60
    try:
        while bench.backend.requests() < answered:
            if wrk.popen.poll() is not None or time.monotonic() > end:
                raise wrk.failure("did not answer on all connections")
            time.sleep(0.05)
        time.sleep(5 if bench.full else 2)
        yield
        wrk.finish()
    finally:
        wrk.kill()


@contextmanager
def streams(bench: Bench, side, count: int) -> Iterator[None]:
    """HTTP/2 connections with streams whose answers never come to an end."""
    opened = bench.backend.connections() + count * STREAMS
    request = Request("/full/open", bench.headers_of(side), connections=count)
    load = H2load(bench.workspace, side, request, requests=count * STREAMS)
    end = time.monotonic() + 30
    try:
        while bench.backend.connections() < opened:
            if load.popen.poll() is not None or time.monotonic() > end:
                raise load.failure("did not open all streams")
            time.sleep(0.05)
        time.sleep(2)
        yield
    finally:
        load.kill()


def latency(bench: Bench) -> list[Row]:
    """Arrivals at half the rate that the slower side can take, whether or not answers come."""
    request = Request("/full/x", bench.headers())
    sides = [bench.gateway(), bench.nginx()]
    rate, seconds = half_rate(bench, sides, request), 6 if bench.full else 2
    measured = {side.name: [] for side in sides}
    for _ in range(bench.rounds if bench.full else 1):
        for side in sides:
            load = Load(bench.workspace, side, "open", request, rate=rate, seconds=seconds)
            measured[side.name].append(load.finish())
    rows = []
    for name, field in (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")):
        ours, theirs = (Series([Sample(float(run[field])) for run in measured[side.name]]) for side in sides)
        case = f"l: latency at {rate:,}/s, {name}"
        found = [row(case, side.name, "us", series) for side, series in zip(sides, (ours, theirs))]
        compared(found[0], ours.ratios(theirs), "nginx", 0.9 if name == "p99" else None)
        rows += found
    return rows


def half_rate(bench: Bench, sides: list, request: Request) -> int:
    """Half of what the slowest of these sides can take, per second."""
    return int(min(bench.wrk(side, request).rate for side in sides) / 2)


def crowd(bench: Bench) -> list[Row]:
    """p99 with 10,000 quiet and 1,000 active connections beside 64 alone, at the same rate of arrivals."""
    busy = 1_000
    # Half of the files that may be open are for callers, some hundred are the gateway's own.
    idle = min(10_000, (OPEN_FILES // 2 - 250 - busy) // 500 * 500)
    if idle < 10_000:
        print(f"    {idle:,} quiet connections: only {OPEN_FILES:,} files may be open (ulimit -n)", file=sys.stderr)
    request = Request("/full/x", bench.headers())
    sides = [bench.gateway(), bench.nginx()]
    rate, seconds = half_rate(bench, sides, request), 3 if bench.full else 1

    def p99(side, connections: int) -> Sample:
        options = {"rate": rate, "seconds": seconds, "connections": connections}
        return Sample(float(Load(bench.workspace, side, "open", request, **options).finish()["p99_us"]))

    def crowded(side) -> Sample:
        with quiet(bench, side, idle):
            sample = p99(side, busy)
            if side.process.open_files() < idle:
                raise side.process.failure("closed connections that were quiet")
        return sample

    rows = []
    for side, rounds in zip(sides, (bench.rounds, bench.fewer())):
        slots = {"64 connections": lambda: p99(side, 64), f"{idle:,} quiet, {busy:,} active": lambda: crowded(side)}
        series = interleave(slots, rounds, warm_up=False)
        found = [row(f"n: p99 at {rate:,}/s, {name}", side.name, "us", series[name]) for name in slots]
        few, many = series.values()
        compared(found[1], many.ratios(few), "64 connections", 1.5 if side is sides[0] else None)
        rows += found
    return rows


def start(bench: Bench) -> list[Row]:
    """From the start of the program to the first answered request, and what it needs then."""
    took, resident = [], []
    for _ in range(bench.rounds):
        gateway = Gateway(bench.workspace, bench.backend, bench.credentials, name="wicketgate")
        first_answer(bench, gateway)
        took.append(Sample((time.monotonic() - gateway.process.started) * 1000))
        resident.append(Sample(gateway.process.rss_kb() / 1000))
        bench.end(gateway)
    rows = []
    for case, unit, samples, limit in (
        ("start to first answer", "ms", took, 50),
        ("memory after start", "MB", resident, 20),
    ):
        series = Series(samples)
        rows.append(limited(row(case, "wicketgate", unit, series), series, limit))
    return rows


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
