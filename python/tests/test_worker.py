"""The worker as a process: what a scorer sees of it."""

import json

import pytest

from ridgeline_worker import frames

ECHO = "def init(): pass\ndef run(raw_data): return raw_data\n"


def body(answer):
    return json.loads(answer[1])


def test_hello_answers_and_clean_end(worker):
    w = worker(ECHO)
    assert w.first.type == frames.HELLO
    assert w.first.header["protocol"] == 2
    header, text = w.ask("héé".encode())
    assert header["status"] == 200 and header["ms"] >= 0
    assert json.loads(text) == "héé"
    assert w.end() == (0, "")


def test_requests_sent_ahead_are_answered_in_order(worker):
    w = worker(ECHO)
    w.channel.sendall(b"".join(frames.encode(frames.REQUEST, n, {}, str(n).encode()) for n in range(1, 500)))
    for n in range(1, 500):
        answer = frames.read(w.stream)
        assert (answer.id, answer.body) == (n, json.dumps(str(n)).encode())


@pytest.mark.parametrize(
    ("script", "stage", "message"),
    [
        ("import nosuch", "import", "ModuleNotFoundError: No module named 'nosuch'"),
        ("def init(): raise KeyError(3)\ndef run(x): pass", "init", "KeyError: 3"),
        ("import sys\ndef init(): sys.exit()\ndef run(x): pass", "init", "SystemExit"),
        ("def run(x): pass", "import", "score.py does not define a function init()."),
        ("def init(): pass\nrun = 3", "import", "score.py does not define a function run()."),
        ("def init(): pass\ndef run(): pass", "import", "run() needs to accept an argument for input data."),
        (
            "def init(): pass\ndef run(request_headers): pass",
            "import",
            'run() needs to accept an argument other than "request_headers".',
        ),
        (
            "def init(): pass\ndef run(x, **k): pass",
            "import",
            "run() cannot accept positional-only arguments, *args, or **kwargs.",
        ),
        (
            "def init(): pass\ndef run(x, /): pass",
            "import",
            "run() cannot accept positional-only arguments, *args, or **kwargs.",
        ),
    ],
)
def test_failure_is_told_and_exits_3(worker, script, stage, message):
    w = worker(script)
    assert w.first.type == frames.FAILED
    assert w.first.header["stage"] == stage
    assert w.first.header["message"] == message
    assert message in w.first.header["traceback"]
    code, output = w.end()
    assert code == 3
    assert message in output


def test_two_required_parameters_need_a_schema(worker):
    w = worker("def init(): pass\ndef run(a, b): pass")
    assert "@input_schema" in w.first.header["message"]


def test_run_that_raises_or_exits_ends_only_its_request(worker):
    w = worker("import sys\ndef init(): pass\ndef run(raw_data):\n    exec(raw_data)\n    return 1\n")
    for code, error in (("1/0", "ZeroDivisionError: division by zero"), ("sys.exit(4)", "SystemExit: 4")):
        header, text = w.ask(code.encode())
        assert header == {"status": 500, "failed": True, "error": error}
        assert json.loads(text)["message"].startswith("An unexpected error occurred in scoring script.")
    assert body(w.ask(b"pass")) == 1
    _, output = w.end()
    assert "ZeroDivisionError" in output
    assert "ridgeline_worker" not in output


@pytest.mark.parametrize(
    ("expression", "want"),
    [("None", {}), ("[1, 'é']", [1, "é"]), ("'text'", "text"), ("{'a': (1, 2)}", {"a": [1, 2]}), ("0", 0)],
)
def test_what_run_may_return(worker, expression, want):
    w = worker(f"def init(): pass\ndef run(raw_data): return {expression}\n")
    assert body(w.ask()) == want


@pytest.mark.parametrize("expression", ["object()", "b'x'", "{1, 2}", "{(1, 2): 3}", "[[...]]", "loop", "deep"])
def test_what_cannot_be_json(worker, expression):
    w = worker(
        "def init(): pass\nloop = []\nloop.append(loop)\ndeep = []\n"
        f"for _ in range(100000): deep = [deep]\ndef run(raw_data): return {expression} if not raw_data else 1\n"
    )
    header, text = w.ask()
    assert header["status"] == 500 and "failed" not in header and "ms" not in header
    assert json.loads(text) == {"message": "An unexpected internal error occurred. Check the logs for more info."}
    assert body(w.ask(b"x")) == 1


