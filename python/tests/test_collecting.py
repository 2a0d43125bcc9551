"""What is collected for requests that no client made is marked with their purpose."""

import sys
import types

from ridgeline_worker import collecting
from ridgeline_worker.calls import Caller
from ridgeline_worker.frames import REQUEST, Frame
from ridgeline_worker.script import examine


class Payload:
    def __init__(self, headers):
        self._headers = headers

    def headers(self):
        return self._headers


def test_a_payload_has_the_purpose_of_its_request_alone(monkeypatch):
    module = types.ModuleType("collector_json")  # the package's, in its shape
    module.build_payload = Payload
    monkeypatch.setitem(sys.modules, "azureml.ai.monitoring.collector_json", module)
    shared = {"k": "v"}
    seen = []
    script = types.ModuleType("entry")
    script.init = lambda: None
    script.run = lambda raw_data: seen.append(module.build_payload(shared).headers())
    caller = Caller(examine(script, "score.py"))
    for purpose in ("smoke", "", "mirror", ""):
        caller.one(Frame(REQUEST, 1, {"purpose": purpose} if purpose else {}, b"1"))
    marked = [{**shared, collecting.HEADER: p} if p else shared for p in ("smoke", "", "mirror", "")]
    assert seen == marked
    assert shared == {"k": "v"}


def test_requests_of_different_purposes_are_not_run_together():
    calls = []
    script = types.ModuleType("entry")
    script.init = lambda: None

    def run(raw_data):
        calls.append((raw_data, collecting._now))
        return {"result": [0] * raw_data.count("[1]")}

    script.run = run
    caller = Caller(examine(script, "score.py"), "true")
    purposes = ["", "mirror", "", "mirror", "smoke"]
    requests = [Frame(REQUEST, n, {"purpose": p} if p else {}, b'{"data": [[1]]}') for n, p in enumerate(purposes)]
    caller.several(requests)
    assert sorted(p for _, p in calls) == ["", "mirror", "mirror", "smoke"]


def test_requests_of_one_purpose_are():
    calls = []
    script = types.ModuleType("entry")
    script.init = lambda: None

    def run(raw_data):
        calls.append(collecting._now)
        return {"result": [0] * raw_data.count("[1]")}

    script.run = run
    caller = Caller(examine(script, "score.py"), "true")
    caller.several([Frame(REQUEST, n, {"purpose": "mirror"}, b'{"data": [[1]]}') for n in range(3)])
    assert calls == ["mirror"]
