"""The cases about signing and checking tokens."""

from cases import MICROSECONDS, Bench
from gateway import Gateway
from generator import Load, Request
from measure import Sample, interleave, whole_run
from report import Row, compared, row


def cold(bench: Bench) -> list[Row]:
    """Another customer token with each request, so that each is verified anew; HAProxy verifies the same ones."""
    rsa = verified_anew(bench, bench.gateway(), "RS256", 0.75)
    return rsa + verified_anew(bench, bench.gateway(), "ES256", None)


def verified_anew(bench: Bench, gateway: Gateway, algorithm: str, limit: float | None, case: str = "c") -> list[Row]:
    count = 20_000 if bench.full else 5_000
    tokens = issued(bench, algorithm, count)
    request = Request("/cold/x", {"api-key": bench.credentials.api_key})

    def run(side) -> Sample:
        load = Load(bench.workspace, side, "closed", request, requests=count, tokens=tokens)
        return whole_run(side, load, count)

    def ours() -> Sample:
        # What was verified in the last round is forgotten with the policy that it was verified under.
        gateway.forget()
        return run(gateway)

    series = interleave({"wicketgate": ours, "HAProxy": lambda: run(bench.haproxy())}, bench.rounds)
    found = [row(f"{case}: new {algorithm} tokens", name, MICROSECONDS, series[name]) for name in series]
    compared(found[0], series["wicketgate"].ratio(series["HAProxy"]), "HAProxy", limit)
    return found


def issued(bench: Bench, algorithm: str, count: int):
    """Tokens of the trusted issuer, made once and kept for some hours."""
    key = bench.credentials.issuer[algorithm]
    if not key.tokens.exists() or len(key.tokens.read_text().splitlines()) < count:
        key.sign(bench.workspace, count)
    return key.tokens


def token_endpoint(bench: Bench) -> list[Row]:
    """POST /oauth/access_token: the check of the client's secret (argon2) and a signature."""
    rows = []
    count = 400 if bench.full else 60
    for algorithm in ("rs256", "es256", "eddsa"):
        gateway = bench.gateway_with(f"signing with {algorithm}", signing=algorithm)
        form = f"grant_type=client_credentials&client_id={bench.credentials.client}"
        form += f"&client_secret={bench.credentials.secret}"
        request = Request("/oauth/access_token", {"content-type": "application/x-www-form-urlencoded"}, form)

        def run(gateway: Gateway = gateway, request: Request = request) -> Sample:
            load = Load(bench.workspace, gateway, "closed", request, requests=count, connections=4)
            return whole_run(gateway, load, count)

        series = interleave({"wicketgate": run}, bench.fewer())
        name = f"h: access tokens, {algorithm.upper().replace('EDDSA', 'EdDSA')}"
        rows.append(row(name, "wicketgate", "ms CPU/call", series["wicketgate"], 1e-3))
        bench.end(gateway)
    return rows
