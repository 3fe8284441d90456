"""Runs the Python checker of docs/backend-assertion.md on requests as a backend got them.

Usage: proof_check.py CHECKER REQUESTS. CHECKER is the text of the checker, REQUESTS a JSON list of objects with proof,
method, host, target and body (in hex). Writes a JSON list: the customer of each, or the name of the error.
"""

import json
import sys

checker, requests = sys.argv[1:]
names = {}
with open(checker) as text:
    exec(compile(text.read(), checker, "exec"), names)
found = []
with open(requests) as cases:
    for case in json.load(cases):
        try:
            body = bytes.fromhex(case["body"])
            customer = names["check"](case["proof"], case["method"], case["host"], case["target"], body)
            found.append({"customer": customer})
        except Exception as error:
            found.append({"refused": type(error).__name__})
print(json.dumps(found))
