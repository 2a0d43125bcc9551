import json
from pathlib import Path

import numpy as np
import pytest

import score
from diabetes.data import load
from diabetes.train import train

DATA = Path("data/diabetes.csv")


@pytest.fixture(autouse=True)
def served(tmp_path, monkeypatch):
    train(DATA, tmp_path, alpha=10)
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path / "model"))
    score.init()


def test_it_answers_what_the_model_predicts():
    x, _ = load(DATA)
    answer = score.run(json.dumps({"data": x[:3].tolist()}))
    assert json.loads(json.dumps(answer)) == answer
    assert np.allclose(answer["result"], score.model.predict(x[:3]))


def test_the_smoke_test_holds():
    case = json.loads(Path("smoke.json").read_text())
    answer = score.run(json.dumps(case["request"]))["result"]
    expect = case["expect"]
    assert [len(answer)] == expect["shape"]
    assert np.allclose(answer, expect["values"], rtol=0, atol=expect["tolerance"])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("{", "expected"),
        ("[]", "expected"),
        ('{"rows": []}', "expected"),
        ('{"data": []}', r"shape \[0\]"),
        ('{"data": [[1, 2]]}', r"shape \[1, 2\]"),
        ('{"data": [[1, 2], [1]]}', "expected"),
        ('{"data": [["a", 2, 3, 4, 5, 6, 7, 8, 9, 10]]}', "expected"),
        ('{"data": [[null, 2, 3, 4, 5, 6, 7, 8, 9, 10]]}', "missing"),
    ],
)
def test_a_bad_request_is_explained(request_, message):
    with pytest.raises(ValueError, match=message):
        score.run(request_)