@pytest.mark.parametrize("expression", ["float('nan')", "[1, float('inf')]", "{'a': -float('inf')}"])
def test_nan_is_refused_with_a_reason(worker, expression):
    w = worker(f"def init(): pass\ndef run(raw_data): return {expression}\n")
    header, text = w.ask()
    assert header["status"] == 500
    assert "NaN or an infinity" in json.loads(text)["message"]


def test_get_query(worker):
    w = worker(ECHO)
    answer = w.ask(method="GET", query="a=1&b=[1,2]&c=x&c=null&d=%C3%A9+e&f=")
    assert json.loads(body(answer)) == {"a": 1, "b": [1, 2], "c": ["x", None], "d": "é e", "f": ""}


def test_not_utf8(worker):
    header, text = worker(ECHO).ask(b"a\xff")
    assert header["status"] == 400
    assert json.loads(text)["message"].startswith("Input cannot be decoded as UTF-8: 'utf-8' codec")


def test_request_headers(worker):
    w = worker("def init(): pass\ndef run(request_headers, data): return [data, request_headers]\n")
    assert w.first.header["headers"] is True
    assert body(w.ask(b"1", headers={"X-Ms-Request-Id": "7"})) == ["1", {"X-Ms-Request-Id": "7"}]


def test_paths_and_folder(worker, tmp_path):
    (tmp_path / "mymodel.py").write_text("import os\nfrom sub import deep\nwhere = os.getcwd()\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep.py").write_text("")
    (tmp_path / "frames.py").write_text("mine = True\n")  # the worker's modules do not shadow the user's
    w = worker(
        "import os, sys\nimport mymodel, frames\n"
        "def init(): pass\n"
        "def run(raw_data): return [mymodel.where, frames.mine, __name__ in sys.modules, sys.argv,\n"
        "    'RIDGELINE_WORKER_FD' in os.environ, any('ridgeline_worker' in p for p in sys.path)]\n"
    )
    root = str(tmp_path.resolve())
    assert body(w.ask()) == [root, True, True, [root + "/score.py"], False, False]


def test_script_in_a_folder_of_its_own(tmp_path, worker):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "beside.py").write_text("x = 1\n")
    (tmp_path / "package.py").write_text("y = 2\n")
    (tmp_path / "src" / "score.py").write_text(
        "import beside, package\ndef init(): pass\ndef run(r): return beside.x + package.y\n"
    )
    w = worker("", AZUREML_ENTRY_SCRIPT="src/score.py")
    assert body(w.ask()) == 3


def test_driver_module(tmp_path, worker):
    (tmp_path / "real.py").write_text("def init(): pass\ndef run(raw_data): return ['real', raw_data]\n")
    w = worker(
        "import real as driver_module\ndone = []\n"
        "def init(): driver_module.init(); print('driver init')\n"
        "def run(raw_data): return 'driver'\n"
    )
    assert body(w.ask(b"x")) == ["real", "x"]
    assert "driver init" in w.end()[1]


def test_dataclass_in_script(worker):
    w = worker(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass P:\n    x: int = 3\n"
        "def init(): pass\ndef run(r): return P().x\n"
    )
    assert body(w.ask()) == 3


def test_prints_go_out_line_by_line_even_before_a_hard_exit(worker):
    w = worker("import os\ndef init(): pass\ndef run(r):\n    print('last words')\n    os._exit(9)\n")
    w.channel.sendall(frames.encode(frames.REQUEST, 1, {}))
    assert frames.read(w.stream) is None
    assert w.end() == (9, "last words\n")


