"""Scoring: init() once at start, run(raw_data) for every request.

A request is {"data": [[age, sex, bmi, bp, s1, …, s6], …]}, the answer
{"result": [progression, …]}, one number a row.
"""

import json
import os
from pathlib import Path

import joblib
import numpy as np

from diabetes.data import FEATURES

model = None


def init() -> None:
    """Load the model: from where it is served, or the one trained by hand."""
    global model
    folder = Path(os.environ.get("AZUREML_MODEL_DIR", "out/model"))
    model = joblib.load(folder / "model.joblib")


def run(raw_data: str) -> dict[str, list[float]]:
    return {"result": model.predict(parse(raw_data)).tolist()}


def parse(raw_data: str) -> np.ndarray:
    """Return the rows of a request, or say what is wrong with it."""
    expected = f'expected {{"data": rows}}, each row {len(FEATURES)} numbers: {", ".join(FEATURES)}'
    try:
        rows = np.array(json.loads(raw_data)["data"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{expected}; got {raw_data[:200]!r}") from error
    if rows.ndim != 2 or rows.shape[1] != len(FEATURES):
        raise ValueError(f"{expected}; got an array of shape {list(rows.shape)}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{expected}; got a value that is missing or not finite")
    return rows
