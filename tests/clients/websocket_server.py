"""A backend with WebSockets. Its first message tells what came with the handshake; then it sends back each message,
in as many fragments as X-Fragments says.

Usage: websocket_server.py. The first line of its output is its port.
"""

import json

from websockets.sync.server import serve


def answer(socket):
    headers = socket.request.headers
    socket.send(json.dumps({"path": socket.request.path, "headers": list(headers.raw_items())}))
    fragments = int(headers.get("X-Fragments", "1"))
    for message in socket:
        if fragments == 1 or not message:
            socket.send(message)
        else:
            size = max(1, -(-len(message) // fragments))
            socket.send(message[at : at + size] for at in range(0, len(message), size))


with serve(answer, "127.0.0.1", 0, subprotocols=["chat.v2"], max_size=None) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
