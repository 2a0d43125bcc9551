"""Tells the scorer's sink which rows of azureml-ai-monitoring's Collector no client asked for.

A Collector sends what run() gave it later, from a thread of its own, and without a word of the request. So
the purpose of a request that the platform made itself (a smoke test, a mirrored one) is put on what is
collected while run() is at it, as one more of the headers that the package sends.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

HEADER = "x-ridgeline-purpose"  # the package puts ce- before it

_now = ""  # why run() is being called, when no client asked


@contextlib.contextmanager
def during(purpose: str) -> Iterator[None]:
    """Mark what is collected meanwhile, in any thread: a worker runs one request at a time."""
    global _now  # noqa: PLW0603  the process runs one request at a time
    _install()
    _now = purpose
    try:
        yield
    finally:
        _now = ""


def _install() -> None:
    module = sys.modules.get("azureml.ai.monitoring.collector_json")
    build = getattr(module, "build_payload", None)
    if build is not None and not hasattr(build, "__wrapped__"):
        module.build_payload = _marking(build)


def _marking(build: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(build)
    def build_payload(*args: Any, **kwargs: Any) -> Any:
        payload = build(*args, **kwargs)
        if _now:
            payload._headers = {**payload.headers(), HEADER: _now}  # the context's own may be shared
        return payload

    return build_payload
