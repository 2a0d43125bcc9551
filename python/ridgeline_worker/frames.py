"""The frames of the channel between scorer and worker.

A frame is, in network byte order: u32 length of all that follows, u8 type, u64 id, u32 length of the
header, the header (a JSON object), the body (raw bytes). The id of a request comes back in its response,
so that a scorer may have several under way; a worker answers them in the order in which they came.
The Go side is worker/frame.go; testdata/frames is read by the tests of both.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO, NamedTuple

HELLO = 1  # worker: init() has returned. id 0
FAILED = 2  # worker: import or init() failed, exit code 3 follows. id 0
REQUEST = 3  # scorer
RESPONSE = 4  # worker: the answer to the request of the same id
PREDICT = 5  # scorer: tensors for a model, see batch.py
PREDICTED = 6  # worker: the answer to the frame of the same id

_PREFIX = struct.Struct(">IBQI")
_AFTER_LENGTH = _PREFIX.size - 4  # what the length counts besides header and body
LIMIT = 1 << 30  # of the length; more is a broken stream, not a request


_write = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps() would make an encoder for each


class FrameError(Exception):
    """The stream does not hold a frame where one must be."""


class Frame(NamedTuple):
    type: int
    id: int
    header: dict[str, Any]
    body: bytes | memoryview  # of PREDICT and PREDICTED: writable, so that arrays made of it are


def encode(type_: int, id_: int, header: dict[str, Any], body: bytes | memoryview = b"") -> bytes:
    text = _write(header).encode() if header else b"{}"
    if type_ >= PREDICT:  # so that the body's blocks are aligned within what a reader gets in one piece
        text += b" " * (-len(text) & 7)
    length = _AFTER_LENGTH + len(text) + len(body)
    if length > LIMIT:
        raise FrameError(f"a frame holds at most {LIMIT} bytes, this one would have {length}")
    return b"".join((_PREFIX.pack(length, type_, id_, len(text)), text, body))


def read(stream: BinaryIO) -> Frame | None:
    """Read one frame; None when the stream ended cleanly before it."""
    prefix = stream.read(_PREFIX.size)
    if not prefix:
        return None
    if len(prefix) < _PREFIX.size:
        raise FrameError("the stream ended within a frame's prefix")
    length, type_, id_, header_length = _PREFIX.unpack(prefix)
    rest = length - _AFTER_LENGTH
    if rest < 0 or length > LIMIT:
        raise FrameError(f"impossible frame length {length}")
    if header_length > rest:
        raise FrameError(f"header of {header_length} bytes in a frame with {rest} left")
    if not HELLO <= type_ <= PREDICTED:
        raise FrameError(f"unknown frame type {type_}")
    if type_ >= PREDICT:
        data: bytes | memoryview = memoryview(_exactly(stream, rest))
        header = _header(bytes(data[:header_length]))
    else:
        data = stream.read(rest)
        if len(data) < rest:
            raise FrameError("the stream ended within a frame")
        header = _header(data[:header_length])
    return Frame(type_, id_, header, data[header_length:])


_TRUSTED = 1 << 20  # a larger length is not believed before the bytes have come


def _exactly(stream: BinaryIO, n: int) -> bytearray:
    data = bytearray(min(n, _TRUSTED))
    have = 0
    while have < n:
        if have == len(data):
            data += bytes(min(n - have, have))
        with memoryview(data) as view:
            got = stream.readinto(view[have:])  # type: ignore[attr-defined]
        if not got:
            raise FrameError("the stream ended within a frame")
        have += got
    return data


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode())  # of bytes it would find the encoding out
    except (ValueError, RecursionError) as e:
        raise FrameError(f"the frame's header is not JSON: {e}") from None
    if not isinstance(header, dict):
        raise FrameError("the frame's header is not a JSON object")
    return header
