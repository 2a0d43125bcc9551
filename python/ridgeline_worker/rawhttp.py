"""What a run() decorated with @rawhttp is given and may return: the HTTP request and response themselves.

Where the environment has Flask, which Azure's own packages bring along, run() gets a flask.Request and
may use all of Flask. Where it has not, it gets Request, which has what scoring scripts use of it; and
azureml.py offers this module's rawhttp, AMLRequest and AMLResponse under their Azure names.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import parse_qsl

MODULES = ("azureml_inference_server_http.api.aml_request", "azureml.contrib.services.aml_request")


def rawhttp(run: Callable[..., Any]) -> Callable[..., Any]:
    """Asks for run() to be given the request itself."""
    global _requested  # noqa: PLW0603  as in Azure's: the decorator marks the process, not the function
    _requested = True
    return run


_requested = False


def requested() -> bool:
    return _requested or any(getattr(sys.modules.get(name), "_rawHttpRequested", False) for name in MODULES)


@contextlib.contextmanager
def request(header: Mapping[str, Any], body: bytes) -> Iterator[Any]:
    """The request of a frame, as run() gets it; Flask's within the context that Flask's functions need."""
    application = _application()
    if application is None:
        yield Request(header, body)
        return
    with application.request_context(_environ(header, body)):
        yield sys.modules["flask"].request


@lru_cache(maxsize=1)
def _application() -> Any:
    if importlib.util.find_spec("flask") is None:
        return None
    import flask  # noqa: PLC0415  the environment's own

    return flask.Flask("ridgeline")


def _environ(header: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """PEP 3333's dictionary."""
    headers = dict(header.get("headers") or {})
    host, _, port = headers.get("Host", "localhost").partition(":")
    environ = {
        "REQUEST_METHOD": header.get("method", "POST"),
        "SCRIPT_NAME": "",
        "PATH_INFO": "/score",
        "QUERY_STRING": header.get("query", ""),
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if body or "Content-Length" in headers:
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in headers.items():
        if name == "Content-Type":
            environ["CONTENT_TYPE"] = value
        elif name not in ("Content-Length", "Transfer-Encoding"):
            environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ


class Headers(Mapping[str, str]):
    """Headers by name, in any case."""

    def __init__(self, pairs: Iterable[tuple[str, str]]):
        self._pairs = list(pairs)

    def __getitem__(self, name: str) -> str:
        for key, value in self._pairs:
            if key.lower() == name.lower():
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, name: object) -> bool:
        return any(key.lower() == str(name).lower() for key, _ in self._pairs)

    def items(self) -> Any:
        return list(self._pairs)

    def getlist(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key.lower() == name.lower()]

    def add(self, name: str, value: object) -> None:
        self._pairs.append((name, str(value)))

    def __setitem__(self, name: str, value: object) -> None:
        self._pairs = [p for p in self._pairs if p[0].lower() != name.lower()] + [(name, str(value))]


