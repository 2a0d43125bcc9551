"""Signatures as score/tensor has them, as dicts: {"form", "inputs": [field…], "outputs", "params"}.

A field is {"name", "type", "shape", "optional"}, without what is empty; types are those of TYPES.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..batch import Batch, Tensor

FLOAT, INT, BOOL, TEXT, BINARY, DATETIME, ANY = "FP64", "INT64", "BOOL", "TEXT", "BINARY", "DATETIME", "JSON"

Field = dict[str, Any]
Signature = dict[str, Any]

# The types of a numpy dtype's str without its byte order.
NUMPY = {
    "b1": "BOOL", "u1": "UINT8", "u2": "UINT16", "u4": "UINT32", "u8": "UINT64",
    "i1": "INT8", "i2": "INT16", "i4": "INT32", "i8": "INT64", "f2": "FP16", "f4": "FP32", "f8": "FP64",
}  # fmt: skip


def field(name: str, type_: str, shape: Iterable[int] | None = None, optional: bool = False) -> Field:
    made: Field = {"type": type_}
    if name:
        made["name"] = name
    if shape:
        made["shape"] = list(shape)
    if optional:
        made["optional"] = True
    return made


def table(names: Iterable[str], types: Iterable[str]) -> Signature:
    """A column for each name."""
    return {"form": "table", "inputs": [field(n, t) for n, t in zip(names, types)]}


def matrix(columns: int, type_: str = FLOAT) -> Signature:
    """One nameless array of rows."""
    return {"form": "array", "inputs": [field("", type_, [columns])]}


def example(given: Signature | None) -> Batch | None:
    """Return one row of zeros and empty texts, or None where there is no such thing."""
    if given is None or not given.get("inputs"):
        return None
    import numpy as np  # noqa: PLC0415  the model's

    tensors = []
    for f in given["inputs"]:
        shape = [max(n, 1) for n in f.get("shape") or ()]
        code = next((c for c, t in NUMPY.items() if t == f["type"]), None)
        if code is not None:
            tensors.append(Tensor(f.get("name", ""), f["type"], np.zeros([1, *shape], code)))
        elif f["type"] == TEXT and not shape:
            tensors.append(Tensor(f.get("name", ""), TEXT, np.array([""], object)))
        else:
            return None
    return Batch(given["form"], 1, tensors)


def describe(answer: Batch) -> list[Field]:
    """Return the fields of a batch of outputs."""
    if answer.columns:
        return [field(name, answer.tensors[0].type) for name in answer.columns]
    return [field(t.name, t.type, t.data.shape[1:]) for t in answer.tensors]
