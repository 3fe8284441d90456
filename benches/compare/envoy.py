"""Envoy, as a proxy that checks both tokens (`jwt_authn`) and the API key (`api_key_auth`), as wicketgate does."""

import json
from pathlib import Path

from credentials import AUDIENCE, GATEWAY_ISSUER, ISSUER, Credentials
from nginx import Backend
from process import SIDE_CORES
from workspace import Workspace

EXTENSIONS = "type.googleapis.com/envoy.extensions"
# Names of Envoy's own, at the end of EXTENSIONS.
TYPES = {
    "envoy.filters.http.jwt_authn": "filters.http.jwt_authn.v3.JwtAuthentication",
    "envoy.filters.http.api_key_auth": "filters.http.api_key_auth.v3.ApiKeyAuth",
    "envoy.filters.http.router": "filters.http.router.v3.Router",
    "envoy.filters.network.http_connection_manager": (
        "filters.network.http_connection_manager.v3.HttpConnectionManager"
    ),
    "envoy.transport_sockets.tls": "transport_sockets.tls.v3.DownstreamTlsContext",
}


def extension(name: str, settings: dict) -> dict:
    """One of Envoy's parts with its settings."""
    return {"name": name, "typed_config": {"@type": f"{EXTENSIONS}.{TYPES[name]}"} | settings}


def provider(issuer: str, jwks: str, header: str, prefix: str, remembered: int) -> dict:
    """Tokens of an issuer in a header field; so many that were valid are remembered."""
    claims = [{"header_name": "X-Customer-Id", "claim_name": "sub"}]
    found = {
        "issuer": issuer,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": jwks},
        "from_headers": [{"name": header, "value_prefix": prefix}],
        "claim_to_headers": claims if header == "customer-auth" else [],
    }
    return found | ({"jwt_cache_config": {"jwt_cache_size": remembered}} if remembered else {})


def tokens(gateway_jwks: str, issuer_jwks: str) -> dict:
    """Under /full/ the gateway's own tokens, which are remembered; under /cold/ those of the other issuer."""
    return {
        "providers": {
            "client": provider(GATEWAY_ISSUER, gateway_jwks, "Authorization", "Bearer ", 100),
            "customer": provider(GATEWAY_ISSUER, gateway_jwks, "customer-auth", "JWT ", 100),
            "new": provider(ISSUER, issuer_jwks, "customer-auth", "JWT ", 0),
        },
        "rules": [
            {
                "match": {"prefix": "/full/"},
                "requires": {
                    "requires_all": {"requirements": [{"provider_name": "client"}, {"provider_name": "customer"}]}
                },
            },
            {"match": {"prefix": "/cold/"}, "requires": {"provider_name": "new"}},
        ],
    }


def connections(workspace: Workspace, credentials: Credentials, gateway_jwks: str) -> dict:
    """What happens to a request."""
    key = {"key": credentials.api_key, "client": credentials.api_key_id}
    keys = {"credentials": [key], "key_sources": [{"header": "api-key"}]}
    forwarded = 'for=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%;proto=https;host="%REQ(:AUTHORITY)%"'
    added = {"Forwarded": forwarded, "X-Forwarded-Host": "%REQ(:AUTHORITY)%"}
    return {
        "stat_prefix": "callers",
        "use_remote_address": True,
        "always_set_request_id_in_response": True,
        "via": "1.1 envoy",
        "http_filters": [
            extension("envoy.filters.http.api_key_auth", keys),
            extension(
                "envoy.filters.http.jwt_authn", tokens(gateway_jwks, credentials.jwks(workspace).read_text())
            ),
            extension("envoy.filters.http.router", {}),
        ],
        "route_config": {
            "request_headers_to_remove": ["Authorization", "customer-auth", "api-key", "Cookie"],
            "request_headers_to_add": [{"header": {"key": name, "value": value}} for name, value in added.items()],
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "75s"}}],
                }
            ],
        },
    }


def address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class Envoy:
    """A running Envoy with one worker."""

    name = "Envoy"

    def __init__(
        self, workspace: Workspace, backend: Backend, credentials: Credentials, executable: Path, gateway_jwks: str
    ):
        port = workspace.port()
        tls = {
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "ecdh_curves": ["X25519"]},
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(workspace.certificate)},
                        "private_key": {"filename": str(workspace.key)},
                    }
                ],
            }
        }
        chain = {
            "transport_socket": extension("envoy.transport_sockets.tls", tls),
            "filters": [
                extension(
                    "envoy.filters.network.http_connection_manager", connections(workspace, credentials, gateway_jwks)
                )
            ],
        }
        endpoint = {"endpoint": {"address": address(int(backend.url.rpartition(":")[2]))}}
        most = {name: 20_000 for name in ("max_connections", "max_pending_requests", "max_requests")}
        cluster = {
            "name": "backend",
            "type": "STATIC",
            "circuit_breakers": {"thresholds": [most]},
            "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }
        resources = {
            "listeners": [{"name": "callers", "address": address(port), "filter_chains": [chain]}],
            "clusters": [cluster],
        }
        file = workspace.write(f"envoy-{port}.json", json.dumps({"static_resources": resources}))
        words = ["--concurrency", 1, "--disable-hot-restart", "--log-level", "error", "-c", file]
        self.process = workspace.start(self.name, [executable, *words], cores=SIDE_CORES)
        self.process.wait_for_port(port)
        self.base = f"https://localhost:{port}"
