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
import traceback
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from . import answers, azureml, batch, frames
from .arguments import BadRequest, arguments
from .script import ContractError, Script, load

PROTOCOL = 2
INIT_FAILED = 3


def main() -> int:
    number = int(os.environ.pop("RIDGELINE_WORKER_FD"))
    os.set_inheritable(number, False)  # what the model starts must not hold the channel open
    channel = socket.socket(fileno=number)
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
            runs = ScriptRuns(script)
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

    def hello(self) -> dict[str, Any]:
        """What to say of it, see worker.Model on the Go side."""

    def answer(self, request: frames.Frame) -> bytes:
        """The frame that answers it. Nothing is raised but what ends the worker."""


def answer_all(runs: Runs, stream: BinaryIO, channel: socket.socket) -> None:
    while True:
        request = frames.read(stream)
        if request is None:
            return
        if request.type != runs.takes:
            raise frames.FrameError(f"expected a frame of type {runs.takes}, got one of type {request.type}")
        channel.sendall(runs.answer(request))


class ScriptRuns:
    """Runs a scoring script, one call of run() per request."""

    takes = frames.REQUEST

    def __init__(self, script: Script):
        self.script = script

    def hello(self) -> dict[str, Any]:
        return {"kind": "script", "headers": self.script.wants_headers, "schema": self.script.by_name}

    def answer(self, request: frames.Frame) -> bytes:
        header, body = answer_one(self.script, request)
        try:
            return frames.encode(frames.RESPONSE, request.id, header, body)
        except frames.FrameError as e:
            return frames.encode(frames.RESPONSE, request.id, *answers.refusal(500, answers.INTERNAL, str(e)))


def answer_one(script: Script, request: frames.Frame) -> answers.Answer:
    try:
        values = arguments(script, request.header, request.body)
    except BadRequest as e:
        return answers.refusal(e.status, str(e))
    started = time.perf_counter()
    try:
        value = script.run(**values)
    except BaseException as e:  # sys.exit() in run() ends this request, not the worker
        log(describe(e))
        return answers.refusal(500, answers.SCRIPT_FAILED, one_line(e), failed=True)
    ms = (time.perf_counter() - started) * 1e3
    try:
        return answers.answer(value, ms)
    except answers.NotJSON as e:
        cause = e.__cause__ or e
        log(f"run() returned what cannot be sent as JSON: {one_line(cause)}")
        return answers.refusal(500, str(e), one_line(cause))
    except BaseException as e:
        log(describe(e))
        return answers.refusal(500, answers.INTERNAL, one_line(e))


class ModelRuns:
    """Runs a model without a script, one call of predict() per frame."""

    takes = frames.PREDICT

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
        }

    def answer(self, request: frames.Frame) -> bytes:
        header, body = self.predict(request)
        try:
            return frames.encode(frames.PREDICTED, request.id, header, body)
        except frames.FrameError as e:
            return frames.encode(frames.PREDICTED, request.id, {"reason": "unusable", "error": str(e)})

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


def one_line(e: BaseException) -> str:
    if isinstance(e, ContractError):
        return str(e)
    return " ".join("".join(traceback.format_exception_only(type(e), e)).split())[:2000]


def describe(e: BaseException) -> str:
    """The traceback without the worker's own frames; those above the user's code say nothing to him."""
    if isinstance(e, ContractError):
        return str(e)
    own = str(Path(__file__).resolve().parent)
    te = traceback.TracebackException.from_exception(e)
    te.stack = traceback.StackSummary.from_list(
        f for f in te.stack if not f.filename.startswith((own, "<frozen importlib"))
    )
    return "".join(te.format()).rstrip("\n")


def log(text: str) -> None:
    # sys.stderr may have been replaced or closed by the model.
    with contextlib.suppress(Exception):
        print(text, file=sys.__stderr__, flush=True)
