"""Logs a customer in as a web application does: Authlib builds the authorization request with PKCE, a browser without
JavaScript fills in the form, and Authlib exchanges the code, calls a route and refreshes.

Usage: oauth_code_client.py BASE_URL CA_FILE CLIENT_ID CLIENT_SECRET REDIRECT_URI ISSUER USERNAME PASSWORD ROUTE.
"""

import sys
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session

base, ca, client_id, secret, redirect_uri, issuer, username, password, route = sys.argv[1:]


class Form(HTMLParser):
    """The action and the fields of the only form of a page."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            assert attributes["method"] == "post", attributes
            self.action = attributes["action"]
        elif tag == "input":
            self.fields[attributes["name"]] = attributes.get("value") or ""


metadata = requests.get(f"{base}/.well-known/oauth-authorization-server", verify=ca).json()
assert metadata["code_challenge_methods_supported"] == ["S256"], metadata
session = OAuth2Session(client_id, secret, redirect_uri=redirect_uri, scope="profile", code_challenge_method="S256")
session.verify, session.trust_env = ca, False
verifier = generate_token(48)
url, state = session.create_authorization_url(f"{base}/oauth/authorize", code_verifier=verifier)

browser = requests.Session()
browser.verify, browser.trust_env = ca, False
page = browser.get(url)
assert page.status_code == 200, page.text
form = Form(page.text)
form.fields.update(username=username, password=password)
answer = browser.post(urljoin(page.url, form.action), data=form.fields, allow_redirects=False)
assert answer.status_code == 303, (answer.status_code, answer.text)
location = answer.headers["Location"]
assert location.startswith(redirect_uri + "?"), location
assert parse_qs(urlsplit(location).query)["iss"] == [issuer], location

token = session.fetch_token(
    f"{base}/oauth/access_token", authorization_response=location, state=state, code_verifier=verifier
)
assert token["token_type"] == "Bearer" and token["scope"] == "profile", token


def call(token):
    return requests.get(base + route, headers={"customer-auth": f"JWT {token['access_token']}"}, verify=ca).status_code


assert call(token) == 200
again = session.refresh_token(f"{base}/oauth/access_token", refresh_token=token["refresh_token"])
assert again["refresh_token"] != token["refresh_token"] and call(again) == 200, again
try:
    session.fetch_token(
        f"{base}/oauth/access_token", authorization_response=location, state=state, code_verifier=verifier
    )
except Exception as fault:  # noqa: BLE001 - whatever the library raises must carry the OAuth error
    assert getattr(fault, "error", None) == "invalid_grant", fault
else:
    sys.exit("a code was taken twice")
assert call(again) == 401
print("ok")
