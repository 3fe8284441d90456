"""Hands in a customer's token as an OAuth client does (RFC 8693, RFC 7523) with Authlib, and calls a route with what it gets.

Usage: oauth_exchange_client.py BASE_URL CA_FILE CLIENT_ID CLIENT_SECRET CUSTOMER_TOKEN ROUTE
"""

import sys

from authlib.integrations.requests_client import OAuth2Session

base, ca, client_id, secret, customer, route = sys.argv[1:]
KIND = "urn:ietf:params:oauth:grant-type:"
TYPE = "urn:ietf:params:oauth:token-type:"
for method in ("client_secret_basic", "client_secret_post"):
    own = OAuth2Session(client_id, secret, token_endpoint_auth_method=method)
    own.verify, own.trust_env = ca, False
    own.fetch_token(f"{base}/oauth/access_token", grant_type="client_credentials")
    for grant, more in (
        ("token-exchange", {"subject_token": customer, "subject_token_type": TYPE + "id_token"}),
        ("jwt-bearer", {"assertion": customer}),
    ):
        session = OAuth2Session(client_id, secret, token_endpoint_auth_method=method)
        session.verify, session.trust_env = ca, False
        token = session.fetch_token(f"{base}/oauth/access_token", grant_type=KIND + grant, **more)
        assert token["token_type"] == "Bearer" and int(token["expires_in"]) <= 300, token
        assert token.get("issued_token_type") in (None, TYPE + "access_token"), token
        answer = own.get(base + route, headers={"customer-auth": "JWT " + token["access_token"]})
        assert answer.status_code == 200, (method, grant, answer.status_code, answer.text)
        for name in ("subject_token", "assertion"):
            if name in more:
                more[name] = "x"
        try:
            session.fetch_token(f"{base}/oauth/access_token", grant_type=KIND + grant, **more)
        except Exception as fault:  # noqa: BLE001 - whatever the library raises must carry the OAuth error
            expected = "invalid_grant" if grant == "jwt-bearer" else "invalid_request"
            assert getattr(fault, "error", None) == expected, fault
        else:
            sys.exit("a bad token was taken")
print("ok")
