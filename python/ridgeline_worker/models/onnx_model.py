"""ONNX models, run by onnxruntime.

One input is one array, whatever its name; several of one value a row are a table; any others are a dict.
One output is one array, several are a dict in the model's order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import signature
from .model import MATRIX, NAMED, Model, ModelError, need, own, threads

# ONNX's names of the element types; bfloat16, 8 bit floats and complex numbers have none here.
_TYPES = {
    "float": "FP32", "double": "FP64", "float16": "FP16", "string": "TEXT", "bool": "BOOL",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
}  # fmt: skip


def load(path: Path, options: dict[str, Any] | None = None) -> Model:
    onnxruntime = need("onnxruntime", "this is an ONNX model")
    session = onnxruntime.InferenceSession(
        str(path), session_options(onnxruntime, options or {}), providers=onnxruntime.get_available_providers()
    )
    inputs, outputs = session.get_inputs(), session.get_outputs()
    types = [type_of(i) for i in inputs]
    shapes = [_shape(i) for i in inputs]
    name = inputs[0].name

    if len(inputs) == 1:
        column = len(inputs[0].shape) == 2 and shapes[0] == [1]

        def call(values: Any, _params: dict[str, Any]) -> Any:
            return _answer(session, outputs, {name: cast(values, types[0], column)})

        given = {"form": "array", "inputs": [signature.field("", types[0], shapes[0])]}
        return Model(own(onnxruntime.__version__, "onnxruntime"), given, MATRIX, call)

    table = all(s in ([], [1]) for s in shapes)

    def feed(values: Any, _params: dict[str, Any]) -> Any:
        return _answer(session, outputs, {
            i.name: cast(values[i.name], t, len(i.shape) == 2) for i, t in zip(inputs, types)
        })  # fmt: skip

    fields = [signature.field(i.name, t, () if table else s) for i, t, s in zip(inputs, types, shapes)]
    given = {"form": "table" if table else "named", "inputs": fields}
    return Model(own(onnxruntime.__version__, "onnxruntime"), given, NAMED, feed)


def session_options(onnxruntime: Any, asked: dict[str, Any]) -> Any:
    """Return the session's options, as an MLmodel asks for them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(asked.get("intra_op_num_threads") or threads())
    options.inter_op_num_threads = int(asked.get("inter_op_num_threads") or 1)
    return options


def type_of(i: Any) -> str:
    kind = i.type[len("tensor(") : -1] if i.type.startswith("tensor(") else ""
    if kind not in _TYPES:
        raise ModelError(f"input {i.name} of the ONNX model is {i.type}: expected a tensor of {', '.join(_TYPES)}")
    return _TYPES[kind]


def _shape(i: Any) -> list[int]:
    """Return the shape of one row: without the first dimension, names of dimensions as -1."""
    if not i.shape:
        raise ModelError(f"input {i.name} of the ONNX model is a single value, and not one for each row")
    return [n if isinstance(n, int) else -1 for n in i.shape[1:]]


def cast(values: Any, type_: str, column: bool) -> Any:
    """Return values with the type of an input; a column of one value a row has two dimensions in ONNX."""
    import numpy as np  # noqa: PLC0415

    code = next((c for c, t in signature.NUMPY.items() if t == type_), None)
    if code is not None and values.dtype != code:
        values = values.astype(code)
    if column and values.ndim == 1:
        values = values.reshape(-1, 1)
    return np.ascontiguousarray(values)


def _answer(session: Any, outputs: list[Any], feeds: dict[str, Any]) -> Any:
    results = session.run(None, feeds)
    return results[0] if len(results) == 1 else {o.name: r for o, r in zip(outputs, results)}
