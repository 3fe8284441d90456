"""The table of the README: a choice of the rows, so that it says what docs/benchmarks.md says."""

from report import Row

# Words for the reader, the beginning of the case, what the gateway is compared with, and what that is called.
CHOICE = [
    ("all checks, HTTP/1.1", "a:", "nginx", "nginx"),
    ("the same with a line in the access log", "a-log:", "nginx", "nginx"),
    ("no checks, HTTP/1.1", "e:", "nginx", "nginx"),
    ("all checks, HTTP/2", "f:", "HAProxy", "HAProxy"),
    ("all checks, HTTP/1.1", "o: full", "Envoy", "Envoy, which checks the tokens and the key too"),
    ("all checks, HTTP/1.1", "o: full", "Caddy + forward_auth", "Caddy, which asks wicketgate (`forward_auth`)"),
    ("RS256 tokens that it has not seen before", "c: new RS256", "HAProxy", "HAProxy, which verifies them too"),
    ("ES256 tokens that it has not seen before", "c: new ES256", "HAProxy", "HAProxy, which verifies them too"),
    ("identifier written into JSON of 100 KiB", "b: identifier in a 100", "nginx", "nginx, which does not read it"),
    ("full TLS handshake", "g: TLS handshakes, full", "nginx", "nginx"),
    ("latency at half load, 99th percentile", "l: latency at", "nginx", "nginx"),
    ("memory of an idle connection", "k: 3,000 quiet", "nginx", "nginx"),
    ("memory of a busy connection", "k: 3,000 active", "nginx", "nginx"),
]


def table(rows: list[Row]) -> str:
    """Markdown; what was not measured has no line."""
    lines = ["| case | beside | ratio | spread |", "|---|---|--:|--:|"]
    for words, case, reference, beside in CHOICE:
        for row in rows:
            is_it = row.case.startswith(case) and row.side == "wicketgate" and row.reference == reference
            if is_it and row.ratios and not (case.startswith("l:") and not row.case.endswith("p99")):
                low, high = row.ratios.interval
                lines.append(f"| {words} | {beside} | {row.ratios.median:.2f} | {low:.2f} - {high:.2f} |")
    return "\n".join(lines)
