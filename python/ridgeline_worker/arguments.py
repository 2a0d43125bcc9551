"""Turns a request into the keyword arguments of run()."""

from __future__ import annotations

import codecs
import inspect
import json
from typing import Any
from urllib.parse import parse_qsl

from .script import Script

# Bytes that are no UTF-8 stay percent-encoded, as Flask leaves them.
UNDECODED = "ridgeline.percent"
codecs.register_error(UNDECODED, lambda e: ("".join(f"%{b:02X}" for b in e.object[e.start : e.end]), e.end))


class BadRequest(Exception):
    """The request cannot be turned into arguments; status and message are the contract's."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def arguments(script: Script, header: dict[str, Any], body: bytes) -> dict[str, Any]:
    """header has: method (POST when absent), query (raw), content_type, headers (Title-Case names)."""
    get = header.get("method") == "GET"
    if script.by_name:
        values = _named(script, _query(header) if get else _object(header, body))
    elif get:
        values = {script.parameters[0].name: json.dumps(_query(header))}
    else:
        try:
            values = {script.parameters[0].name: str(body, "utf-8")}
        except UnicodeDecodeError as e:
            raise BadRequest(400, f"Input cannot be decoded as UTF-8: {e}") from None
    if script.wants_headers:
        values["request_headers"] = header.get("headers") or {}
    return values


def _query(header: dict[str, Any]) -> dict[str, Any]:
    """?a=1&b=x&b=y is {"a": 1, "b": ["x", "y"]}: each value JSON if it can be, else a string."""
    found: dict[str, list[Any]] = {}
    for key, text in parse_qsl(header.get("query", ""), keep_blank_values=True, errors=UNDECODED):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        found.setdefault(key, []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _object(header: dict[str, Any], body: bytes) -> dict[str, Any]:
    kind = header.get("content_type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise BadRequest(415, "Expects Content-Type to be application/json")
    if not body:
        raise BadRequest(400, "POST body is empty. Expecting a JSON dictionary.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise BadRequest(400, f"POST body could not be decoded as JSON: {e}") from None
    if not isinstance(value, dict):
        raise BadRequest(400, "POST body should be a JSON dictionary.")
    return value


def _named(script: Script, given: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for parameter in script.parameters:
        value = given.get(parameter.name, parameter.default)
        if value is inspect.Parameter.empty:
            raise BadRequest(400, f"A value is not provided for the {parameter.name!r} parameter.")
        values[parameter.name] = value
    return values
