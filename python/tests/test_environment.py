"""Scripts that use what their own environment has: inference-schema, numpy, Flask.

They run where those packages are installed; RIDGELINE_TEST_PYTHON names an interpreter that has them.
"""

import importlib.util
import json
import os
import sys

import pytest
from conftest import Worker

PYTHON = os.environ.get("RIDGELINE_TEST_PYTHON", sys.executable)


def has(*modules):
    if sys.executable != PYTHON:
        return True
    return all(importlib.util.find_spec(m) for m in modules)


SCHEMA = """
import numpy as np
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

def init(): pass

@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("scale", StandardPythonParameterType(1.0))
@output_schema(StandardPythonParameterType([1.0]))
def run(data, scale=2.0):
    if data[0, 0] < 0: raise ValueError("my own")
    return {"result": (data.sum(axis=1) * scale), "shape": list(data.shape)}
"""


@pytest.fixture
def start(tmp_path):
    workers = []

    def go(script):
        workers.append(Worker(tmp_path, script, python=PYTHON))
        return workers[-1]

    yield go
    for w in workers:
        w.end()


@pytest.mark.skipif(not has("inference_schema", "numpy"), reason="needs inference-schema and numpy")
def test_input_schema(start):
    w = start(SCHEMA)
    assert w.first.header.get("schema") is True, w.first.header
    kind = "application/json; charset=utf-8"
    two = b'{"data": [[1, 2], [3, 4]], "extra": 1}'
    assert json.loads(w.ask(two, content_type=kind)[1]) == {"result": [6.0, 14.0], "shape": [2, 2]}
    assert json.loads(w.ask(b'{"data": [[1, 2]], "scale": 1.0}', content_type="application/vnd.x+json")[1])[
        "result"
    ] == [3.0]
    get = w.ask(method="GET", query="data=[[1,2]]&scale=3.0")
    assert json.loads(get[1])["result"] == [9.0]
    misfit = "The value of the 'data' parameter does not fit its sample: "
    for text, content_type, status, message in [
        (two, "text/plain", 415, "Expects Content-Type to be application/json"),
        (two, "", 415, "Expects Content-Type to be application/json"),
        (b"", kind, 400, "POST body is empty. Expecting a JSON dictionary."),
        (b"{", kind, 400, "POST body could not be decoded as JSON: Expecting property name"),
        (b"[1]", kind, 400, "POST body should be a JSON dictionary."),
        (b"{}", kind, 400, "A value is not provided for the 'data' parameter."),
        (b'{"data": [[1, 2, 3]]}', kind, 400, misfit + "Invalid input array"),
        (b'{"data": [["x", 2]]}', kind, 400, misfit + "could not convert string"),
        (b'{"data": [[1, 2]], "scale": "x"}', kind, 400, misfit.replace("data", "scale")),
        (b'{"data": [[-1, 2]]}', kind, 500, "An unexpected error occurred in scoring script."),
    ]:
        header, body = w.ask(text, content_type=content_type)
        assert header["status"] == status, (text, header, body)
        assert json.loads(body)["message"].startswith(message)


@pytest.mark.skipif(not has("numpy"), reason="needs numpy")
@pytest.mark.parametrize(
    ("expression", "want"),
    [
        ("np.float32(1.5)", 1.5),
        ("np.int64(3)", 3),
        ("np.bool_(True)", True),
        ("np.array([[1, 2], [3, 4]])", [[1, 2], [3, 4]]),
        ("{'a': [np.float64(2)], 'b': np.zeros(0)}", {"a": [2.0], "b": []}),
        ("np.array(['x'])", ["x"]),
    ],
)
def test_numpy_values(start, expression, want):
    w = start(f"import numpy as np\ndef init(): pass\ndef run(r): return {expression}\n")
    assert json.loads(w.ask()[1]) == want


@pytest.mark.skipif(not has("numpy"), reason="needs numpy")
def test_numpy_nan(start):
    w = start("import numpy as np\ndef init(): pass\ndef run(r): return np.array([1.0, np.nan])\n")
    header, body = w.ask()
    assert header["status"] == 500 and "NaN" in json.loads(body)["message"]


@pytest.mark.skipif(not has("flask"), reason="needs flask")
def test_flask_response(start):
    w = start(
        "from flask import Response\ndef init(): pass\n"
        "def run(r): return Response(b'\\x00png', status=int(r), headers={'X-A': '1'}, mimetype='image/png')\n"
    )
    header, body = w.ask(b"201")
    assert header["status"] == 201 and body == b"\x00png" and header["ms"] >= 0
    assert ["X-A", "1"] in header["headers"]
    header, _ = w.ask(b"503")
    assert header["failed"] is True
