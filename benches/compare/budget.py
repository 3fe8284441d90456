"""benches/budget.toml: what a request and a connection may cost."""

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from workspace import REPOSITORY

FILE = REPOSITORY / "benches" / "budget.toml"
# A case may cost this much more than its budget: what two builds of almost the same source differ by.
TOLERANCE = 0.02
# So many functions of each case are kept, to tell which of them have grown.
TOP = 40

HEADING = """\
# What a request may cost in instructions of the gateway's own process, and a connection in bytes of heap: `make test` fails
# above 2 %. `make instructions` counts, `make instructions-accept` writes this file. Lowering a number is a commit of its
# own; raising one needs the reason in the commit's message. Below each number are the functions that cost most.
"""


@dataclass
class Cost:
    """Cost of one case, per request or connection, and the functions behind it."""

    count: int
    unit: str
    functions: dict[str, int] = field(default_factory=dict)

    def is_within(self, allowed: "Cost") -> bool:
        return self.count <= allowed.count * (1 + TOLERANCE)


def read() -> dict[str, Cost]:
    """The budget; empty where there is none yet."""
    if not FILE.exists():
        return {}
    return {name: Cost(**entry) for name, entry in tomllib.loads(FILE.read_text()).items()}


def write(costs: dict[str, Cost]) -> None:
    lines = [HEADING]
    for name, cost in costs.items():
        lines += [f"[{name}]", f"count = {cost.count}", f"unit = {json.dumps(cost.unit)}"]
        if cost.functions:
            lines.append(f"[{name}.functions]")
            lines += [f"{json.dumps(function)} = {count}" for function, count in cost.functions.items()]
        lines.append("")
    FILE.write_text("\n".join(lines))


def table(costs: dict[str, Cost], budget: dict[str, Cost]) -> str:
    """Counts beside the budget."""
    lines = [f"{'case':34} {'counted':>12} {'budget':>12} {'change':>8}  unit"]
    for name, cost in costs.items():
        allowed = budget.get(name)
        change = f"{cost.count / allowed.count - 1:+8.1%}" if allowed else f"{'new':>8}"
        lines.append(f"{name:34} {cost.count:12,} {allowed.count if allowed else 0:12,} {change}  {cost.unit}")
    return "\n".join(lines)


def exceeded(costs: dict[str, Cost], budget: dict[str, Cost]) -> list[str]:
    """A paragraph for each case above its budget, and for each that has none."""
    found = []
    for name, cost in costs.items():
        allowed = budget.get(name)
        if allowed is None:
            found.append(f"{name}: has no budget in {FILE.relative_to(REPOSITORY)}: `make instructions-accept` writes one")
        elif not cost.is_within(allowed):
            over = f"{name}: {cost.count:,} {cost.unit}, {cost.count / allowed.count - 1:.1%} above the budget of {allowed.count:,}"
            found.append("\n".join([over, *grown(cost, allowed)]))
    return found


def grown(cost: Cost, allowed: Cost) -> list[str]:
    """The functions that cost more than when the budget was written, the most first."""
    names = cost.functions.keys() | allowed.functions.keys()
    # A function that is not among the most costly of one side costs there at most what the last of them does.
    floor = min(allowed.functions.values(), default=0)
    growth = {
        name: cost.functions[name] - allowed.functions.get(name, floor) for name in names if name in cost.functions
    }
    most = sorted((name for name in growth if growth[name] > 0), key=growth.get, reverse=True)
    lines = [f"    {growth[name]:+8,}  {name} ({cost.functions[name]:,})" for name in most[:TOP]]
    return lines or ["    none of the most costly functions has grown: the growth is spread over many"] if cost.functions else []
