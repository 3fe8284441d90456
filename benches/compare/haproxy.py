"""HAProxy as a proxy that checks nothing, and under /cold/ as one that checks customer tokens and API keys."""

from credentials import ISSUER, AUDIENCE, Credentials
from nginx import CUSTOMER, Backend
from process import OPEN_FILES
from workspace import Workspace, program


class Haproxy:
    """A running HAProxy with one thread."""

    name = "HAProxy"

    def __init__(self, workspace: Workspace, backend: Backend, credentials: Credentials, **options):
        port = workspace.port()
        keys = workspace.write("haproxy-keys.map", f"{credentials.api_key} {credentials.api_key_id}\n")
        issuer = credentials.issuer
        text = f"""
global
    nbthread 1
    maxconn {(OPEN_FILES - 500) // 2}
    ssl-default-bind-options ssl-min-ver TLSv1.3

defaults
    mode http
    timeout connect 2s
    timeout client 600s
    timeout server 75s
    timeout http-keep-alive 600s
    option http-keep-alive

frontend callers
    bind 127.0.0.1:{port} ssl crt {workspace.certificate_and_key} alpn h2,http/1.1 curves X25519 backlog 4096
    acl cold path_beg /cold/
    acl plain path_beg /plain/ /files/
    http-request set-var(txn.id) uuid()
    http-request set-var(txn.jwt) req.hdr(customer-auth),word(2,' ') if cold
    http-request set-var(txn.alg) var(txn.jwt),jwt_header_query('$.alg') if cold
    http-request set-var(txn.sub) var(txn.jwt),jwt_payload_query('$.sub') if cold
    http-request set-var(txn.exp) var(txn.jwt),jwt_payload_query('$.exp','int') if cold
    http-request set-var(txn.now) date() if cold
    http-request deny deny_status 401 if cold !{{ req.hdr(api-key),map_str({keys}) -m found }}
    http-request deny deny_status 401 if cold !{{ var(txn.alg) -m str RS256 ES256 }}
    http-request deny deny_status 401 if cold !{{ var(txn.jwt),jwt_payload_query('$.iss') -m str {ISSUER} }}
    http-request deny deny_status 401 if cold !{{ var(txn.jwt),jwt_payload_query('$.aud') -m str {AUDIENCE} }}
    http-request deny deny_status 401 if cold {{ var(txn.exp),sub(txn.now) lt 0 }}
    http-request deny deny_status 401 if cold {{ var(txn.alg) -m str RS256 }} !{{ var(txn.jwt),jwt_verify(txn.alg,"{issuer["RS256"].public}") 1 }}
    http-request deny deny_status 401 if cold {{ var(txn.alg) -m str ES256 }} !{{ var(txn.jwt),jwt_verify(txn.alg,"{issuer["ES256"].public}") 1 }}
    http-request del-header Authorization
    http-request del-header customer-auth
    http-request del-header api-key
    http-request del-header Cookie
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    http-request set-header Forwarded for=%[src];proto=https;host=\\"%[req.hdr(Host)]\\"
    http-request set-header Via "1.1 haproxy"
    http-request set-header X-Request-Id %[var(txn.id)]
    http-request set-header X-Customer-Id %[var(txn.sub)] if cold
    http-request set-header X-Customer-Id {CUSTOMER} if !cold !plain
    http-response set-header X-Request-Id %[var(txn.id)]
    default_backend backend

backend backend
    http-reuse always
    server one {backend.url.removeprefix("http://")}
"""
        file = workspace.write("haproxy.cfg", text)
        self.process = workspace.start(self.name, [program("haproxy"), "-db", "-f", file], **options)
        self.process.wait_for_port(port)
        self.base = f"https://localhost:{port}"
