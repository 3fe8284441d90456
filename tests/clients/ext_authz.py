"""Envoy's ext_authz, made from its .proto: what the programs beside this one ask the gateway with."""

import sys
import tempfile
from pathlib import Path

import grpc
from grpc_tools import protoc

here = Path(__file__).parent
with tempfile.TemporaryDirectory() as made:
    code = protoc.main(
        ["protoc", f"-I{here}", f"--python_out={made}", f"--grpc_python_out={made}", str(here / "ext_authz.proto")]
    )
    assert code == 0, code
    sys.path.insert(0, made)
    import ext_authz_pb2 as messages
    import ext_authz_pb2_grpc as services


def connected(port, ca):
    """A channel to the gateway on this port, by TLS with this CA."""
    credentials = grpc.ssl_channel_credentials(Path(ca).read_bytes())
    return grpc.secure_channel(f"localhost:{port}", credentials, options=[("grpc.enable_http_proxy", 0)])


def check_of(channel):
    """Its Authorization/Check."""
    return services.AuthorizationStub(channel).Check
