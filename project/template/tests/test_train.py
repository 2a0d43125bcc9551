import json
from pathlib import Path

import joblib
import numpy as np
import pytest

from diabetes.data import load
from diabetes.train import build, main, train

DATA = Path("data/diabetes.csv")


def test_it_beats_the_mean(tmp_path):
    metrics = train(DATA, tmp_path, alpha=10)
    _, y = load(DATA)
    assert metrics["cv_mse"] < 0.6 * y.var()


def test_it_writes_model_and_metrics(tmp_path):
    metrics = train(DATA, tmp_path, alpha=10)
    x, y = load(DATA)
    model = joblib.load(tmp_path / "model" / "model.joblib")
    assert model.predict(x).shape == y.shape
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics


def test_the_same_data_gives_the_same_bytes(tmp_path):
    train(DATA, tmp_path / "a", alpha=10)
    train(DATA, tmp_path / "b", alpha=10)
    a, b = ((tmp_path / side / "model" / "model.joblib").read_bytes() for side in "ab")
    assert a == b


def test_alpha_shrinks_the_coefficients():
    x, y = load(DATA)
    loose, tight = (build(alpha).fit(x, y)[-1].coef_ for alpha in (0.1, 1000))
    assert np.abs(tight).sum() < np.abs(loose).sum()


def test_a_negative_alpha_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        build(-1)


def test_as_a_step(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RIDGELINE_DATA_DIABETES_TRAIN", str(DATA))
    monkeypatch.setenv("RIDGELINE_OUT", str(tmp_path))
    monkeypatch.setenv("RIDGELINE_PARAM_ALPHA", "2.5")
    main([])
    assert json.loads((tmp_path / "metrics.json").read_text())["alpha"] == 2.5
    assert "trained on 442 rows with alpha 2.5" in capsys.readouterr().out
