"""What callers show: made once for a comparison, and for tokens of another issuer kept for some hours."""

import base64
import hashlib
import json
import secrets
import subprocess
import time
from pathlib import Path

from process import Failure
from workspace import Workspace, openssl

ISSUER = "https://login.bench.invalid"
GATEWAY_ISSUER = "https://gateway.bench.invalid"
AUDIENCE = "bench"
# The tokens live for 24 hours.
KEPT_SECONDS = 12 * 3600


class IssuerKey:
    """A key of an issuer besides the gateway: private, public, and the tokens that it has signed."""

    def __init__(self, directory: Path, algorithm: str):
        self.algorithm = algorithm
        self.private, self.public = directory / f"{algorithm}.pem", directory / f"{algorithm}.pub"
        self.tokens = directory / f"{algorithm}.tokens"
        if not self.private.exists() or time.time() - self.private.stat().st_mtime > KEPT_SECONDS:
            self.tokens.unlink(missing_ok=True)
            kind = {
                "RS256": ("RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
                "ES256": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
            }[algorithm]
            openssl("genpkey", "-algorithm", *kind, "-out", self.private)
            self.private.chmod(0o600)
            openssl("pkey", "-in", self.private, "-pubout", "-out", self.public)

    def sign(self, workspace: Workspace, count: int) -> None:
        """So many tokens, each of another customer."""
        done = subprocess.run(
            [
                str(workspace.load), "tokens", "--algorithm", self.algorithm, "--key", str(self.private),
                "--key-id", self.algorithm, "--issuer", ISSUER, "--audience", AUDIENCE,
                "--count", str(count), "--out", str(self.tokens),
            ],
            capture_output=True,
            text=True,
        )  # fmt: skip
        if done.returncode:
            raise Failure(f"load tokens: {done.stderr}")

    def jwk(self) -> dict:
        """The public half (RFC 7517)."""
        common = {"kid": self.algorithm, "alg": self.algorithm, "use": "sig"}
        if self.algorithm == "RS256":
            modulus = openssl("rsa", "-pubin", "-in", self.public, "-noout", "-modulus").decode()
            number = bytes.fromhex(modulus.strip().removeprefix("Modulus="))
            return common | {"kty": "RSA", "n": encoded(number), "e": "AQAB"}
        point = openssl("pkey", "-pubin", "-in", self.public, "-outform", "DER")[-64:]
        return common | {"kty": "EC", "crv": "P-256", "x": encoded(point[:32]), "y": encoded(point[32:])}


class Credentials:
    """The client, its API key, the customer, and another issuer's keys."""

    client = username = subject = api_key_id = "bench"

    def __init__(self, workspace: Workspace):
        self.secret, self.secret_hash = made_by(workspace.gateway, "client-secret", "$argon2id$")
        self.api_key, self.api_key_digest = made_by(workspace.gateway, "api-key", "")
        self.cookie_key = workspace.write("cookie.key", secrets.token_hex(32), 0o600)
        self.identifier_key = workspace.path / "identifier.key"
        made(workspace.gateway, "identifier-key", "--file", self.identifier_key)
        self.issuer = {algorithm: IssuerKey(workspace.kept, algorithm) for algorithm in ("RS256", "ES256")}

    def jwks(self, workspace: Workspace, count: int = 2) -> Path:
        """The key set of the other issuer (RFC 7517): its two keys, behind as many more as are wanted.

        The others are one key by many names, which nobody signs with: a key is looked up by its name.
        """
        keys = [key.jwk() for key in self.issuer.values()]
        more = [keys[-1] | {"kid": f"unused{number}"} for number in range(count - len(keys))]
        return workspace.write(f"jwks-{count}.json", json.dumps({"keys": more + keys}))

    def signing_keys(self, workspace: Workspace, algorithm: str) -> Path:
        """A directory with one key of the gateway's own."""
        directory = workspace.path / f"signing-{algorithm}"
        if not directory.exists():
            made(workspace.gateway, "signing-key", "--directory", directory, "--algorithm", algorithm)
        return directory


def numbered_key(number: int) -> tuple[str, str]:
    """One of many API keys, and its digest."""
    key = f"bench-key-{number:08d}-" + "k" * 24
    return key, hashlib.sha256(key.encode()).hexdigest()


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def made(gateway: Path, *words) -> str:
    """What `wicketgate new` prints."""
    done = subprocess.run([str(gateway), "new", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"wicketgate new {words[0]}: {done.stderr}")
    return done.stdout


def made_by(gateway: Path, what: str, prefix: str) -> tuple[str, str]:
    """A new secret, and what gateway.yaml says of it."""
    lines = [line.strip() for line in made(gateway, what).splitlines()]
    digest = lines[-1].split("[ ")[1].split(" ]")[0].strip('"')
    if not digest.startswith(prefix):
        raise Failure(f"wicketgate new {what} printed something else than expected:\n" + "\n".join(lines))
    return lines[1], digest
