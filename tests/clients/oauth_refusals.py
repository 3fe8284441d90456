"""What an OAuth library makes of refusals, and of a refresh token that a public client hands in (Authlib).

Usage: oauth_refusals.py BASE_URL CA_FILE CLIENT_ID CLIENT_SECRET REFRESH_TOKEN
"""

import sys

from authlib.integrations.requests_client import OAuth2Session

base, ca, client_id, secret, refresh_token = sys.argv[1:]
TOKEN, INTROSPECT = f"{base}/oauth/access_token", f"{base}/oauth/introspect"


def session(*args, **kwargs):
    made = OAuth2Session(*args, **kwargs)
    made.verify, made.trust_env = ca, False
    return made


# A public client has an id of its own and no secret (`client_id` in the form, no Authorization).
public = session("my-app", token_endpoint_auth_method="none")
for _ in range(2):
    token = public.refresh_token(TOKEN, refresh_token=refresh_token)
    assert token["access_token"] and token["refresh_token"] != refresh_token, token
    refresh_token = token["refresh_token"]

# Authlib has no way to send a client without its secret but this.
for method, given in [("none", None), ("client_secret_basic", ""), ("client_secret_post", "")]:
    try:
        session(client_id, given, token_endpoint_auth_method=method).fetch_token(
            TOKEN, grant_type="client_credentials"
        )
    except Exception as fault:  # noqa: BLE001 - whatever the library raises must carry the OAuth error
        assert getattr(fault, "error", None) == "invalid_client", (method, fault)
    else:
        sys.exit(f"{method} without a secret was taken")

# Introspection by a token, as resource servers may try it (RFC 7662 section 2.1).
good = session(client_id, secret)
token = good.fetch_token(TOKEN, grant_type="client_credentials")
answer = good.post(INTROSPECT, data={"token": token["access_token"]})
assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), answer.text
assert answer.headers["WWW-Authenticate"].startswith("Basic "), answer.headers
answer = good.get(INTROSPECT)
assert (answer.status_code, answer.json()["error"], answer.headers["Allow"]) == (405, "invalid_request", "POST")
print("ok")
