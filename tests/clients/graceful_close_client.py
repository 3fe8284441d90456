"""Waits for the end of a WebSocket or of an event stream as a program with a library does.

Usage: graceful_close_client.py URL CA_FILE. Says `open` once there is one, and then what it saw of the end: the code of the
Close frame, or that the stream ended whole and after which bytes.
"""

import asyncio
import ssl
import sys

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

url, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)


async def websocket():
    async with connect(url, ssl=context, proxy=None, subprotocols=["chat.v2"]) as socket:
        await socket.recv()
        await socket.send("before")
        assert await socket.recv() == "before"
        print("open", flush=True)
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            print("closed", closed.rcvd and closed.rcvd.code, flush=True)


async def events(http2):
    async with httpx.AsyncClient(verify=context, http2=http2, http1=not http2, trust_env=False, timeout=30) as client:
        async with client.stream("GET", url) as answer:
            data = b""
            async for piece in answer.aiter_raw():
                if not data:
                    print("open", flush=True)
                data += piece
            print(answer.http_version, repr(data), flush=True)


if url.startswith("wss:"):
    asyncio.run(websocket())
else:
    version, _, rest = url.partition("+")
    url = rest
    asyncio.run(events(version == "2"))
