"""Calls a protected route as an OAuth client does that has a key of its own (private_key_jwt, RFC 7523): Authlib fetches
the token, looks at it (RFC 7662) and revokes it (RFC 7009).

Usage: oauth_key_client.py BASE_URL CA_FILE CLIENT_ID KEY_FILE ALGORITHM ISSUER ROUTE.
"""

import pathlib
import sys

from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT

base, ca, client_id, key_file, algorithm, issuer, route = sys.argv[1:]
key = pathlib.Path(key_file).read_text()


def session_for(audience):
    method = "private_key_jwt"
    session = OAuth2Session(
        client_id,
        key,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope="profile",
    )
    session.register_client_auth_method(PrivateKeyJWT(audience, headers={"kid": "one"}, alg=algorithm))
    session.verify, session.trust_env = ca, False
    return session


for audience in (issuer, f"{issuer}/oauth/access_token"):
    session = session_for(audience)
    token = session.fetch_token(f"{base}/oauth/access_token", grant_type="client_credentials")
    assert token["token_type"] == "Bearer" and token["scope"] == "profile", token
    answer = session.get(base + route)
    assert answer.status_code == 200, (answer.status_code, answer.text)
    known = session.introspect_token(f"{base}/oauth/introspect", token=token["access_token"]).json()
    assert known["active"] is True and known["client_id"] == client_id, known
    gone = session.revoke_token(f"{base}/oauth/revoke", token=token["access_token"])
    assert gone.status_code == 200, (gone.status_code, gone.text)
    assert session.get(base + route).status_code == 401
try:
    session_for("https://other.test/token").fetch_token(f"{base}/oauth/access_token", grant_type="client_credentials")
except Exception as fault:  # noqa: BLE001 - whatever the library raises must carry the OAuth error
    assert getattr(fault, "error", None) == "invalid_client", fault
else:
    sys.exit("an assertion for another server was taken")
print("ok")