class Values(dict[str, Any]):
    """Values by name: the first of each name, and all of them by getlist."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]):
        self._all: dict[str, list[Any]] = {}
        for key, value in pairs:
            self._all.setdefault(key, []).append(value)
        super().__init__({key: values[0] for key, values in self._all.items()})

    def getlist(self, name: str) -> list[Any]:
        return list(self._all.get(name, []))


class File(io.BytesIO):
    """A file of a form."""

    def __init__(self, name: str, filename: str, content_type: str, content: bytes):
        super().__init__(content)
        self.name, self.filename, self.content_type = name, filename, content_type

    @property
    def stream(self) -> File:
        return self

    def save(self, to: Any) -> None:
        if hasattr(to, "write"):
            to.write(self.getvalue())
            return
        with open(to, "wb") as f:
            f.write(self.getvalue())


class Request:
    """The part of flask.Request that scoring scripts use."""

    path = "/score"

    def __init__(self, header: Mapping[str, Any], body: bytes):
        self.method: str = header.get("method", "POST")
        self.query_string: bytes = header.get("query", "").encode()
        self.headers = Headers((header.get("headers") or {}).items())
        self.content_type: str | None = self.headers.get("Content-Type")
        self.mimetype: str = (self.content_type or "").partition(";")[0].strip().lower()
        self.content_length = len(body) if body or "Content-Length" in self.headers else None
        self._body = body

    def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        return self._body.decode("utf-8", "replace") if as_text else self._body

    @property
    def data(self) -> bytes:
        """The body, but for a form's, which Flask has in form and files instead."""
        return b"" if self.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data") else self._body

    @cached_property
    def stream(self) -> io.BytesIO:
        return io.BytesIO(self._body)

    @cached_property
    def args(self) -> Values:
        return Values(parse_qsl(self.query_string.decode(), keep_blank_values=True))

    @property
    def is_json(self) -> bool:
        return self.mimetype == "application/json" or (
            self.mimetype.startswith("application/") and self.mimetype.endswith("+json")
        )

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The body's JSON value; where it is none, None when silent, else a ValueError."""
        if not (force or self.is_json):
            if silent:
                return None
            raise ValueError(f"expected Content-Type application/json, got {self.content_type!r}")
        try:
            return json.loads(self._body)
        except (ValueError, RecursionError):
            if silent:
                return None
            raise

    @property
    def json(self) -> Any:
        return self.get_json()

    @cached_property
    def _parts(self) -> tuple[list[tuple[str, str]], list[tuple[str, File]]]:
        if self.mimetype == "application/x-www-form-urlencoded":
            return parse_qsl(self._body.decode("utf-8", "replace"), keep_blank_values=True), []
        if self.mimetype == "multipart/form-data":
            return multipart(self.content_type or "", self._body)
        return [], []

    @property
    def form(self) -> Values:
        return Values(self._parts[0])

    @cached_property
    def files(self) -> Values:
        return Values(self._parts[1])

    @property
    def values(self) -> Values:
        return Values([*self.args.items(), *self.form.items()])


def multipart(content_type: str, body: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, File]]]:
    """The fields and the files of a multipart/form-data body (RFC 7578); nothing of one that has no end."""
    from email.message import Message  # noqa: PLC0415  most workers never need it
    from email.parser import BytesHeaderParser  # noqa: PLC0415

    kind = Message()
    kind["Content-Type"] = content_type
    boundary = kind.get_boundary()
    if not boundary:
        raise ValueError("Missing boundary")
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, File]] = []
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:]:
        if part.startswith(b"--"):
            return fields, files
        head, found, content = part.partition(b"\r\n\r\n")
        headers = BytesHeaderParser().parsebytes(head.lstrip(b"\r\n"))
        name = headers.get_param("name", header="Content-Disposition")
        if not found or not isinstance(name, str):
            continue
        filename = headers.get_filename()
        if filename is None:
            fields.append((name, content.decode("utf-8", "replace")))
        else:
            files.append((name, File(name, filename, headers.get_content_type(), content)))
    return [], []


class AMLResponse:
    """The response that run() wants to be sent as it is. Header values are split at commas, each into a
    header of its own, and x-ms-run-function-failed says what run_function_failed does: as in Azure's."""

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ):
        self.status_code = int(status_code)
        response_headers = response_headers or {}
        self.headers = Headers([])
        if message is None or json_str:
            self._body = json.dumps({} if message is None else message).encode()
            self.headers.add("Content-Type", "application/json")
        else:
            self._body = message.encode() if isinstance(message, str) else bytes(message)
            if "Content-Type" not in response_headers:
                self.headers.add("Content-Type", "text/html; charset=utf-8")
        self.headers["x-ms-run-function-failed"] = run_function_failed
        for name, value in response_headers.items():
            for one in value.split(","):
                self.headers.add(name, one.strip())

    def get_data(self, as_text: bool = False) -> Any:
        return self._body.decode() if as_text else self._body

    @property
    def data(self) -> bytes:
        return self._body
