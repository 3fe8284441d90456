"""Asks as Envoy does about requests with fields that are to be removed, or on the path PASSES that are not.

Usage: ext_authz_fields.py PORT CA_FILE CUSTOMER_TOKEN FIELDS [PASSES].
"""

import sys

from ext_authz import check_of, connected, messages

port, ca, token, fields, *passes = sys.argv[1:]
check = check_of(connected(port, ca))

for path in passes or ("/public/x", "/me/x"):
    for field in set(fields.split()):
        asked = messages.CheckRequest()
        asked.attributes.source.address.socket_address.address = "198.51.100.7"
        http = asked.attributes.request.http
        http.method, http.path, http.host, http.scheme = "GET", path, "localhost", "https"
        http.headers[field] = "t1-somebody-else"
        http.headers["customer-auth"] = f"JWT {token}"
        answer = check(asked, timeout=10)
        if path == "/me/x" and field == "x-customer-id":
            # The route tells it, and the caller names somebody else.
            assert answer.denied_response.status.code == 403, answer
            continue
        assert answer.WhichOneof("http_response") == "ok_response", (path, field, answer)
        removed = {"customer-auth"} if passes else {field, "customer-auth"}
        assert set(answer.ok_response.headers_to_remove) == removed, (path, field, answer)
print("ok")
