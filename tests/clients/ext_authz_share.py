"""Asks by gRPC, as Envoy does, for calls of many addresses without credentials; prints who is refused.

Usage: ext_authz_share.py PORT CA_FILE PATH COUNT.
"""

import json
import sys

from ext_authz import check_of, connected, messages

port, ca, path, count = sys.argv[1:]
check = check_of(connected(port, ca))
refused = []
for number in range(int(count)):
    asked = messages.CheckRequest()
    asked.attributes.source.address.socket_address.address = f"198.51.100.{number}"
    http = asked.attributes.request.http
    http.method, http.path, http.host, http.scheme, http.size = "GET", path, "localhost", "https", -1
    answer = check(asked, timeout=10)
    if answer.status.code == 0:
        assert not [one for one in answer.ok_response.headers if one.header.key == "x-customer-id"], answer
    else:
        assert answer.denied_response.status.code == 401, answer
        refused.append(number)
print(json.dumps(refused))
