"""Caddy, as a proxy that checks nothing, and as one that asks wicketgate about each request (`forward_auth`)."""

from gateway import DECISIONS, Gateway
from nginx import CUSTOMER, Backend
from process import SIDE_CORES, Process
from workspace import Workspace, program

# docs/forward-auth.md without the names that no caller sends here.
ASKS = """
        reverse_proxy 127.0.0.1:{port} {{
            method GET
            rewrite {path}
            header_up X-Forwarded-Method {{method}}
            header_up X-Forwarded-Uri {{uri}}
            @named {{
                status 2xx
                header X-Customer-Id *
            }}
            handle_response @named {{
                request_header X-Customer-Id {{http.reverse_proxy.header.X-Customer-Id}}
            }}
        }}"""


class Caddy:
    """A running Caddy that uses one core; `decider` is the gateway that it asks, and counts as a part of it."""

    def __init__(self, workspace: Workspace, backend: Backend, decider: Gateway | None = None):
        self.name = "Caddy + forward_auth" if decider else "Caddy"
        port = workspace.port()
        if decider:
            customer = ASKS.format(port=decider.decides, path=DECISIONS)
        else:
            customer = f"        request_header X-Customer-Id {CUSTOMER}"
        text = f"""{{
    admin off
    auto_https off
    persist_config off
    servers {{
        protocols h1 h2
    }}
}}
https://localhost:{port} {{
    bind 127.0.0.1
    tls {workspace.certificate} {workspace.key} {{
        protocols tls1.3
        curves x25519
    }}
    header X-Request-Id {{http.request.uuid}}
    route {{
{customer}
        reverse_proxy {backend.url} {{
            header_up -Authorization
            header_up -customer-auth
            header_up -api-key
            header_up -Cookie
            header_up Forwarded `for={{client_ip}};proto=https;host="{{hostport}}"`
            header_up X-Request-Id {{http.request.uuid}}
            transport http {{
                keepalive_idle_conns_per_host 256
            }}
        }}
    }}
}}
"""
        file = workspace.write(f"caddy-{port}", text)
        home = workspace.directory("caddy")
        environment = [f"HOME={home}", f"XDG_DATA_HOME={home}", f"XDG_CONFIG_HOME={home}", "GOMAXPROCS=1"]
        command = ["env", *environment, program("caddy"), "run", "--adapter", "caddyfile", "--config", file]
        process = workspace.start(self.name, command, cores=SIDE_CORES)
        process.wait_for_port(port)
        self.process = Together(process, decider.process) if decider else process
        self.base = f"https://localhost:{port}"


class Together:
    """Processes that answer a request together, and whose CPU time counts together."""

    def __init__(self, first: Process, second: Process):
        self.first, self.second = first, second
        self.popen, self.failure = first.popen, first.failure

    def cpu_ns(self) -> int:
        """The CPU time of both until now, in nanoseconds."""
        return self.first.cpu_ns() + self.second.cpu_ns()

    def stop(self) -> None:
        """Ends the first; the second has its own owner."""
        self.first.stop()
