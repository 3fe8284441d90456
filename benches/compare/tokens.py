"""The cases about signing and checking tokens."""

from collections.abc import Callable
from pathlib import Path

from cases import MICROSECONDS, Bench
from gateway import Gateway
from generator import Load, Request
from measure import Sample, Series, interleave, whole_run
from report import Row, compared, limited, row


def cold(bench: Bench) -> list[Row]:
    """Another customer token with each request, so that each is verified anew; HAProxy verifies the same ones."""
    rsa = verified_anew(bench, bench.gateway(), "RS256", 0.75)
    return rsa + verified_anew(bench, bench.gateway(), "ES256", 0.75)


def verified_anew(bench: Bench, gateway: Gateway, algorithm: str, limit: float | None, case: str = "c") -> list[Row]:
    sides = {"wicketgate": gateway, "HAProxy": bench.haproxy()}
    slots = {name: new_tokens(bench, side, algorithm) for name, side in sides.items()}
    series = interleave(slots, bench.rounds)
    found = [row(f"{case}: new {algorithm} tokens", name, MICROSECONDS, series[name]) for name in series]
    compared(found[0], series["wicketgate"].ratios(series["HAProxy"]), "HAProxy", limit)
    return found


def new_tokens(bench: Bench, side, algorithm: str) -> Callable[[], Sample]:
    """One run with another token in each request."""
    count = 20_000 if bench.full else 5_000
    tokens = issued(bench, algorithm, count)
    request = Request("/cold/x", {"api-key": bench.credentials.api_key})

    def run() -> Sample:
        # What was verified in the last round is forgotten with the policy that it was verified under.
        if isinstance(side, Gateway):
            side.forget()
        load = Load(bench.workspace, side, "closed", request, requests=count, tokens=tokens)
        return whole_run(side, load, count)

    return run


def issued(bench: Bench, algorithm: str, count: int) -> Path:
    """Tokens of the trusted issuer, made once and kept for some hours."""
    key = bench.credentials.issuer[algorithm]
    if not key.tokens.exists() or len(key.tokens.read_text().splitlines()) < count:
        key.sign(bench.workspace, count)
    return key.tokens


def token_endpoint(bench: Bench) -> list[Row]:
    """POST /oauth/access_token: a signature, and the client's secret, hashed (argon2) at the first call only."""
    rows, firsts = [], []
    for algorithm, count, limit in (("rs256", 500, None), ("es256", 5_000, 1e6 / 10_000), ("eddsa", 5_000, None)):
        gateway = bench.gateway_with(f"signing with {algorithm}", signing=algorithm)
        form = f"grant_type=client_credentials&client_id={bench.credentials.client}"
        form += f"&client_secret={bench.credentials.secret}"
        request = Request("/oauth/access_token", {"content-type": "application/x-www-form-urlencoded"}, form)

        def run(count: int, connections: int, gateway: Gateway = gateway, request: Request = request) -> Sample:
            load = Load(bench.workspace, gateway, "closed", request, requests=count, connections=connections)
            return whole_run(gateway, load, count)

        firsts.append(run(1, 1))
        series = interleave({"wicketgate": lambda: run(count, 16)}, bench.rounds)["wicketgate"]
        name = f"h: access tokens, {algorithm.upper().replace('EDDSA', 'EdDSA')}"
        rows.append(row(name, "wicketgate", "us CPU/call", series))
        if limit is not None:
            limited(rows[-1], series, limit)
        bench.end(gateway)
    first = row("h: access tokens, first call of a client", "wicketgate", "us CPU/call", Series(firsts))
    first.rate = None
    return rows + [first]
