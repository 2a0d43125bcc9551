"""What a model takes and gives: rows of named values in contiguous blocks.

The Go side is score/tensor and worker/predict.go. A block of numbers becomes a numpy array without a
copy; the array may be written to. numpy is the model's own, which is why it is imported only here, and
only when a first batch comes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

TABLE, ARRAY, NAMED = "table", "array", "named"

NUMBERS = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "DATETIME": "<M8[ns]",
}
"""numpy's names of the types whose elements have one size."""

FRAMED = ("TEXT", "BINARY", "JSON")
"""The types whose elements have a length each; in numpy they are objects, a null is None."""

_LENGTH = struct.Struct("<I")
_NULL = 0xFFFFFFFF
_NULL_FRAME = _LENGTH.pack(_NULL)


class Unusable(Exception):
    """The model gave what cannot be sent; the message says what it was."""


class Invalid(Exception):
    """The input does not fit the model; the message says how, field which one of its inputs."""

    def __init__(self, message: str, field: str = ""):
        super().__init__(message)
        self.field = field


class Tensor(NamedTuple):
    name: str  # "" where a model takes one nameless array
    type: str  # a key of NUMBERS, or one of FRAMED
    data: Any  # numpy.ndarray of that type (of objects for FRAMED); the first dimension is the rows


class Batch(NamedTuple):
    """Some rows of a model's inputs or of its outputs.

    form says as what predict() gets them: TABLE, a pandas.DataFrame with a column for each tensor, or,
    when columns is not None, with these columns of the single tensor of shape (rows, columns); ARRAY, one
    numpy.ndarray; NAMED, a dict of numpy.ndarrays.
    """

    form: str
    rows: int
    tensors: list[Tensor]
    columns: list[str] | None = None
    params: dict[str, Any] | None = None  # inference parameters


def tensor(name: str, values: Any, type_: str | None = None) -> Tensor:
    """A tensor of anything array-like. Without a type it is the type of the values: text, bytes, or else
    JSON, where they are objects."""
    import numpy  # noqa: PLC0415

    array = numpy.asarray(values)
    if type_ in NUMBERS:
        return Tensor(name, type_, array.astype(NUMBERS[type_], copy=False))
    if type_ is None:
        type_ = _type_of(name, array)
    if type_ in NUMBERS:
        return Tensor(name, type_, array.astype(NUMBERS[type_], copy=False))
    return Tensor(name, type_, array.astype(object, copy=False))


def _type_of(name: str, array: Any) -> str:
    found = _BY_CODE.get(array.dtype.kind + str(array.dtype.itemsize))
    if found is not None:
        return found
    if array.dtype.kind == "M":
        return "DATETIME"
    if array.dtype.kind == "U":
        return "TEXT"
    if array.dtype.kind == "S":
        return "BINARY"
    if array.dtype.kind != "O":
        raise Unusable(f"{name or 'the output'} is of type {array.dtype}, which no client could be sent")
    kinds = {type(v) for v in array.flat if v is not None}
    if kinds == {str}:
        return "TEXT"
    if kinds and kinds <= {bytes, bytearray, memoryview}:
        return "BINARY"
    return "JSON"


_BY_CODE = {
    "b1": "BOOL",
    **{f"{kind}{size}": f"{name}{size * 8}" for kind, name in (("u", "UINT"), ("i", "INT")) for size in (1, 2, 4, 8)},
    **{f"f{size}": f"FP{size * 8}" for size in (2, 4, 8)},
}


def decode(header: dict[str, Any], body: Any) -> Batch:
    """Read the body of a PREDICT or PREDICTED frame; a writable body gives writable arrays."""
    tensors = []
    at = 0
    for described in header["tensors"]:
        array, used = _block(described["type"], described["shape"], body, at)
        tensors.append(Tensor(described["name"], described["type"], array))
        at += used + (-used & 7)
    return Batch(header["form"], header["rows"], tensors, header.get("columns"), header.get("params"))


def _block(type_: str, shape: list[int], body: Any, at: int) -> tuple[Any, int]:
    import numpy  # noqa: PLC0415

    count = 1
    for d in shape:
        count *= d
    code = NUMBERS.get(type_)
    if code is not None:
        array = numpy.frombuffer(body, code, count, at)
        return array if len(shape) == 1 else array.reshape(shape), array.nbytes
    read = _READ[type_]
    array = numpy.empty(count, object)
    start = at
    for i in range(count):
        (length,) = _LENGTH.unpack_from(body, at)
        at += 4
        if length != _NULL:
            array[i] = read(bytes(body[at : at + length]))
            at += length
    return array.reshape(shape), at - start


_READ: dict[str, Callable[[bytes], Any]] = {"TEXT": bytes.decode, "BINARY": bytes, "JSON": json.loads}


def encode(batch: Batch) -> tuple[dict[str, Any], bytes]:
    """The header and the body of a frame."""
    header: dict[str, Any] = {"form": batch.form, "rows": batch.rows}
    if batch.columns is not None:
        header["columns"] = batch.columns
    if batch.params is not None:
        header["params"] = batch.params
    described: list[dict[str, Any]] = []
    blocks: list[bytes] = []
    for name, type_, data in batch.tensors:
        shape = list(data.shape)
        if not shape or shape[0] != batch.rows:
            what = name or "the output"
            raise Unusable(f"{what} has shape {tuple(shape)}, which does not begin with the {batch.rows} rows of it")
        described.append({"name": name, "type": type_, "shape": shape})
        block = data.tobytes() if type_ in NUMBERS else b"".join(_framed(name, type_, data.flat))
        blocks.append(block)
        if len(block) & 7:
            blocks.append(bytes(-len(block) & 7))
    header["tensors"] = described
    return header, blocks[0] if len(blocks) == 1 else b"".join(blocks)


def _framed(name: str, type_: str, values: Iterable[Any]) -> Iterable[bytes]:
    write = _WRITE[type_]
    for value in values:
        if value is None:
            yield _NULL_FRAME
            continue
        try:
            data = write(value)
        except (TypeError, ValueError, UnicodeError) as e:
            raise Unusable(f"{name or 'the output'} holds a {type(value).__name__} that is no {type_}: {e}") from e
        yield _LENGTH.pack(len(data))
        yield data


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's
        return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_json = json.JSONEncoder(allow_nan=False, default=_plain, separators=(",", ":"))

_WRITE: dict[str, Callable[[Any], bytes]] = {
    "TEXT": lambda v: v.encode() if isinstance(v, str) else str(v).encode(),
    "BINARY": bytes,
    "JSON": lambda v: _json.encode(v).encode(),
}
