"""nginx in its two parts: the backend behind every side, and the proxy that checks nothing."""

import json
import time

from process import OPEN_FILES
from workspace import Workspace, user_line

# What backends are told of every caller, by every side alike.
CUSTOMER = "t1-" + "a" * 85

# The fields of the gateway's access log, as far as nginx knows them.
LOG_FORMAT = json.dumps(
    {
        "time": "$time_iso8601",
        "request_id": "$request_id",
        "client_address": "$remote_addr",
        "method": "$request_method",
        "route": "full",
        "status": "$status",
        "client": "bench",
        "api_key": "bench",
        "customer": CUSTOMER,
        "bytes_in": "$content_length",
        "bytes_out": "$body_bytes_sent",
        "duration": "$request_time",
        "backend": "$upstream_response_time",
        "protocol": "$server_protocol",
    }
)

ANSWER = json.dumps({"customer": {"name": "Ada", "city": "London"}, "orders": list(range(1000, 1026))})[:-1]
ANSWER = ANSWER + ', "' + "x" * (200 - len(ANSWER) - 8) + '": 1}'

SIZES = {"100KiB": 100 << 10, "10MiB": 10 << 20}


def configuration(workspace: Workspace, name: str, workers: int, http: str) -> str:
    """What both parts have in common: in the foreground, and no file outside of the workspace."""
    directory = workspace.directory(name.replace(" ", "-"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"    {kind}_temp_path {directory}/{kind};" for kind in kinds)
    return f"""{user_line()}
daemon off;
worker_processes {workers};
pid {directory}/pid;
error_log stderr error;
events {{ worker_connections {OPEN_FILES}; }}
http {{
{paths}
    keepalive_requests 1000000000;
    client_max_body_size 2m;
    client_body_buffer_size 256k;
    default_type application/json;
{http}
}}
"""


class Nginx:
    """A running nginx."""

    def __init__(self, workspace: Workspace, name: str, workers: int, http: str, port: int, **options):
        self.workspace, self.name, self.port = workspace, name, port
        file = workspace.write(f"{name.replace(' ', '-')}.conf", configuration(workspace, name, workers, http))
        command = ["nginx", "-e", "stderr", "-p", workspace.path, "-c", file]
        self.process = workspace.start(name, command, **options)
        self.process.wait_for_port(port)
        while len(self.process.pids()) < 1 + workers:
            time.sleep(0.01)


class Backend(Nginx):
    """Answers 200 bytes of JSON on every path, files below /files/, and under /full/open without an end."""

    def __init__(self, workspace: Workspace):
        files = workspace.directory("www") / "files"
        files.mkdir()
        for name, size in SIZES.items():
            (files / name).write_bytes(b"x" * size)
        full = workspace.directory("www") / "full"
        full.mkdir()
        (full / "open").write_bytes(b"x" * 65_536)
        port, self.status_port = workspace.port(), workspace.port()
        http = f"""
    access_log off;
    keepalive_timeout 600s;
    sendfile on;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ return 200 '{ANSWER}'; }}
        location /files/ {{ root {files.parent}; }}
        # The head and a page of memory at once, then nothing for nearly an hour.
        location = /full/open {{ root {files.parent}; limit_rate_after 1k; limit_rate 1; }}
    }}
    server {{
        listen 127.0.0.1:{self.status_port};
        location / {{ stub_status; }}
    }}"""
        super().__init__(workspace, "backend", 1, http, port)
        self.url = f"http://127.0.0.1:{port}"

    def requests(self) -> int:
        """How many requests it has been sent."""
        return self._status(9)

    def connections(self) -> int:
        """How many connections to it are open."""
        return self._status(2)

    def _status(self, word: int) -> int:
        _, text = self.workspace.ask(f"http://127.0.0.1:{self.status_port}/")
        return int(text.split()[word])


class Proxy(Nginx):
    """TLS in, plain HTTP to the backend, the same header fields as the gateway sends, and no checks at all."""

    def __init__(self, workspace: Workspace, backend: Backend, log: bool = False, workers: int = 1, **options):
        port = workspace.port()
        name = "nginx with log" if log else "nginx"
        log_file = workspace.path / "nginx-access.log"
        access_log = f"access_log {log_file} fields buffer=32k flush=1s" if log else "access_log off"
        headers = {
            "Host": "$http_host",
            "Connection": '""',
            "X-Forwarded-For": "$remote_addr",
            "X-Forwarded-Proto": "$scheme",
            "X-Forwarded-Host": "$http_host",
            "Forwarded": "'for=$remote_addr;proto=$scheme;host=\"$http_host\"'",
            "Via": '"1.1 nginx"',
            "X-Request-Id": "$request_id",
            "Authorization": '""',
            "customer-auth": '""',
            "api-key": '""',
            "Cookie": '""',
        }
        common = "\n".join(f"        proxy_set_header {field} {value};" for field, value in headers.items())
        customer = f'            proxy_set_header X-Customer-Id "{CUSTOMER}";'
        inherited = common.replace("        proxy", "            proxy")
        http = f"""
    log_format fields escape=json '{LOG_FORMAT}';
    {access_log};
    keepalive_timeout 600s;
    upstream backend {{
        server {backend.url.removeprefix("http://")};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} ssl http2 backlog=4096{" reuseport" if workers > 1 else ""};
        ssl_certificate {workspace.certificate};
        ssl_certificate_key {workspace.key};
        ssl_protocols TLSv1.3;
        ssl_ecdh_curve X25519;
        http2_max_concurrent_streams 128;
        proxy_http_version 1.1;
        proxy_max_temp_file_size 0;
        add_header X-Request-Id $request_id;
{common}
        location / {{
{inherited}
{customer}
            proxy_pass http://backend;
        }}
        location /plain/ {{ proxy_pass http://backend; }}
        location /files/ {{ proxy_pass http://backend; }}
    }}"""
        super().__init__(workspace, name, workers, http, port, **options)
        self.base = f"https://localhost:{port}"
