"""Tensors as both sides of the channel see them; needs numpy, as every model does."""

import io
import json
from pathlib import Path

import pytest

from ridgeline_worker import batch, frames

numpy = pytest.importorskip("numpy")
GOLDEN = Path(__file__).resolve().parent.parent / "testdata" / "frames"


def golden(name: str) -> frames.Frame:
    return frames.read(io.BytesIO((GOLDEN / f"{name}.frame").read_bytes()))


def again(b: batch.Batch) -> batch.Batch:
    header, body = batch.encode(b)
    frame = frames.read(io.BytesIO(frames.encode(frames.PREDICTED, 1, header, body)))
    return batch.decode(frame.header, frame.body)


def test_a_matrix_is_seen_without_a_copy_and_may_be_written_to():
    frame = golden("predict")
    b = batch.decode(frame.header, frame.body)
    assert (b.form, b.rows, b.columns) == (batch.TABLE, 2, ["a", "b"])
    matrix = b.tensors[0].data
    assert matrix[0].tolist() == [1.0, 2.0]
    assert matrix[1, 0] == 3.0 and numpy.isnan(matrix[1, 1])
    assert matrix.flags.aligned and matrix.flags.writeable
    matrix[0, 0] = 9
    assert numpy.frombuffer(frame.body, "<f8")[0] == 9


def test_framed_elements_and_what_follows_them():
    frame = golden("predict-framed")
    b = batch.decode(frame.header, frame.body)
    assert b.params == {"k": 1}
    assert b.tensors[0].data.tolist() == ["é", None]
    assert b.tensors[1].data.tolist() == [1, -2]


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([True, False], "BOOL"),
        *((numpy.array([1, 2], code), name) for name, code in batch.NUMBERS.items()),
        (["a", "é"], "TEXT"),
        ([b"\x00\xff", b""], "BINARY"),
        (numpy.array(["a", None], object), "TEXT"),
        (numpy.array([{"a": [1]}, None], object), "JSON"),
        (numpy.array([[1, 2], [3, 4]], ">i4"), "INT32"),
        (numpy.arange(12.0).reshape(2, 3, 2)[:, ::2], "FP64"),
        (numpy.zeros((2, 0)), "FP64"),
    ],
)
def test_there_and_back(values, type_):
    t = batch.tensor("x", values)
    assert t.type == type_
    back = again(batch.Batch(batch.NAMED, 2, [t, batch.tensor("y", [1.5, 2.5])]))
    assert back.tensors[0].data.tolist() == t.data.tolist()
    assert back.tensors[0].data.shape == t.data.shape
    assert back.tensors[1].data.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (lambda: batch.tensor("x", [1, 2, 3]), "does not begin with the 2 rows"),
        (lambda: batch.tensor("x", 1.0), "does not begin with the 2 rows"),
        (lambda: batch.tensor("x", [1j, 2j]), "complex128"),
        (lambda: batch.tensor("x", numpy.array([{1}, {2}], object)), "set"),
        (lambda: batch.tensor("x", numpy.array([[float("nan")], None], object)), "no JSON"),
    ],
)
def test_what_cannot_be_sent_says_why(tensor, message):
    with pytest.raises(batch.Unusable, match=message):
        batch.encode(batch.Batch(batch.ARRAY, 2, [tensor()]))


def test_the_header_is_filled_up_so_that_blocks_are_aligned():
    for n in range(20):
        header, body = batch.encode(batch.Batch(batch.ARRAY, 1, [batch.tensor("x" * n, [1.0])]))
        raw = frames.encode(frames.PREDICTED, 1, header, body)
        text = raw[frames._PREFIX.size :].partition(b"}]}")[0]
        assert (len(raw) - frames._PREFIX.size) % 8 == 0
        assert json.loads(text + b"}]}") == header
