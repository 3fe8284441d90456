"""Validates an OpenAPI document, then calls each operation of it that the arguments name, with nothing but the document.

Arguments: the document's file, the base address, the CA, and credentials as NAME=VALUE (scheme -> value). Prints one line
for each call: operationId and status."""

import json
import re
import ssl
import sys

import httpx
from openapi_spec_validator import OpenAPIV31SpecValidator


def resolved(document, value):
    while isinstance(value, dict) and "$ref" in value:
        target = document
        for token in value["$ref"].removeprefix("#/").split("/"):
            target = target[token.replace("~1", "/").replace("~0", "~")]
        value = target
    return value


def sample(document, schema):
    schema = resolved(document, schema) or {}
    if "enum" in schema:
        return schema["enum"][0]
    for combination in ("allOf", "anyOf", "oneOf"):
        if combination in schema:
            parts = schema[combination] if combination == "allOf" else schema[combination][:1]
            values = [sample(document, part) for part in parts]
            return {k: v for value in values for k, v in value.items()} if isinstance(values[0], dict) else values[0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        wanted = schema.get("required", [])
        return {name: sample(document, member) for name, member in schema.get("properties", {}).items() if name in wanted}
    if kind == "array":
        return [sample(document, schema.get("items", {}))] * max(1, schema.get("minItems", 1))
    if kind == "integer":
        return schema.get("minimum", 1)
    if kind == "number":
        return schema.get("minimum", 1.5)
    if kind == "boolean":
        return True
    return {"^[0-9]+$": "7", "^[0-9]{5}$": "12345"}.get(schema.get("pattern"), "sample")


def credentials(document, operation, known):
    headers = {}
    for way in operation["security"][:1]:
        for name in way:
            scheme = document["components"]["securitySchemes"][name]
            if scheme["type"] == "apiKey" and scheme["in"] == "header":
                headers[scheme["name"]] = known[name]
            elif scheme["type"] == "oauth2" or scheme.get("scheme") == "bearer":
                headers["Authorization"] = "Bearer " + known[name]
    return headers


def main(file, base, ca, *pairs):
    document = json.load(open(file))
    OpenAPIV31SpecValidator(document).validate()
    known = dict(pair.split("=", 1) for pair in pairs)
    client = httpx.Client(base_url=base, verify=ssl.create_default_context(cafile=ca))
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if not known or path.startswith(("/.well-known", "/oauth", "/auth")):
                continue
            target, query = path, {}
            headers = credentials(document, operation, known)
            for parameter in operation.get("parameters", []):
                value = sample(document, parameter.get("schema", {}))
                if parameter["in"] == "path":
                    target = target.replace("{" + parameter["name"] + "}", str(value))
                elif parameter.get("required") and parameter["in"] == "query":
                    query[parameter["name"]] = value
                elif parameter.get("required") and parameter["in"] == "header":
                    headers[parameter["name"]] = str(value)
            assert not re.search("[{}]", target), target
            content = operation.get("requestBody", {}).get("content", {})
            body = content.get("application/json")
            arguments = {"json": sample(document, body["schema"])} if body else {}
            response = client.request(method.upper(), target, params=query, headers=headers, **arguments)
            print(operation["operationId"], response.status_code)


main(*sys.argv[1:])
