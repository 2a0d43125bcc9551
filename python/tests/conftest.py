from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ridgeline_worker import batch, frames


def need(name: str):
    """Import a framework that a test is about. `make python-test` has them all."""
    return importlib.import_module(name) if os.environ.get("CI") else pytest.importorskip(name)


PYTHON_DIR = Path(__file__).resolve().parent.parent


class Worker:
    """A real worker process, started as the scorer starts it."""

    def __init__(self, app: Path, script: str | None, python: str = sys.executable, **env: str):
        if script is not None:
            (app / "score.py").write_text(script)
        ours, theirs = socket.socketpair()
        self.channel = ours
        self.process = subprocess.Popen(
            [python, str(PYTHON_DIR / "ridgeline_worker" / "__main__.py")],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                "RIDGELINE_WORKER_FD": str(theirs.fileno()),
                "AML_APP_ROOT": str(app),
                "AZUREML_ENTRY_SCRIPT": "" if script is None else "score.py",
                "PYTHONDONTWRITEBYTECODE": "1",
                **env,
            },
        )
        theirs.close()
        self.stream = ours.makefile("rb")
        self.first = frames.read(self.stream)
        self.last_id = 0

    def ask(self, body: bytes = b"", **header):
        self.last_id += 1
        self.channel.sendall(frames.encode(frames.REQUEST, self.last_id, header, body))
        answer = frames.read(self.stream)
        assert answer is not None
        assert (answer.type, answer.id) == (frames.RESPONSE, self.last_id)
        return answer.header, answer.body

    def predict(self, given: batch.Batch) -> batch.Batch:
        self.last_id += 1
        self.channel.sendall(frames.encode(frames.PREDICT, self.last_id, *batch.encode(given)))
        answer = frames.read(self.stream)
        assert answer is not None
        assert (answer.type, answer.id) == (frames.PREDICTED, self.last_id)
        assert "error" not in answer.header, answer.header
        return batch.decode(answer.header, answer.body)

    def end(self) -> tuple[int, str]:
        self.stream.close()
        self.channel.close()
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, output.decode()


@pytest.fixture
def worker(tmp_path):
    started = []

    def start(script: str | None, **env: str) -> Worker:
        started.append(Worker(tmp_path, script, **env))
        return started[-1]

    yield start
    for w in started:
        w.process.kill()
        w.process.communicate()
        w.stream.close()
        w.channel.close()
