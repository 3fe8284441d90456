"""Talks to a backend through the gateway as a program with a WebSocket library does.

Usage: websocket_client.py URL CA_FILE CUSTOMER_TOKEN IDENTIFIER. Messages of all kinds come back as they were sent;
the backend was told the identifier.
"""

import asyncio
import json
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

url, ca, token, identifier = sys.argv[1:]
context = ssl.create_default_context(cafile=ca) if url.startswith("wss:") else None
large = os.urandom(2 * 1024 * 1024)
messages = ("", "text \N{SNOWMAN}", b"", b"\x00\xff", "a" * 125, "a" * 126, "a" * 65536, large)


async def talk(compression, fragments):
    headers = {"customer-auth": f"JWT {token}", "X-Fragments": fragments}
    async with connect(url, ssl=context, additional_headers=headers, subprotocols=["chat.v2"], compression=compression,
                       max_size=None, proxy=None) as socket:
        assert socket.subprotocol == "chat.v2", socket.subprotocol
        told = json.loads(await socket.recv())
        named = [value for name, value in told["headers"] if name.lower() == "x-customer-id"]
        assert named == [identifier], named
        names = {name.lower() for name, _ in told["headers"]}
        assert "customer-auth" not in names, names
        for message in messages:
            await socket.send(message)
            back = await socket.recv()
            assert back == message, (len(back), len(message))
        # In fragments, and with a ping behind them.
        await socket.send(large[at : at + 10_000] for at in range(0, len(large), 10_000))
        await asyncio.wait_for(await socket.ping(), 5)
        assert await socket.recv() == large
        # Many at once, answered in order.
        for number in range(300):
            await socket.send(str(number))
        assert [await socket.recv() for _ in range(300)] == [str(number) for number in range(300)]
        await socket.close(code=4001, reason="done")
        assert socket.close_code == 4001, socket.close_code


async def main():
    for compression in ("deflate", None):
        for fragments in ("1", "7"):
            await talk(compression, fragments)
    try:
        await connect(url, ssl=context, proxy=None)
    except InvalidStatus as refused:
        assert refused.response.status_code == 401, refused.response.status_code
    else:
        sys.exit("a caller without a token was let in")


asyncio.run(main())
print("ok")
