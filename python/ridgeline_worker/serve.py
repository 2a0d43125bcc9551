"""The worker's life: load the script, init(), say hello, answer requests until the channel ends.

Exit code 0 when the scorer closed the channel, 3 when import or init() failed.
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
from typing import BinaryIO

from . import answers, azureml, frames
from .arguments import BadRequest, arguments
from .script import ContractError, Script, load

PROTOCOL = 1
INIT_FAILED = 3


def main() -> int:
    number = int(os.environ.pop("RIDGELINE_WORKER_FD"))
    os.set_inheritable(number, False)  # what the model starts must not hold the channel open
    channel = socket.socket(fileno=number)
    prepare_process()
    app = Path(os.environ.get("AML_APP_ROOT") or os.getcwd()).resolve()
    os.chdir(app)
    started = time.perf_counter()
    try:
        stage = "import"
        script = load(app, os.environ["AZUREML_ENTRY_SCRIPT"])
        stage = "init"
        script.init()
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
        "headers": script.wants_headers,
        "schema": script.by_name,
    }
    channel.sendall(frames.encode(frames.HELLO, 0, hello))
    with channel.makefile("rb", buffering=1 << 16) as stream:
        answer_all(script, stream, channel)
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


def answer_all(script: Script, stream: BinaryIO, channel: socket.socket) -> None:
    while True:
        request = frames.read(stream)
        if request is None:
            return
        if request.type != frames.REQUEST:
            raise frames.FrameError(f"expected a request, got a frame of type {request.type}")
        header, body = answer_one(script, request)
        try:
            frame = frames.encode(frames.RESPONSE, request.id, header, body)
        except frames.FrameError as e:
            frame = frames.encode(frames.RESPONSE, request.id, *answers.refusal(500, answers.INTERNAL, str(e)))
        channel.sendall(frame)


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
