"""The worker's life: load the script or the model, say hello, answer frames until the channel ends.

Exit code 0 when the scorer closed the channel, 3 when it could not be loaded.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import platform
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from . import answers, azureml, batch, frames, schema
from .calls import Caller, describe, log, one_line
from .script import Script, load

PROTOCOL = 2
INIT_FAILED = 3


def main() -> int:
    number = int(os.environ.pop("RIDGELINE_WORKER_FD"))
    os.set_inheritable(number, False)  # what the model starts must not hold the channel open
    channel = Channel(fileno=number)
    prepare_process()
    app = Path(os.environ.get("AML_APP_ROOT") or os.getcwd()).resolve()
    os.chdir(app)
    started = time.perf_counter()
    stage = "import"
    try:
        entry = os.environ.get("AZUREML_ENTRY_SCRIPT", "")
        runs: Runs
        if entry:
            script = load(app, entry)
            stage = "init"
            script.init()
            runs = ScriptRuns(app, script)
        else:
            stage = "load"
            runs = ModelRuns(app)
    except BaseException as e:  # sys.exit() in a script is a failure like any other
        text = describe(e)
        log(text)
        failure = {"stage": stage, "message": one_line(e), "traceback": text}
        channel.sendall(frames.encode(frames.FAILED, 0, failure))
        return INIT_FAILED
    hello = {
        "protocol": PROTOCOL,
        "python": platform.python_version(),
        "pid": os.getpid(),
        "seconds": round(time.perf_counter() - started, 6),
        **runs.hello(),
    }
    channel.sendall(frames.encode(frames.HELLO, 0, hello))
    with channel.makefile("rb", buffering=1 << 16) as stream:
        answer_all(runs, stream, channel)
    return 0


class Channel(socket.socket):
    """The socket to the scorer. Only the process that it was made for writes to it."""

    def __init__(self, fileno: int):
        super().__init__(fileno=fileno)
        self._owner = os.getpid()

    def sendall(self, data: Any, flags: int = 0) -> None:
        if os.getpid() != self._owner:
            # run() forked, and the copy came back from it as well: the request is the original's to answer,
            # and so are those that wait in the channel, which the copy would take from it.
            log("a process that the model forked came back from it, and is ended: end it by os._exit()")
            os._exit(1)
        super().sendall(data, flags)


def prepare_process() -> None:
    azureml.install()
    # A crash, and the SIGABRT with which the scorer ends a hung run(), leave every thread's stack in the log.
    faulthandler.enable()
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415  absent on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's ^C is the scorer's to handle
    for stream in (sys.stdout, sys.stderr):
        # Whole lines, at once: the last words of a process that dies are the ones that matter.
        stream.reconfigure(line_buffering=True, errors="backslashreplace")


class Runs(Protocol):
    """What is behind the channel: a script or a model."""

    takes: int  # the type of frame that it is asked with
    joins: bool  # whether it has a use for being asked several together; it may turn false

    def hello(self) -> dict[str, Any]:
        """What to say of it, see worker.Model on the Go side."""

    def answer(self, request: frames.Frame) -> bytes:
        """The frame that answers it. Nothing is raised but what ends the worker."""

    def answer_together(self, requests: list[frames.Frame]) -> list[bytes]:
        """The frames that answer several which the scorer wants run together."""


def answer_all(runs: Runs, stream: BinaryIO, channel: socket.socket) -> None:
    while True:
        request = _next(runs, stream)
        if request is None:
            return
        together = request.header.get("together", 1)
        if together == 1 or not runs.joins:
            channel.sendall(runs.answer(request))
            continue
        requests = [request]
        while len(requests) < together:
            request = _next(runs, stream)
            if request is None:
                return
            requests.append(request)
        channel.sendall(b"".join(runs.answer_together(requests)))


def _next(runs: Runs, stream: BinaryIO) -> frames.Frame | None:
    request = frames.read(stream)
    if request is not None and request.type != runs.takes:
        raise frames.FrameError(f"expected a frame of type {runs.takes}, got one of type {request.type}")
    return request


class ScriptRuns:
    """Runs a scoring script, see calls.py."""

    takes = frames.REQUEST

    def __init__(self, app: Path, script: Script):
        self.script = script
        limit = int(os.environ.get("SCORING_TIMEOUT_MS") or 0)
        self.caller = Caller(script, os.environ.get("RIDGELINE_BATCH", ""), limit)
        self.described = schema.openapi(script.run, app)  # after init(): a driver may have written it there

    def hello(self) -> dict[str, Any]:
        return {
            "kind": "script",
            "headers": self.script.wants_headers,
            "schema": self.script.by_name,
            "raw": self.script.raw,
            "joins": self.caller.joins,
            "openapi": self.described,
        }

    @property
    def joins(self) -> bool:
        return self.caller.joins

    def answer(self, request: frames.Frame) -> bytes:
        return self._frame(request.id, self.caller.one(request))

    def answer_together(self, requests: list[frames.Frame]) -> list[bytes]:
        """The frames that answer them, in their order: by one call of run() where that can be."""
        return [self._frame(r.id, a) for r, a in zip(requests, self.caller.several(requests))]

    @staticmethod
    def _frame(id_: int, answer: answers.Answer) -> bytes:
        header, body = answer
        try:
            return frames.encode(frames.RESPONSE, id_, header, body)
        except frames.FrameError as e:
            return frames.encode(frames.RESPONSE, id_, *answers.refusal(500, answers.INTERNAL, str(e)))


class ModelRuns:
    """Runs a model without a script, one call of predict() per frame."""

    takes = frames.PREDICT
    joins = False  # the scorer joins rows itself

    def __init__(self, app: Path):
        from . import models  # noqa: PLC0415  a script's worker has no use for the adapters

        if str(app) not in sys.path:  # code that a model was saved with by reference
            sys.path.insert(0, str(app))
        self.model = models.load(os.environ.get("AZUREML_MODEL_DIR", ""))

    def hello(self) -> dict[str, Any]:
        return {
            "kind": "model",
            "framework": self.model.framework,
            "signature": self.model.signature,
            "joins": getattr(self.model, "joins", True),
            "linear": getattr(self.model, "linear", None),
        }

    def answer(self, request: frames.Frame) -> bytes:
        header, body = self.predict(request)
        try:
            return frames.encode(frames.PREDICTED, request.id, header, body)
        except frames.FrameError as e:
            return frames.encode(frames.PREDICTED, request.id, {"reason": "unusable", "error": str(e)})

    def answer_together(self, requests: list[frames.Frame]) -> list[bytes]:
        return [self.answer(r) for r in requests]

    def predict(self, request: frames.Frame) -> tuple[dict[str, Any], bytes]:
        started = time.perf_counter()
        try:
            given = batch.decode(request.header, request.body)
            output = self.model.predict(given)
            ms = (time.perf_counter() - started) * 1e3
            header, body = batch.encode(output)
        except batch.Invalid as e:
            return {"reason": "invalid", "error": str(e), "field": e.field}, b""
        except batch.Unusable as e:
            log(str(e))
            return {"reason": "unusable", "error": str(e)}, b""
        except BaseException as e:
            log(describe(e))
            return {"reason": "raised", "error": one_line(e)}, b""
        header["ms"] = ms
        return header, body
