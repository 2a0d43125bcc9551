"""Several requests answered by one call of run(): who is joined, and that nobody gets what is another's."""

import json

import pytest
from conftest import need

from ridgeline_worker import frames

for package in ("inference_schema", "numpy", "pandas"):
    need(package)

HEAD = """
import json
import numpy as np
import pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

calls = []
def init(): pass
"""

NUMPY = HEAD + """
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data):
    calls.append(len(data))
    if data[0, 0] == -1: return {"result": [0] * len(data), "calls": [calls] * len(data)}
    if (data < -1).any(): raise ValueError("negative")
    return {"result": data.sum(axis=1)}
"""


def together(w, *bodies, **header):
    """Asks all of them as the scorer does that wants them run together."""
    header.setdefault("content_type", "application/json")
    ids = range(w.last_id + 1, w.last_id + 1 + len(bodies))
    w.last_id += len(bodies)
    w.channel.sendall(
        b"".join(
            frames.encode(frames.REQUEST, i, {**header, "together": len(bodies)}, body) for i, body in zip(ids, bodies)
        )
    )
    got = [frames.read(w.stream) for _ in bodies]
    assert [a.id for a in got] == list(ids)
    return [(a.header["status"], json.loads(a.body)) for a in got]


def calls_of(w):
    """How many rows each call of run() got."""
    return json.loads(w.ask(b'{"data": [[-1, 0]]}', content_type="application/json")[1])["calls"][0][:-1]


def test_numpy_rows_share_a_call_once_a_trial_has_shown_that_they_may(worker):
    w = worker(NUMPY)
    assert w.first.header["joins"] is True
    want = [(200, {"result": [3.0]}), (200, {"result": [7.0, 11.0]})]
    for _ in range(2):
        assert together(w, b'{"data": [[1, 2]]}', b'{"data": [[3, 4], [5, 6]]}') == want
    assert calls_of(w) == [3, 1, 2, 3]  # joined, each by itself, joined


def test_the_one_that_does_not_fit_is_the_one_that_is_refused(worker):
    w = worker(NUMPY)
    got = together(w, b'{"data": [[1, 2]]}', b'{"data": [[1, 2, 3]]}', b"{", b'{"data": [[3, 4]]}', b'{"data": []}')
    assert [status for status, _ in got] == [200, 400, 400, 200, 400]
    assert "does not fit its sample: Invalid input array: array has size 3" in got[1][1]["message"]
    assert (got[0][1], got[3][1]) == ({"result": [3.0]}, {"result": [7.0]})


def test_the_one_that_makes_run_raise_is_the_one_that_fails(worker):
    w = worker(NUMPY)
    for _ in range(2):
        got = together(w, b'{"data": [[1, 2]]}', b'{"data": [[-5, 2]]}', b'{"data": [[3, 4]]}')
        assert [status for status, _ in got] == [200, 500, 200]
        assert (got[0][1], got[2][1]) == ({"result": [3.0]}, {"result": [7.0]})


@pytest.mark.parametrize(
    "result",
    [
        "{'result': data - data.mean(axis=0)}",  # depends on its neighbours
        "[len(data)] * len(data)",
        "{'result': data.sum(axis=1), 'rows': len(data)}",  # not a row for each row
        "data.sum()",
        "float(data.sum())",
        "[1, 2, 3]",  # three, whatever comes
        "json.dumps(data.tolist())",
        "{}",
        "None",
    ],
)
def test_what_cannot_be_taken_apart_is_run_by_itself(worker, result):
    w = worker(HEAD + f"""
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
def run(data):
    if data[0, 0] == -1: return {{"result": [0] * len(data), "calls": [calls] * len(data)}}
    calls.append(len(data))
    return {result}
""")
    bodies = [b'{"data": [[1, 2]]}', b'{"data": [[3, 4], [5, 6]]}']
    alone = [(h["status"], json.loads(b)) for h, b in (w.ask(x, content_type="application/json") for x in bodies)]
    for _ in range(3):
        assert together(w, *bodies) == alone
    rows = json.loads(w.ask(b'{"data": [[-1, 0]]}', content_type="application/json")[1])["calls"][0]
    assert rows.count(3) == 1  # it is tried once


