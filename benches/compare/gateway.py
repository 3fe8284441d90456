"""wicketgate, with the configuration that the comparison wants."""

import json
import re
import signal
import time
from pathlib import Path

from credentials import AUDIENCE, GATEWAY_ISSUER, ISSUER, Credentials, numbered_key
from nginx import Backend
from process import SIDE_CORES
from workspace import Workspace

# Where proxies ask.
DECISIONS = "/_wicketgate/auth"
ALL = ["client", "customer", "api_key"]


def settings(
    workspace: Workspace,
    backend: Backend,
    credentials: Credentials,
    port: int,
    admin: int,
    log: bool = False,
    workers: int = 1,
    signing: str = "es256",
    callers: int = 1,
    routes: int = 0,
    trusted_keys: int = 2,
    decides: int | None = None,
) -> dict:
    """gateway.yaml.

    `callers` is how many clients and API keys there are, `routes` how many more routes, `trusted_keys` how many keys
    the other issuer has, `decides` the port on which proxies ask (`forward_auth`).
    """
    plenty = {"rate": "1000000/s"}
    certificate = {"certificate": str(workspace.certificate), "private_key": str(workspace.key)}
    header = {"header": "X-Customer-Id"}
    names = {
        "full": {"require": ALL, "scopes": ["profile"], "identifier": header},
        "body": {"require": ALL, "scopes": ["profile"], "identifier": {"body": "/customer/id"}},
        "session": {"require": ALL, "scopes": ["profile"], "identifier": header},
        "cold": {"require": ["customer", "api_key"], "identifier": header},
        "plain": {"public": True},
        "files": {"public": True},
    }
    names |= {f"more{number}": names["full"] for number in range(routes)}
    methods = {"methods": ["GET", "POST"], "backend": "legacy"}
    opened = [name for name, route in names.items() if "require" in route]
    clients = [{"id": credentials.client, "secrets": [credentials.secret_hash], "scopes": ["profile"]}]
    keys = [{"id": credentials.api_key_id, "sha256": [credentials.api_key_digest], "routes": opened}]
    for number in range(1, callers):
        clients.append({"id": f"client{number}", "secrets": [credentials.secret_hash], "scopes": ["profile"]})
        keys.append({"id": f"key{number}", "sha256": [numbered_key(number)[1]], "routes": ["full"]})
    asked = [] if decides is None else [{"address": f"127.0.0.1:{decides}", "forward_auth": True}]
    return {
        "workers": workers,
        "log": {"access": "stdout" if log else "off"},
        "listen": [
            {
                "address": f"127.0.0.1:{port}",
                "tls": {"certificates": [certificate]},
                "limits": {"connections": 20000, "idle_timeout": "600s"},
            },
            *asked,
        ],
        **({"forward_auth": {"path": DECISIONS}} if asked else {}),
        "admin": {"address": f"127.0.0.1:{admin}"},
        "state": {"embedded": {"path": f"state-{port}"}},
        "issuer": {
            "url": GATEWAY_ISSUER,
            "audience": AUDIENCE,
            "signing_keys": str(credentials.signing_keys(workspace, signing)),
        },
        "identifier": {"key": {"file": str(credentials.identifier_key)}},
        "login": {
            "accounts": {"file": str(accounts(workspace, credentials))},
            "issue": "both",
            "cookie": {"keys": [{"file": str(credentials.cookie_key)}]},
            "limits": plenty,
        },
        "access_token": {"limits": plenty},
        "clients": clients,
        "api_keys": keys,
        "trusted_issuers": [
            {
                "issuer": ISSUER,
                "jwks": {"file": str(credentials.jwks(workspace, trusted_keys))},
                "audiences": [AUDIENCE],
                "algorithms": ["RS256", "ES256"],
            }
        ],
        "routes": [{"name": name, "path": f"/{name}/"} | methods | route for name, route in names.items()],
        "backends": {"legacy": {"servers": [backend.url], "concurrency": 20000}},
    }


