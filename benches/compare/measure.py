"""CPU time per request: what the processes of a side used up, divided by what was answered meanwhile."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from generator import Generator
from nginx import Backend


@dataclass
class Sample:
    """One round of one side: a cost, and how many per second."""

    value: float
    rate: float | None = None


@dataclass
class Series:
    """All rounds of one side."""

    samples: list[Sample]

    @property
    def values(self) -> list[float]:
        return [sample.value for sample in self.samples]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def rate(self) -> float | None:
        rates = [sample.rate for sample in self.samples if sample.rate is not None]
        return statistics.median(rates) if rates else None

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true median lies, probably, whatever the distribution of the rounds is.

        The lowest and the highest round without one at each end from seven rounds on: 88 % of all times with seven.
        A burst of other work on the machine spoils one round, so lowest and highest would say more about the machine
        than about the sides, and a standard deviation more still. Lowest and highest of three are 75 %.
        """
        values = sorted(self.values)
        outside = max(0, (len(values) - 3) // 4)
        return values[outside], values[-1 - outside]

    def ratios(self, other: "Series") -> "Series":
        """Round by round: what slows a whole round down falls out of it."""
        pairs = zip(self.values, other.values)
        return Series([Sample(mine / theirs) for mine, theirs in pairs])

    def times(self, factor: float) -> "Series":
        """The same values in another unit."""
        return Series([Sample(value * factor) for value in self.values])


def interleave(slots: dict[str, Callable[[], Sample]], rounds: int, warm_up: bool = True) -> dict[str, Series]:
    """Measures in turn, so that whatever else the machine does meets all alike; first a round that does not count."""
    series = {name: Series([]) for name in slots}
    for number in range(-1 if warm_up else 0, rounds):
        for name, measure in slots.items():
            sample = measure()
            if number >= 0:
                series[name].samples.append(sample)
    return series


# From the start of a generator until all of its connections are there.
SETTLE = 0.25


def per_request(side, backend: Backend, generator: Generator, seconds: float) -> Sample:
    """CPU microseconds per request in a window of this many seconds in the middle of the load.

    The backend counts the requests: each of them reaches it exactly once.
    """
    try:
        time.sleep(SETTLE)
        requests, cpu, start = backend.requests(), side.process.cpu_ns(), time.monotonic()
        time.sleep(seconds)
        # The question for the count is a request too.
        answered = backend.requests() - requests - 1
        used, took = side.process.cpu_ns() - cpu, time.monotonic() - start
        if side.process.popen.poll() is not None or answered <= 0:
            raise generator.failure("answered nothing")
        generator.finish()
    finally:
        generator.kill()
    return Sample(used / 1000 / answered, answered / took)


def whole_run(side, generator: Generator, count: int) -> Sample:
    """CPU microseconds per piece of work, over the whole run of a generator that does `count` of them."""
    cpu, start = side.process.cpu_ns(), time.monotonic()
    try:
        generator.finish()
    finally:
        generator.kill()
    took = time.monotonic() - start
    return Sample((side.process.cpu_ns() - cpu) / 1000 / count, count / took)
