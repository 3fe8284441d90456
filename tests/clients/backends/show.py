"""Servers of Python's own library: show.py http.server|http.server-1.1|http.server-1.1-single|wsgiref PORT REQUESTS

They answer with what they have read of a request, an empty line and the body, and write each request line to the file
REQUESTS. The single one serves a connection until its end before it accepts the next.
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from wsgiref.simple_server import WSGIRequestHandler, make_server

KIND, PORT, REQUESTS = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def note(handler):
    with open(REQUESTS, "a", encoding="utf-8") as file:
        file.write(handler.requestline + "\n")


def shown(pairs, body):
    return "".join(f"{name}={value}\n" for name, value in pairs).encode() + b"\n" + body


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1" if "1.1" in KIND else "HTTP/1.0"

    def do_GET(self):
        note(self)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        one = self.headers.get("X-Customer-Id")
        answer = shown([("first", one), ("host", self.headers["Host"]), *self.headers.items()], body)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        # Many a handler leaves it to the end of the connection.
        if "until-close" not in self.path:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        note(self)


def application(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [shown(environ.items(), body)]


if KIND == "wsgiref":
    server = make_server("127.0.0.1", PORT, application, handler_class=Quiet)
else:
    kind = HTTPServer if KIND.endswith("single") else ThreadingHTTPServer
    server = kind(("127.0.0.1", PORT), Handler)
server.serve_forever()
