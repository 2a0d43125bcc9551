"""Frames that went wrong on their way, read by the worker. One seed, so that a failure comes again;
RIDGELINE_FUZZ_SECONDS goes on from there for so long."""

import contextlib
import io
import os
import random
import time
from collections.abc import Iterator

import pytest
from test_frames import GOLDEN

from ridgeline_worker import batch, frames, serve
from ridgeline_worker.calls import Caller
from ridgeline_worker.script import examine

SEEDS = [path.read_bytes() for path in sorted(GOLDEN.glob("*.frame"))]
EXTREMES = [bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x40\x00\x00\x00", b"\x00\x00\x00\x0d", b"\x00\x00\x00\x0c"]


def rounds(n: int) -> Iterator[random.Random]:
    until = time.monotonic() + float(os.environ.get("RIDGELINE_FUZZ_SECONDS", "0"))
    i = 0
    while i < n or time.monotonic() < until:
        yield random.Random(i)
        i += 1


def mutate(r: random.Random, data: bytes) -> bytes:
    for _ in range(r.randint(1, 4)):
        at = r.randint(0, len(data))
        to = r.randint(at, min(len(data), at + 20))
        odd = r.choice([b"{", b"[" * 5000, b'"', b"-1", b"null", b"1e999", b"\x00"])
        data = r.choice([
            data[:at],
            data[:at] + data[to:],
            data[:to] + data[at:],
            data[:at] + bytes([r.randrange(256)]) + data[at + 1 :],
            data[:at] + r.choice(EXTREMES) + data[at + 4 :],
            data[:at] + odd + data[to:],
            data + r.choice(SEEDS),
        ])  # fmt: skip
    return data


def test_read_gives_a_frame_or_says_that_there_is_none():
    kept = 0
    for r in rounds(20_000):
        stream = io.BytesIO(mutate(r, r.choice(SEEDS)))
        try:
            while (frame := frames.read(stream)) is not None:
                assert frames.read(io.BytesIO(frames.encode(*frame))) == frame
                kept += 1
        except frames.FrameError:
            pass
    assert kept > 1000


def test_blocks_are_read_or_refused():
    pytest.importorskip("numpy")
    kept = 0
    for r in rounds(5_000):
        try:
            frame = frames.read(io.BytesIO(mutate(r, r.choice(SEEDS))))
            if frame is None or frame.type < frames.PREDICT:
                continue
            read = batch.decode(frame.header, frame.body)
        except Exception:  # whatever it is, serve.ModelRuns answers with it
            continue
        assert all(t.data.nbytes <= max(len(frame.body), 8 * t.data.size) for t in read.tensors)
        kept += 1
    assert kept > 10


class Sent(list):
    """Stands for the channel: what the worker sends."""

    sendall = list.append


def test_answers_are_for_requests_and_in_their_order():
    namespace = {}
    exec("def init(): pass\ndef run(raw_data): return raw_data", namespace)
    module = type("module", (), {k: staticmethod(namespace[k]) for k in ("init", "run")})
    runs = serve.ScriptRuns.__new__(serve.ScriptRuns)
    runs.script = examine(module, "score.py")
    runs.caller = Caller(runs.script)
    good = [frames.encode(frames.REQUEST, n, {}, b"%d" % n) for n in range(1, 20)]
    answered = 0
    for r in rounds(3_000):
        broken = r.randrange(len(good))
        stream = b"".join(good[:broken]) + mutate(r, good[broken]) + b"".join(good[broken + 1 :])
        sent = Sent()
        with contextlib.suppress(frames.FrameError):
            serve.answer_all(runs, io.BytesIO(stream), sent)
        answers = [frames.read(io.BytesIO(raw)) for raw in sent]
        assert all(a.type == frames.RESPONSE for a in answers)
        # What came before the damage is answered, each request with its own number.
        assert [(a.id, a.body) for a in answers[:broken]] == [(n, b'"%d"' % n) for n in range(1, broken + 1)]
        answered += len(answers)
    assert answered > 10_000
