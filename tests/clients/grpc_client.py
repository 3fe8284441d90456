"""Calls a gRPC service through the gateway as a program with a gRPC library does.

Usage: grpc_client.py PORT CA_FILE CUSTOMER_TOKEN IDENTIFIER.
"""

import queue
import sys

import grpc

port, ca, token, identifier = sys.argv[1:]
with open(ca, "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
metadata = (("customer-auth", f"JWT {token}"), ("x-customer-id", identifier))

with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
    one = channel.unary_unary("/me.Echo/One")
    for message in (b"", b"hello", bytes(1_000_000)):
        back, call = one.with_call(message, metadata=metadata, timeout=10)
        assert back == message
        assert dict(call.initial_metadata())["customer"] == identifier, call.initial_metadata()
        assert dict(call.trailing_metadata())["ending"] == "well", call.trailing_metadata()

    # Each answer comes before the next message is sent.
    messages = queue.Queue()
    answers = channel.stream_stream("/me.Echo/Many")(iter(messages.get, None), metadata=metadata, timeout=10)
    for number in range(20):
        messages.put(f"message {number}".encode())
        assert next(answers) == f"message {number}".encode()
    messages.put(None)
    assert list(answers) == []
    assert answers.code() == grpc.StatusCode.OK

    for path, shown, code in (
        ("/me.Echo/No", metadata, grpc.StatusCode.FAILED_PRECONDITION),
        ("/me.Echo/One", (), grpc.StatusCode.UNAUTHENTICATED),
    ):
        try:
            channel.unary_unary(path)(b"hello", metadata=shown, timeout=10)
        except grpc.RpcError as error:
            assert error.code() == code, error
            assert code != grpc.StatusCode.FAILED_PRECONDITION or error.details() == "not today", error
        else:
            raise AssertionError(f"{path} was answered")
