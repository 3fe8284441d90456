"""Asks as Envoy does: calls envoy.service.auth.v3.Authorization/Check with grpcio.

Usage: ext_authz_client.py PORT CA_FILE CUSTOMER_TOKEN IDENTIFIER.
"""

import json
import sys

import grpc
from ext_authz import check_of, connected, messages

port, ca, token, identifier = sys.argv[1:]
channel = connected(port, ca)
check = check_of(channel)


def request(method="POST", path="/me/orders?a=b", raw=False, address="198.51.100.7", scheme="https", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()} | {":path": path, "x_odd": "1"}
    asked = messages.CheckRequest()
    asked.attributes.source.address.socket_address.address = address
    asked.attributes.source.principal = "skipped"
    asked.attributes.context_extensions["skipped"] = "too"
    http = asked.attributes.request.http
    http.method, http.path, http.host, http.scheme = method, path, "localhost", scheme
    http.size, http.protocol = -1, "HTTP/2"
    for name, value in headers.items():
        if raw:
            http.header_map.headers.add(key=name, raw_value=value.encode())
        else:
            http.headers[name] = value
    return asked


def named(options):
    assert all(option.HasField("append") and not option.append.value for option in options), options
    return {option.header.key: option.header.value for option in options}


for raw in (False, True):
    asked = request(raw=raw, customer_auth=f"JWT {token}", cookie="a=1; __Host-session=forged")
    answer = check(asked, timeout=10)
    assert answer.status.code == 16 and answer.denied_response.status.code == 401, answer

    asked = request(raw=raw, customer_auth=f"JWT {token}", cookie="a=1", x_other="stays", authorization="Basic eDp5")
    if raw:
        asked.attributes.request.http.header_map.headers.add(key="X_Customer_Id", raw_value=b"somebody")
    else:
        asked.attributes.request.http.headers["x_customer_id"] = "somebody"
    answer = check(asked, timeout=10)
    assert answer.status.code == 0 and answer.WhichOneof("http_response") == "ok_response", answer
    assert named(answer.ok_response.headers) == {"x-customer-id": identifier}, answer
    assert set(answer.ok_response.headers_to_remove) == {"customer-auth", "authorization", "x_customer_id"}, answer

answer = check(request(), timeout=10)
assert answer.status.code == 16 and answer.denied_response.status.code == 401, answer
headers = named(answer.denied_response.headers)
assert headers["www-authenticate"] == "Bearer" and headers["content-type"] == "application/json", headers
body = json.loads(answer.denied_response.body)
assert body["error"]["code"] == "401-10" and body["error"]["requestId"] == headers["x-request-id"], body

answer = check(request(customer_auth="JWT " + token[:-6] + "AAAAAA"), timeout=10)
assert answer.denied_response.status.code == 401, answer
assert json.loads(answer.denied_response.body)["error"]["code"] == "401-03", answer
assert check(request(path="/unknown"), timeout=10).denied_response.status.code == 404
assert check(request(method="PATCH"), timeout=10).denied_response.status.code == 405
assert check(request(path="/public/../me"), timeout=10).denied_response.status.code == 400
answer = check(request(method="GET", path="/public/x", authorization="Bearer x", cookie="__Host-session=x; b=2"), timeout=10)
assert named(answer.ok_response.headers) == {"cookie": "b=2"}, answer
assert list(answer.ok_response.headers_to_remove) == ["authorization"], answer

# What does not name a request whole is no, never yes.
for broken in (
    messages.CheckRequest(),
    request(method="", path="/public/x"),
    request(path="public/x"),
    request(path=""),
    request(address="unix"),
    request(scheme="", path="/public/x"),
):
    answer = check(broken, timeout=10)
    assert answer.status.code == 7 and answer.denied_response.status.code == 403, (broken, answer)

# Bytes that are no message.
garbled = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
try:
    said = garbled(b"\x0a\xff\xff\xff\xff", timeout=10)
    sys.exit(f"garbled bytes were answered: {said}")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
try:
    said = garbled(request(method="GET", path="/public/x").SerializeToString(), timeout=10, compression=grpc.Compression.Gzip)
    sys.exit(f"a compressed message was answered: {said}")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
print("ok")
