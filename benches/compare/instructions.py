"""Counts what a request costs in instructions and a connection in bytes: `make instructions`.

The whole gateway runs under callgrind with one worker. Each case runs twice over one connection, with few requests and with
more of them; the difference is free of start, handshake and first requests. Only the worker's thread counts.
"""

import argparse
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import budget
import callgrind
from cases import json_body
from credentials import AUDIENCE, ISSUER, Credentials, encoded
from gateway import Gateway
from nginx import Backend
from process import Failure
from workspace import REPOSITORY, Workspace, openssl

# Requests of the first run, and how many more the second has.
FEW, MORE = 64, 256


@dataclass
class Case:
    """Requests of one kind over one connection."""

    path: str
    credentials: str = "none"
    body: str | None = None
    protocol: str = "--h1"
    streams: int = 1
    more: int = MORE
    headers: dict = field(default_factory=dict)


CASES = {
    "full_checks_http1": Case("/full/x", "jwt"),
    "plain_http1": Case("/plain/x"),
    "full_checks_http2": Case("/full/x", "jwt", protocol="--npn-list=h2", streams=32),
    "body_1kib": Case("/body/x", "jwt", json_body(1 << 10)),
    "body_100kib": Case("/body/x", "jwt", json_body(100 << 10), more=64),
    "session_cookie": Case("/session/x", "session"),
    "cold_es256": Case("/cold/x", "cold", more=32),
}


class Counter:
    """A gateway that is started for each count, with credentials that were given out once."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.backend = Backend(workspace)
        self.keys = Credentials(workspace)
        gateway = Gateway(workspace, self.backend, self.keys).wait()
        self.headers = {"none": {}, "jwt": gateway.headers(), "session": gateway.headers(session=True)}
        self.headers["cold"] = {"api-key": self.keys.api_key}
        gateway.process.stop()
        self.port, self.config = gateway.port, workspace.path / f"gateway-{gateway.port}.yaml"
        self.base = gateway.base

    def count(self, name: str, case: Case) -> budget.Cost:
        """What a request of this case costs."""
        few, many = (self.profile(f"{name}-{count}", case, count) for count in (FEW, FEW + case.more))
        profile = (many - few).per(case.more)
        functions = {function: round(count) for function, count in profile.functions.most_common(budget.TOP)}
        return budget.Cost(round(profile.total), "instructions/request", functions)

    def profile(self, name: str, case: Case, requests: int) -> callgrind.Profile:
        """What the worker did, from start to end, for so many requests."""
        out = self.workspace.path / f"callgrind-{name}"
        command = callgrind.command(self.workspace.gateway, out)
        process = self.workspace.start(name, [*command, "run", "--config", self.config], env=callgrind.environment())
        process.wait_for_port(self.port, 60)
        self.send(case, requests)
        process.popen.terminate()
        if code := process.popen.wait(60):
            raise process.failure(f"ended with code {code}")
        return callgrind.worker(out)

    def send(self, case: Case, requests: int) -> None:
        if case.credentials == "cold":
            return self.send_cold(case, requests)
        headers = [f"-H{name.lower()}: {value}" for name, value in self.headers[case.credentials].items()]
        command = ["h2load", f"-n{requests}", "-c1", f"-m{case.streams}", case.protocol, *headers]
        if case.body is not None:
            file = self.workspace.write(f"body-{len(case.body)}.json", case.body)
            command += [f"-d{file}", "-Hcontent-type: application/json"]
        done = subprocess.run([*command, self.base + case.path], capture_output=True, text=True, timeout=120)
        if f" {requests} 2xx," not in done.stdout:
            raise Failure(f"h2load: not all requests were answered with 2xx\n{done.stdout}{done.stderr}")

    def send_cold(self, case: Case, requests: int) -> None:
        """Each request with a token of its own."""
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.workspace.tls, timeout=60)
        for number in range(requests):
            token = {"customer-auth": f"JWT {self.token(number)}"}
            connection.request("GET", case.path, headers=self.headers["cold"] | token)
            answer = connection.getresponse()
            if said := answer.read() if answer.status != 200 else None:
                raise Failure(f"a cold token was answered with {answer.status}: {said.decode(errors='replace')}")
            answer.read()
        connection.close()

    def token(self, number: int) -> str:
        """A customer's token of another issuer."""
        now = int(time.time())
        header = {"alg": "ES256", "typ": "JWT", "kid": "ES256"}
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": f"customer{number}", "iat": now, "exp": now + 3600}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{encoded(ecdsa_signature(self.keys.issuer['ES256'].private, signed))}"


def ecdsa_signature(key: Path, text: str) -> bytes:
    """ES256 (RFC 7518 section 3.4): two numbers of 32 bytes, which openssl writes in ASN.1."""
    done = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(), capture_output=True, check=True)
    first, rest = integer(done.stdout[2:])
    second, _ = integer(rest)
    return first.to_bytes(32) + second.to_bytes(32)


def integer(der: bytes) -> tuple[int, bytes]:
    """An ASN.1 INTEGER, and what follows it."""
    length = der[1]
    return int.from_bytes(der[2 : 2 + length]), der[2 + length :]


def lowest(count: Callable[[], budget.Cost], allowed: budget.Cost | None) -> budget.Cost:
    """The first count within the budget, or the lowest of three: a busy machine wakes the worker more often."""
    costs = [count()]
    while len(costs) < 3 and not (allowed and costs[-1].is_within(allowed)):
        costs.append(count())
    return min(costs, key=lambda cost: cost.count)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/compare/instructions.py", description=__doc__)
    release = REPOSITORY / "target" / "release"
    parser.add_argument("--gateway", type=Path, default=release / "wicketgate", help="another wicketgate")
    parser.add_argument("--case", help=f"only these, with commas between them: {','.join(CASES)}")
    parser.add_argument("--accept", action="store_true", help="write benches/budget.toml instead of comparing with it")
    parser.add_argument("--functions", action="store_true", help="print the most costly functions of each case")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    wanted = options.case.split(",") if options.case else list(CASES)
    if unknown := [name for name in wanted if name not in CASES]:
        raise Failure(f"there is no case {', '.join(unknown)}: there are {', '.join(CASES)}")
    costs, known = {}, budget.read()
    with Workspace(options.gateway.resolve(), options.gateway.resolve()) as workspace:
        counter = Counter(workspace)
        for name in wanted:
            costs[name] = lowest(lambda: counter.count(name, CASES[name]), known.get(name))
            print(f"{name:34} {costs[name].count:12,} {costs[name].unit}", file=sys.stderr, flush=True)
            if options.functions:
                for function, count in costs[name].functions.items():
                    print(f"    {count:10,} {function}", file=sys.stderr, flush=True)
    print(budget.table(costs, known))
    if options.accept:
        budget.write(known | costs)
        return
    if missing := callgrind.missing_features():
        print(f"not compared with the budget: this processor has no {', '.join(sorted(missing))}")
        return
    if over := budget.exceeded(costs, known):
        sys.exit("\n\n".join(["above the budget (benches/budget.toml):", *over]))


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"instructions: {failure}")
