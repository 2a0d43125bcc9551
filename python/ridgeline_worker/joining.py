"""Puts the rows of several requests together for one call of run(), and its result apart again.

Two kinds of scripts can be joined: those whose @input_schema has one parameter, a numpy array or a
pandas DataFrame; and, where release.serve says `batch: true`, those that take a body of {"data": [rows]}
or [rows]. Neither when run() takes request_headers, because they are one request's.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any, NamedTuple

from . import schema
from .answers import Answer
from .arguments import BadRequest, arguments
from .frames import Frame
from .script import Script


class Part(NamedTuple):
    """One request's share of a call."""

    rows: int
    layout: Any  # parts of one layout can be put together
    value: Any

    def fits(self, other: Part) -> bool:
        return bool(self.layout == other.layout)


def of(script: Script, batch: str) -> Text | Schema | None:
    """How requests to the script are joined; None when they are not."""
    if batch == "false" or script.raw or script.wants_headers or len(script.parameters) != 1:
        return None
    if script.by_name:
        return Schema.of(script)
    return Text(script) if batch == "true" else None


class Text:
    """Bodies of {"data": [rows]} or [rows], for a run() that takes the text."""

    def __init__(self, script: Script):
        self._name = script.parameters[0].name

    def read(self, request: Frame) -> Part | None:
        if request.header.get("method", "POST") != "POST":
            return None
        try:
            text = str(request.body, "utf-8")
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None  # run() may know better
        wrapped = isinstance(value, dict) and list(value) == ["data"]
        rows = value["data"] if wrapped else value
        if not isinstance(rows, list) or not rows:
            return None
        # The list is the only value, so the outermost brackets are its own.
        return Part(len(rows), wrapped, text[text.index("[") + 1 : text.rindex("]")])

    def join(self, parts: list[Part]) -> dict[str, Any]:
        rows = "[" + ", ".join(part.value for part in parts) + "]"
        return {self._name: f'{{"data": {rows}}}' if parts[0].layout else rows}


class Schema:
    """The one parameter of an @input_schema, converted for each request by itself: so the one that does
    not fit is the one that is refused. What is converted already inference-schema leaves as it is."""

    def __init__(self, script: Script, sample: Any):
        self._script = script
        self._sample = sample
        self._name = script.parameters[0].name

    @classmethod
    def of(cls, script: Script) -> Schema | None:
        sample = schema.samples(script.run).get(script.parameters[0].name)
        kind = type(getattr(sample, "sample_input", None))
        rows = kind.__module__.partition(".")[0] in ("numpy", "pandas") and kind.__name__ in ("ndarray", "DataFrame")
        return cls(script, sample) if rows else None

    def read(self, request: Frame) -> Part | None:
        values = arguments(self._script, request.header, request.body)
        try:
            value = schema.convert(self._sample, self._name, values[self._name])
        except Exception as e:
            raise BadRequest(400, schema.misfit(e)) from None
        if not getattr(value, "ndim", 0) or len(value) == 0:
            return None
        if hasattr(value, "columns"):  # a DataFrame, whose index is not the caller's own
            if not value.index.equals(sys.modules["pandas"].RangeIndex(len(value))):
                return None
            return Part(len(value), (tuple(value.columns), tuple(value.dtypes)), value)
        return Part(len(value), (value.dtype, value.shape[1:]), value)

    def join(self, parts: list[Part]) -> dict[str, Any]:
        values = [part.value for part in parts]
        if hasattr(values[0], "columns"):
            return {self._name: sys.modules["pandas"].concat(values, ignore_index=True)}
        return {self._name: sys.modules["numpy"].concatenate(values)}


def split(value: Any, rows: list[int]) -> list[Any] | None:
    """A result of as many rows as all parts have, cut into theirs; None when it has not that many.

    Rows are the elements of a list or array, or of all members of a dict of such.
    """
    if isinstance(value, dict):
        members = {key: split(member, rows) for key, member in value.items()}
        if not members or any(cut is None for cut in members.values()):
            return None
        return [{key: cut[i] for key, cut in members.items()} for i in range(len(rows))]
    numpy = sys.modules.get("numpy")
    array = numpy is not None and isinstance(value, numpy.ndarray) and value.ndim > 0
    if not (array or isinstance(value, list)) or len(value) != sum(rows):
        return None
    cuts, at = [], 0
    for n in rows:
        cuts.append(value[at : at + n])
        at += n
    return cuts


def same(a: Answer, b: Answer) -> bool:
    """Whether two answers say the same, but for the last digits of their numbers."""
    if a[0]["status"] != b[0]["status"]:
        return False
    return a[1] == b[1] or _close(json.loads(a[1]), json.loads(b[1]))


def _close(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b