def accounts(workspace: Workspace, credentials: Credentials):
    """The one customer who can log in."""
    account = {
        "username": credentials.username,
        "password": credentials.secret_hash,
        "subject": credentials.subject,
    }
    return workspace.write("accounts.yaml", json.dumps([account]), 0o600)


class Gateway:
    """A running gateway."""

    def __init__(
        self,
        workspace: Workspace,
        backend: Backend,
        credentials: Credentials,
        name: str = "wicketgate",
        sessions: int | None = None,
        revocations: int | None = None,
        cores: set[int] = SIDE_CORES,
        program: Path | None = None,
        **choices,
    ):
        self.workspace, self.credentials, self.name = workspace, credentials, name
        self.port, self._admin, self.decides = workspace.port(), workspace.port(), choices.get("decides")
        text = json.dumps(settings(workspace, backend, credentials, self.port, self._admin, **choices))
        file = workspace.write(f"gateway-{self.port}.yaml", text, 0o600)
        self.cookies = workspace.path / f"cookies-{self.port}"
        if sessions is None and revocations is None:
            command = [program or workspace.gateway, "run", "--config", file]
        else:
            command = [workspace.load, "serve", "--config", file, "--cookies", self.cookies]
            command += ["--sessions", sessions or 0, "--revocations", revocations or 0]
        with (workspace.path / f"access-{self.port}.log").open("wb") as log:
            self.process = workspace.start(name, command, cores=cores, stdout=log)
        self.base = f"https://localhost:{self.port}"

    def wait(self, seconds: float = 30) -> "Gateway":
        """Waits until it listens."""
        self.process.wait_for_port(self.port, seconds)
        return self

    def wait_for_cookies(self, seconds: float = 120) -> None:
        """Waits until all sessions and revocations are there."""
        end = time.monotonic() + seconds
        while not self.cookies.exists():
            if time.monotonic() > end or self.process.popen.poll() is not None:
                raise self.process.failure("has not made its sessions and revocations")
            time.sleep(0.05)

    def access_token(self, client: str | None = None) -> str:
        """A client's access token, from the gateway itself."""
        form = f"grant_type=client_credentials&client_id={client or self.credentials.client}"
        form += f"&client_secret={self.credentials.secret}"
        _, answer = self.workspace.ask_json(f"{self.base}/oauth/access_token", form)
        return answer["access_token"]

    def login(self) -> tuple[str, str]:
        """The customer's JWT and session cookie, from the gateway itself."""
        form = f"username={self.credentials.username}&password={self.credentials.secret}"
        headers, answer = self.workspace.ask_json(f"{self.base}/auth/customer_authenticate", form)
        cookie = next(value for name, value in headers.items() if name.lower() == "set-cookie")
        return answer["JWT"], cookie.split(";")[0]

    def headers(self, session: bool = False, api_key: str | None = None, client: str | None = None) -> dict:
        """The credentials of a call, the customer's as a token or as a session."""
        jwt, cookie = self.login()
        customer = {"Cookie": cookie} if session else {"customer-auth": f"JWT {jwt}"}
        client_token = {"Authorization": f"Bearer {self.access_token(client)}"}
        return client_token | customer | {"api-key": api_key or self.credentials.api_key}

    def forget(self) -> None:
        """Reads the configuration again, with which all that is remembered of tokens goes."""
        before = self._reloads()
        self.process.popen.send_signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while self._reloads() == before:
            if time.monotonic() > end:
                raise self.process.failure("did not reload within 10 s")
            time.sleep(0.02)

    def metrics(self) -> str:
        """Its metrics, as Prometheus reads them."""
        _, text = self.workspace.ask(f"http://127.0.0.1:{self._admin}/metrics")
        return text.decode()

    def _reloads(self) -> float:
        found = re.search(r'wicketgate_reloads_total\{outcome="ok"\} (\S+)', self.metrics())
        return float(found[1]) if found else 0.0
