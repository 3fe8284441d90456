"""Calls a protected route as an OAuth client does: Authlib fetches the token, by Basic and by the form,
looks at it (RFC 7662) and revokes it (RFC 7009).

Usage: oauth_client.py BASE_URL CA_FILE CLIENT_ID CLIENT_SECRET ROUTE. The secret may hold any characters.
"""

import sys

from authlib.integrations.requests_client import OAuth2Session

base, ca, client_id, secret, route = sys.argv[1:]
for method in ("client_secret_basic", "client_secret_post"):
    session = OAuth2Session(client_id, secret, token_endpoint_auth_method=method, scope="profile")
    session.verify, session.trust_env = ca, False
    token = session.fetch_token(f"{base}/oauth/access_token", grant_type="client_credentials")
    assert token["token_type"] == "Bearer", token
    assert int(token["expires_in"]) == 28800, token
    assert token["scope"] == "profile", token
    answer = session.get(base + route)
    assert answer.status_code == 200, (method, answer.status_code, answer.text)
    known = session.introspect_token(f"{base}/oauth/introspect", token=token["access_token"]).json()
    assert known["active"] is True and known["client_id"] == client_id, known
    gone = session.revoke_token(f"{base}/oauth/revoke", token=token["access_token"])
    assert gone.status_code == 200, (method, gone.status_code, gone.text)
    known = session.introspect_token(f"{base}/oauth/introspect", token=token["access_token"]).json()
    assert known == {"active": False}, known
    assert session.get(base + route).status_code == 401, method
    refused = OAuth2Session(client_id, secret + "x", token_endpoint_auth_method=method)
    refused.verify, refused.trust_env = ca, False
    try:
        refused.fetch_token(f"{base}/oauth/access_token", grant_type="client_credentials")
    except Exception as fault:  # noqa: BLE001 - whatever the library raises must carry the OAuth error
        assert getattr(fault, "error", None) == "invalid_client", fault
    else:
        sys.exit("a wrong secret was taken")
print("ok")
