"""Turns what run() returned into a response: a header for the frame and the body.

The header has: status; failed, when the script is to blame; timeout, when
it took too long; ms, how long run() took, when it returned;
error, one line for people who read logs and reports; headers, a list of pairs, when run() returned the
response itself.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from .rawhttp import AMLResponse

Answer = tuple[dict[str, Any], bytes]

SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
INTERNAL = "An unexpected internal error occurred. Check the logs for more info."
NOT_A_NUMBER = (
    "run() returned NaN or an infinity, which JSON cannot carry. "
    "Replace it, for example with None, before returning it."
)


class NotJSON(Exception):
    """What run() returned cannot become JSON; the message is for the client."""


def _convert(value: Any) -> Any:
    # numpy is the model's: if it is not loaded, no value can be one of its own.
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_encoder = json.JSONEncoder(allow_nan=False, default=_convert)


def answer(value: Any, ms: float) -> Answer:
    header: dict[str, Any] = {"status": 200, "ms": ms}
    if _is_response(value):
        header["status"] = value.status_code
        header["headers"] = [[k, str(v)] for k, v in value.headers.items()]
        if value.status_code >= 500:
            header["failed"] = True
        return header, value.get_data()
    if value is None:
        return header, b"{}"
    try:
        return header, _encoder.encode(value).encode()
    except Exception as e:
        if isinstance(e, ValueError) and str(e).startswith("Out of range float"):
            raise NotJSON(NOT_A_NUMBER) from e
        raise NotJSON(INTERNAL) from e


def refusal(status: int, message: str, error: str = "", failed: bool = False, timeout: bool = False) -> Answer:
    header: dict[str, Any] = {"status": status}
    if timeout:
        header["timeout"] = True
    if failed:
        header["failed"] = True
    if error:
        header["error"] = error
    return header, json.dumps({"message": message}).encode()


def _is_response(value: Any) -> bool:
    # Azure's AMLResponse is a flask.Response is one of werkzeug's: a script that returns one has imported it.
    werkzeug = sys.modules.get("werkzeug.wrappers")
    return isinstance(value, AMLResponse) or (werkzeug is not None and isinstance(value, werkzeug.Response))
