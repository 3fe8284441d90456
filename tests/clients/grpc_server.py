"""A gRPC service of bytes: /me.Echo/One sends back its message, /me.Echo/Many each of its messages as it comes, and
/me.Echo/No an error with a detail. Each first tells in its initial metadata whom the gateway named as the customer.

Usage: grpc_server.py. The first line of its output is its port.
"""

from concurrent import futures

import grpc


def welcome(context):
    named = [value for key, value in context.invocation_metadata() if key == "x-customer-id"]
    context.send_initial_metadata((("customer", ",".join(named)),))
    context.set_trailing_metadata((("ending", "well"),))


def one(message, context):
    welcome(context)
    return message


def many(messages, context):
    welcome(context)
    yield from messages


def no(message, context):
    welcome(context)
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")


server = grpc.server(futures.ThreadPoolExecutor(8))
handlers = {
    "One": grpc.unary_unary_rpc_method_handler(one),
    "Many": grpc.stream_stream_rpc_method_handler(many),
    "No": grpc.unary_unary_rpc_method_handler(no),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("me.Echo", handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
