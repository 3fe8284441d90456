"""An OTLP collector by the messages of the opentelemetry-proto package: HTTP and gRPC at the same time.

Usage: otlp_collector.py [CERTIFICATE KEY]. The first line of its output has both ports, as JSON; then comes a line for
each export that it takes. Lines of its input say what it does from then on: `take`, `refuse STATUS` (of HTTP; gRPC says
UNAVAILABLE), `reject` (a partial success that takes nothing) or `hang`.
"""

import base64
import json
import ssl
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages

behaviour = ["take"]
printing = threading.Lock()


def follow_input():
    for line in sys.stdin:
        behaviour[:] = line.split()
        say({"behaviour": line.strip()})


def say(value):
    with printing:
        print(json.dumps(value), flush=True)


def value_of(value):
    return getattr(value, value.WhichOneof("value"))


def attributes_of(pairs):
    return {pair.key: value_of(pair.value) for pair in pairs}


def tell(protocol, headers, raw):
    request = messages.ExportTraceServiceRequest.FromString(raw)
    for resource_spans in request.resource_spans:
        spans = [
            {
                "trace_id": span.trace_id.hex(),
                "span_id": span.span_id.hex(),
                "parent": span.parent_span_id.hex(),
                "name": span.name,
                "kind": span.kind,
                "start": span.start_time_unix_nano,
                "end": span.end_time_unix_nano,
                "attributes": attributes_of(span.attributes),
                "error": span.status.message if span.status.code == 2 else None,
            }
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]
        resource = attributes_of(resource_spans.resource.attributes)
        raw = base64.b64encode(raw).decode()
        say({"protocol": protocol, "headers": headers, "resource": resource, "spans": spans, "raw": raw})


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if behaviour[0] == "hang":
            say({"hangs": True})
            threading.Event().wait()
        if behaviour[0] == "refuse":
            say({"refused": True})
            self.send_response(int(behaviour[1]))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
            say({"wrong": f"{self.path} {self.headers['Content-Type']}"})
            self.send_error(404)
            return
        answer = messages.ExportTraceServiceResponse()
        if behaviour[0] == "reject":
            answer.partial_success.rejected_spans = 1_000_000
        else:
            tell("http", dict(self.headers), raw)
        answer = answer.SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def export(raw, context):
    if behaviour[0] == "hang":
        say({"hangs": True})
        threading.Event().wait()
    if behaviour[0] == "refuse":
        say({"refused": True})
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
    tell("grpc", dict(context.invocation_metadata()), raw)
    return messages.ExportTraceServiceResponse().SerializeToString()


http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
grpc_server = grpc.server(futures.ThreadPoolExecutor(8))
handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
service = "opentelemetry.proto.collector.trace.v1.TraceService"
grpc_server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
if len(sys.argv) > 1:
    certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    http_server.socket = context.wrap_socket(http_server.socket, server_side=True)
    pair = [(open(key, "rb").read(), open(certificate, "rb").read())]
    grpc_port = grpc_server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair))
else:
    grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
threading.Thread(target=follow_input, daemon=True).start()
grpc_server.start()
say({"http": http_server.server_address[1], "grpc": grpc_port})
http_server.serve_forever()