def test_logging_json(tmp_path, worker):
    config = {
        "version": 1,
        "formatters": {"short": {"format": "%(levelname)s of %(name)s: %(message)s"}},
        "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "short"}},
        "root": {"level": "INFO", "handlers": ["out"]},
    }
    (tmp_path / "logging.json").write_text(json.dumps(config))
    w = worker("import logging\ndef init(): logging.getLogger('mine').info('ready')\ndef run(x): return x\n")
    assert w.first.type == frames.HELLO
    assert w.end() == (0, "INFO of mine: ready\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "logging.json cannot be used"),
        ('{"version": 1, "formatters": {"f": {"()": "nosuch.Formatter"}}}', "No module named 'nosuch'"),
    ],
)
def test_logging_json_that_is_none(tmp_path, worker, text, message):
    (tmp_path / "logging.json").write_text(text)
    w = worker(ECHO)
    assert w.first.type == frames.FAILED
    assert "logging.json" in w.first.header["message"] and message in w.first.header["message"]


def test_model_path_shim(tmp_path, worker):
    one, many = tmp_path / "one", tmp_path / "many"
    for folder in (one, many, many / "iris" / "2", many / "iris" / "10"):
        folder.mkdir(parents=True, exist_ok=True)
    (one / "model.pkl").write_text("x")
    (many / "iris" / "10" / "a.pkl").write_text("x")
    (many / "iris" / "10" / "b.pkl").write_text("x")
    (many / "iris" / "2" / "a.pkl").write_text("x")
    script = (
        "from azureml.core.model import Model\nfrom azureml.core import Model as Same\n"
        "def init(): assert Model is Same\n"
        "def run(raw_data): return [Model.get_model_path('iris'), Model.get_model_path('iris', version=2)]\n"
    )
    w = worker(script, AZUREML_MODEL_DIR=str(one))
    assert body(w.ask()) == [str(one / "model.pkl")] * 2
    w = worker(script, AZUREML_MODEL_DIR=str(many))
    assert body(w.ask()) == [str(many / "iris" / "10"), str(many / "iris" / "2" / "a.pkl")]
    w = worker(script)
    header, _ = w.ask()
    assert "AZUREML_MODEL_DIR" in header["error"]


def test_model_path_shim_stands_back_for_the_real_package(tmp_path, worker):
    (tmp_path / "azureml" / "core").mkdir(parents=True)
    for name in ("__init__.py", "core/__init__.py"):
        (tmp_path / "azureml" / name).write_text("")
    (tmp_path / "azureml" / "core" / "model.py").write_text(
        "class Model:\n    get_model_path = staticmethod(str.upper)\n"
    )
    script = "from azureml.core.model import Model\ndef init(): pass\ndef run(r): return Model.get_model_path(r)\n"
    assert body(worker(script).ask(b"real")) == "REAL"


def test_model_path_shim_within_a_namespace_package(tmp_path, worker):
    # azureml-ai-monitoring is installed as azureml/ai/monitoring, without azureml.core beside it.
    (tmp_path / "azureml" / "ai").mkdir(parents=True)
    (tmp_path / "azureml" / "ai" / "__init__.py").write_text("here = 1\n")
    script = (
        "import azureml.ai\nfrom azureml.core.model import Model\n"
        "def init(): pass\ndef run(r): return azureml.ai.here\n"
    )
    assert body(worker(script).ask()) == 1


def test_missing_azureml_parts_stay_missing(worker):
    w = worker("import azureml.core.workspace\n")
    assert "ModuleNotFoundError: No module named 'azureml.core.workspace'" in w.first.header["message"]


def test_run_that_takes_too_long_is_interrupted_and_the_worker_lives(worker):
    w = worker(
        "import time\ndef init(): pass\n"
        "def run(raw_data):\n"
        "    try: time.sleep(float(raw_data))\n"
        "    finally: print('cleaned up')\n"
        "    return 1\n",
        SCORING_TIMEOUT_MS="200",
    )
    header, text = w.ask(b"30")
    assert header == {"status": 500, "failed": True, "timeout": True, "error": "Scoring timeout after 200 ms"}
    assert json.loads(text) == {"message": "Scoring timeout after 200 ms"}
    assert body(w.ask(b"0")) == 1
    _, output = w.end()
    assert output.count("cleaned up") == 2 and "ScoringTimeout" in output
