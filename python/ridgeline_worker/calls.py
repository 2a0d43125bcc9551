"""Answers requests by a scoring script: each by a call of run() of its own, or several by one.

Several share a call when joining.py knows how to put their rows together and to take the result apart
again. Whatever goes wrong in a shared call, every request of it is then run by itself, so that no
caller gets an error, or an answer, that belongs to another.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from . import answers, collecting, joining, rawhttp, schema
from .answers import Answer
from .arguments import BadRequest, arguments
from .frames import Frame
from .script import ContractError, Script


class ScoringTimeout(TimeoutError):
    """run() took longer than SCORING_TIMEOUT_MS."""


class Caller:
    """Calls one script's run(). Not for several threads."""

    def __init__(self, script: Script, batch: str = "", timeout_ms: int = 0):
        """batch is release.serve.batch: "true" declares that rows of requests may be put together, "false"
        forbids it, and else only a script whose @input_schema says what its rows are is joined. After
        timeout_ms, unless 0, run() is interrupted where it is in Python code; where it is not, the scorer
        ends the worker a moment later."""
        self.script = script
        self._timeout_ms = timeout_ms
        if timeout_ms:
            signal.signal(signal.SIGALRM, _interrupt)
        self._join = joining.of(script, batch)
        self._proven = batch == "true"

    @property
    def joins(self) -> bool:
        """Whether several() may be quicker than one() after one(). It can turn false, never true."""
        return self._join is not None

    def one(self, request: Frame) -> Answer:
        with _of(request):
            return self._one(request)

    def _one(self, request: Frame) -> Answer:
        if not self.script.raw:
            try:
                values = arguments(self.script, request.header, request.body)
            except BadRequest as e:
                return answers.refusal(e.status, str(e), str(e))
            return self._call(values)
        with rawhttp.request(request.header, request.body) as taken:
            values = {self.script.parameters[0].name: taken}
            if self.script.wants_headers:
                values["request_headers"] = request.header.get("headers") or {}
            return self._call(values)

    def _call(self, values: dict[str, Any]) -> Answer:
        started = time.perf_counter()
        try:
            value = self._run(values)
        except ScoringTimeout as e:
            log(describe(e))
            message = f"Scoring timeout after {self._timeout_ms} ms"
            return answers.refusal(500, message, message, failed=True, timeout=True)
        except BaseException as e:  # sys.exit() in run() ends this request, not the worker
            message = schema.misfit(e)
            if message:
                return answers.refusal(400, message, message)
            log(describe(e))
            return answers.refusal(500, answers.SCRIPT_FAILED, one_line(e), failed=True)
        return _answer(value, (time.perf_counter() - started) * 1e3)

    def _run(self, values: dict[str, Any]) -> Any:
        if not self._timeout_ms:
            return self.script.run(**values)
        seconds = self._timeout_ms / 1e3
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds - min(0.1, seconds / 20))  # before the scorer loses patience
            return self.script.run(**values)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def several(self, requests: list[Frame]) -> list[Answer]:
        """The requests' answers, in their order."""
        found: list[Answer | None] = [None] * len(requests)
        shared: list[tuple[int, joining.Part]] = []
        for i, request in enumerate(requests if self._join else []):
            if shared and _purpose(request) != _purpose(requests[shared[0][0]]):
                continue
            try:
                part = self._join.read(request)
            except BadRequest as e:
                found[i] = answers.refusal(e.status, str(e), str(e))
                continue
            if part is not None and (not shared or part.fits(shared[0][1])):
                shared.append((i, part))
        if len(shared) > 1:
            for (i, _), answer in zip(shared, self._shared([requests[i] for i, _ in shared], [p for _, p in shared])):
                found[i] = answer
        return [answer or self.one(request) for answer, request in zip(found, requests)]

    def _shared(self, requests: list[Frame], parts: list[joining.Part]) -> list[Answer | None]:
        """Answers by one call; None for each when that cannot be."""
        nothing: list[Answer | None] = [None] * len(parts)
        started = time.perf_counter()
        try:
            with _of(requests[0]):
                value = self._run(self._join.join(parts))
        except BaseException:  # whose fault it is shows when each is run by itself
            return nothing
        ms = (time.perf_counter() - started) * 1e3
        pieces = joining.split(value, [part.rows for part in parts])
        if pieces is None:
            self._alone("what run() returns for several requests' rows has no row for each of them")
            return nothing
        shared = [_answer(piece, ms) for piece in pieces]
        if self._proven:
            return shared
        # Nobody said that a row's result does not depend on its neighbours: the first time it is looked at.
        alone = [self.one(request) for request in requests]
        if all(joining.same(a, b) for a, b in zip(alone, shared)):
            self._proven = True
        else:
            self._alone("run() gives other results for a request's rows together with others' than for them alone")
        return alone

    def _alone(self, why: str) -> None:
        self._join = None
        log(f"requests are not run together from now on: {why}")


def _purpose(request: Frame) -> str:
    return request.header.get("purpose", "")


def _of(request: Frame) -> contextlib.AbstractContextManager[None]:
    purpose = _purpose(request)
    return collecting.during(purpose) if purpose else contextlib.nullcontext()


def _interrupt(number: int, frame: object) -> None:
    raise ScoringTimeout


def _answer(value: object, ms: float) -> Answer:
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
