import base64
import io
import json
from pathlib import Path

import pytest

from ridgeline_worker import frames

GOLDEN = Path(__file__).resolve().parent.parent / "testdata" / "frames"
NAMES = sorted(p.stem for p in GOLDEN.glob("*.json"))


def test_there_are_goldens():
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_golden(name):
    raw = (GOLDEN / f"{name}.frame").read_bytes()
    want = json.loads((GOLDEN / f"{name}.json").read_text())
    if "bad" in want:
        with pytest.raises(frames.FrameError):
            frames.read(io.BytesIO(raw))
        return
    got = frames.read(io.BytesIO(raw))
    assert got.type == want["type"]
    assert got.id == want.get("id", 0)
    assert got.header == want["header"]
    assert got.body == base64.b64decode(want.get("body_base64", ""))
    # Encoders may spell JSON differently, but must agree on what they read back.
    assert frames.read(io.BytesIO(frames.encode(*got))) == got


def test_clean_end_is_none():
    assert frames.read(io.BytesIO(b"")) is None


def test_every_truncation_is_an_error():
    raw = frames.encode(frames.REQUEST, 3, {"method": "GET"}, b"body")
    for n in range(1, len(raw)):
        with pytest.raises(frames.FrameError):
            frames.read(io.BytesIO(raw[:n]))


def test_header_that_is_no_object():
    for header in (b"[]", b"{", b"\xff\xff"):
        raw = frames._PREFIX.pack(frames._AFTER_LENGTH + len(header), frames.REQUEST, 1, len(header)) + header
        with pytest.raises(frames.FrameError):
            frames.read(io.BytesIO(raw))
