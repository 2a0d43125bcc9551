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

_PREFIX = struct.Struct(">IBQI")
_AFTER_LENGTH = _PREFIX.size - 4  # what the length counts besides header and body
LIMIT = 1 << 30  # of the length; more is a broken stream, not a request


class FrameError(Exception):
    """The stream does not hold a frame where one must be."""


class Frame(NamedTuple):
    type: int
    id: int
    header: dict[str, Any]
    body: bytes


def encode(type_: int, id_: int, header: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode() if header else b"{}"
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
    if not HELLO <= type_ <= RESPONSE:
        raise FrameError(f"unknown frame type {type_}")
    data = stream.read(rest)
    if len(data) < rest:
        raise FrameError("the stream ended within a frame")
    try:
        header = json.loads(data[:header_length])
    except (ValueError, RecursionError) as e:
        raise FrameError(f"the frame's header is not JSON: {e}") from None
    if not isinstance(header, dict):
        raise FrameError("the frame's header is not a JSON object")
    return Frame(type_, id_, header, data[header_length:])
