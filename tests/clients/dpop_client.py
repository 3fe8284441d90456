"""Calls a protected route with a token that is bound to a key (DPoP, RFC 9449); PyJWT makes the proofs.

Usage: dpop_client.py BASE_URL CA_FILE CLIENT_ID CLIENT_SECRET ROUTE.
"""

import base64
import hashlib
import json
import sys
import time
import uuid

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

base, ca, client_id, secret, route = sys.argv[1:]
session = requests.Session()
session.verify, session.trust_env = ca, False
KEYS = [
    ("ES256", ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    ("ES384", ec.generate_private_key(ec.SECP384R1()), ECAlgorithm),
    ("EdDSA", ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
    ("PS256", rsa.generate_private_key(65537, 2048), RSAAlgorithm),
]


def proof(algorithm, key, kind, method, url, token=None):
    claims = {"jti": str(uuid.uuid4()), "htm": method, "htu": url, "iat": int(time.time())}
    if token:
        digest = hashlib.sha256(token.encode()).digest()
        claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    jwk = json.loads(kind.to_jwk(key.public_key()))
    jwk.pop("key_ops", None)
    return jwt.encode(claims, key, algorithm, headers={"typ": "dpop+jwt", "jwk": jwk})


for algorithm, key, kind in KEYS:
    url = f"{base}/oauth/access_token"
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    answer = session.post(url, data=form, headers={"DPoP": proof(algorithm, key, kind, "POST", url)})
    assert answer.status_code == 200 and answer.json()["token_type"] == "DPoP", (algorithm, answer.text)
    token = answer.json()["access_token"]
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof(algorithm, key, kind, "GET", base + route, token)}
    answer = session.get(base + route, headers=headers)
    assert answer.status_code == 200, (algorithm, answer.text)
    answer = session.get(base + route, headers=headers)
    assert answer.status_code == 401 and "invalid_dpop_proof" in answer.headers["WWW-Authenticate"], answer.text
    answer = session.get(base + route, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401 and "invalid_token" in answer.headers["WWW-Authenticate"], answer.text
print("ok")
