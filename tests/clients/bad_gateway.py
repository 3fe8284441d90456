"""A gateway that does wrong what can be done wrong: `wicketgate doctor` must find each of it.

Usage: bad_gateway.py CERTIFICATE KEY; prints its port.
"""
import base64, hashlib, http.server, json, ssl, sys, time, urllib.parse


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(username):
    now = int(time.time()) - 600
    claims = {"sub": hashlib.md5(username.encode()).hexdigest(), "email": username + "@example.com", "iat": now, "exp": now + 90 * 86400}
    return ".".join([b64(json.dumps({"alg": "ES256", "kid": "lost"}).encode()), b64(json.dumps(claims).encode()), b64(b"x" * 64)])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, headers=()):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        url = urllib.parse.urlsplit(self.path)
        form = {name: values[0] for name, values in urllib.parse.parse_qs(body or url.query).items()}
        if url.path == "/auth/customer_authenticate":
            if form.get("username", "").startswith("wicketgate-doctor-") and not url.query:
                return self.answer(401, {"error": "no such user"})
            if form.get("password", "").startswith("not-a-password") and not url.query:
                return self.answer(401, {"error": "wrong password"})
            return self.answer(200, {"JWT": token(form["username"]), "issued_at": 1, "expires_in": 60},
                               [("Set-Cookie", "session=1; Path=/"), ("Cache-Control", "max-age=60")])
        if url.path == "/oauth/access_token":
            if form.get("client_secret") == "not-a-secret-1":
                return self.answer(401, {"error": "unauthorized", "client": form["client_id"]})
            return self.answer(200, {"access_token": "opaque", "token_type": "bearer", "expires_in": 10_000_000})
        # Whoever comes is let in, as whom it says.
        spoofed = self.headers.get("X-Customer-Id") or self.headers.get("X_Customer_Id")
        shown = self.headers.get("customer-auth", "").rpartition(" ")[2].split(".")
        known = json.loads(base64.urlsafe_b64decode(shown[1] + "==")) if len(shown) == 3 else {}
        self.answer(200, {"customer": spoofed or known.get("sub")})

    def do_GET(self):
        if self.path == "/.well-known/jwks.json":
            return self.answer(200, {"keys": [{"kty": "EC", "crv": "P-256", "kid": "other", "d": "AA", "x": b64(b"x" * 32), "y": b64(b"y" * 32)}]})
        if self.path == "/auth/customer_authenticate":
            return self.answer(200, {})
        self.answer(404, {})

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
context.set_ciphers("ALL:@SECLEVEL=0")
context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
