"""Calls by httpx over HTTP/2, a plan of them on one client: see calls.rs."""

import sys
import time

import httpx

base, ca, plan, mode = sys.argv[1:5]
calls = lost = 0
with httpx.Client(http2=True, verify=ca, timeout=20) as client:
    lines = [line.split("\t") for line in open(plan).read().splitlines()]
    while True:
        refused = False
        for method, path, size, expected, header in lines:
            if method == "PAUSE":
                time.sleep(int(size) / 1000)
                continue
            name, _, value = header.partition(": ")
            headers = {name: value} if name else {}
            body = b"x" * int(size) if method == "POST" else None
            calls += 1
            try:
                answer = client.request(method, base + path, headers=headers, content=body)
                reason = f"{answer.status_code} {answer.http_version}"
                good = str(answer.status_code) in expected.split(",") and answer.http_version == "HTTP/2"
            except httpx.ConnectError as error:
                if mode == "until-refused":
                    refused, calls = True, calls - 1
                    break
                good, reason = False, repr(error)
            except httpx.HTTPError as error:
                good, reason = False, repr(error)
            if not good:
                lost += 1
                print(f"LOST {method} {path} {size}: {reason}", flush=True)
        if refused or mode == "once":
            break
print(f"DONE {calls} {lost}")