def test_frames_of_pandas(worker):
    w = worker(HEAD + """
@input_schema("frame", PandasParameterType(pd.DataFrame({"a": [1.5], "b": ["x"]})))
def run(frame):
    calls.append(len(frame))
    return [[f"{a}{b}", i] for i, (a, b) in enumerate(zip(frame["a"], frame["b"]))] if len(calls) > 99 else (
        (frame["b"] + frame["a"].astype(str)).tolist() if not (frame["b"] == "calls").any() else [calls])
""")
    assert w.first.header["joins"] is True
    x, y = b'{"frame": [{"a": 1, "b": "x"}]}', b'{"frame": [{"b": "y", "a": 2}, {"a": 3, "b": "z"}]}'
    for _ in range(2):
        assert together(w, x, x, y) == [(200, ["x1.0"]), (200, ["x1.0"]), (200, ["y2.0", "z3.0"])]
    _, rows = w.ask(b'{"frame": [{"a": 1, "b": "calls"}]}', content_type="application/json")
    assert json.loads(rows)[0][:-1] == [2, 1, 1, 2, 2, 2]  # columns in another order are another call


@pytest.mark.parametrize(
    ("signature", "batch"),
    [
        ("@input_schema('data', NumpyParameterType(np.array([[1.0]])))\ndef run(data, request_headers)", ""),
        (
            "@input_schema('data', NumpyParameterType(np.array([[1.0]])))\n"
            "@input_schema('more', NumpyParameterType(np.array([[1.0]])))\ndef run(data, more)",
            "true",
        ),
        ("@input_schema('data', NumpyParameterType(np.array([[1.0]])))\ndef run(data)", "false"),
        ("@input_schema('data', StandardPythonParameterType([1.0]))\ndef run(data)", ""),
        (
            "@input_schema('data', NumpyParameterType(np.array([[1.0]])), convert_to_provided_type=False)\n"
            "def run(data)",
            "",
        ),
        ("def run(data)", ""),
        ("def run(data)", "false"),
        ("def run(data, request_headers)", "true"),
    ],
)
def test_who_is_not_joined(worker, signature, batch):
    w = worker(HEAD + signature + ": return data\n", RIDGELINE_BATCH=batch)
    assert w.first.header["joins"] is False


def test_text_that_declares_its_rows_independent(worker):
    w = worker(
        "import json\ncalls = []\ndef init(): pass\n"
        "def run(raw_data):\n"
        "    calls.append(raw_data)\n"
        "    if raw_data == 'calls': return calls[:-1]\n"
        "    value = json.loads(raw_data)\n"
        "    rows = value['data'] if isinstance(value, dict) else value\n"
        "    return {'result': [sum(row) for row in rows]}\n",
        RIDGELINE_BATCH="true",
    )
    assert w.first.header["joins"] is True
    got = together(w, b'{"data": [[1, 2]]}', b' { "data" : [ [3, 4], [5, 6] ] } ', content_type="")
    assert got == [(200, {"result": [3]}), (200, {"result": [7, 11]})]
    got = together(w, b"[[1, 2]]", b'{"data": [[9]]}', b"[[3]]", b"[]", b"no", content_type="")
    assert got[:4] == [(200, {"result": [v]}) for v in (3, 9, 3)] + [(200, {"result": []})]
    assert got[4][0] == 500
    assert json.loads(w.ask(b"calls")[1]) == [
        '{"data": [[1, 2],  [3, 4], [5, 6] ]}',
        "[[1, 2], [3]]",
        '{"data": [[9]]}',
        "[]",
        "no",
    ]
