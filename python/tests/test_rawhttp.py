"""@rawhttp without Azure's packages: what test/conformance compares with them is not repeated here."""

import json
import random

import pytest

from ridgeline_worker import rawhttp


@pytest.mark.parametrize("package", ["azureml_inference_server_http.api", "azureml.contrib.services"])
def test_stand_ins_by_either_name(worker, package):
    w = worker(
        f"from {package}.aml_request import AMLRequest, rawhttp\n"
        f"from {package}.aml_response import AMLResponse\n"
        "def init(): pass\n"
        "@rawhttp\n"
        "def run(request):\n"
        "    return AMLResponse(request.get_data(), 201, {'Content-Type': 'image/png', 'X-A': '1, 2'})\n"
    )
    assert w.first.header["raw"] is True
    header, body = w.ask(b"\x89\x00\xff", headers={"Host": "x"})
    assert (header["status"], body) == (201, b"\x89\x00\xff")
    assert [p for p in header["headers"] if p[0] != "x-ms-run-function-failed"] == [
        ["Content-Type", "image/png"],
        ["X-A", "1"],
        ["X-A", "2"],
    ]


def test_both_decorators_are_refused(worker, tmp_path):
    (tmp_path / "inference_schema").mkdir()
    (tmp_path / "inference_schema" / "__init__.py").write_text("")
    (tmp_path / "inference_schema" / "schema_util.py").write_text("is_schema_decorated = callable\n")
    w = worker(
        "import inference_schema.schema_util\n"
        "from azureml_inference_server_http.api.aml_request import rawhttp\n"
        "def init(): pass\n@rawhttp\ndef run(request): pass\n"
    )
    assert w.first.header["message"] == "run() cannot be decorated with both @rawhttp and @input_schema"


def test_a_request_without_flask():
    headers = {"Content-Type": "application/json; charset=utf-8", "X-A": "v"}
    r = rawhttp.Request({"method": "POST", "query": "a=1&a=2&b=", "headers": headers}, '{"é": 1}'.encode())
    assert (r.method, r.path, r.mimetype, r.is_json) == ("POST", "/score", "application/json", True)
    assert r.content_length == len(r.data) == 9
    assert (r.args["a"], r.args.getlist("a"), r.args.get("b"), r.args.get("c")) == ("1", ["1", "2"], "", None)
    assert (r.headers["x-a"], r.headers.get("X-B"), "X-A" in r.headers) == ("v", None, True)
    assert r.get_json() == r.json == {"é": 1} and r.get_data(as_text=True) == '{"é": 1}' and r.stream.read(1) == b"{"
    assert rawhttp.Request({"headers": {"Content-Type": "text/plain"}}, b"{").get_json(silent=True) is None
    with pytest.raises(json.JSONDecodeError):
        rawhttp.Request({}, b"{").get_json(force=True)


def test_multipart_gives_back_what_was_put_in():
    chance = random.Random(4)
    for _ in range(300):
        parts, body = [], b""
        for i in range(chance.randrange(4)):
            content = chance.randbytes(chance.randrange(40)).replace(b"BOUND", b"")
            if chance.random() < 0.3:
                content += chance.choice([b"\r\n", b"\r\n--", b"--", b"\n", b"\r\n\r\n"])
            file = chance.random() < 0.5
            content = content if file else content.decode("latin-1").encode()
            name = f"n{i % 2}"
            head = f'Content-Disposition: form-data; name="{name}"' + ('; filename="f.bin"' if file else "")
            body += b"--BOUND\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"
            parts.append((name, file, content))
        fields, files = rawhttp.multipart('multipart/form-data; boundary="BOUND"', body + b"--BOUND--\r\n")
        assert fields == [(n, c.decode()) for n, file, c in parts if not file]
        assert [(n, f.filename, f.read()) for n, f in files] == [(n, "f.bin", c) for n, file, c in parts if file]


def test_multipart_survives_anything():
    chance = random.Random(5)
    whole = b'--B\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\n1\r\n--B--\r\n'
    for _ in range(2000):
        broken = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(broken))
            broken[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        fields, files = rawhttp.multipart("multipart/form-data; boundary=B", bytes(broken))
        assert len(fields) + len(files) <= 3
