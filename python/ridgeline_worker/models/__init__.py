"""Loads a model that has no scoring script and calls its predict().

It owns finding what lies in a model's folder, one adapter for each kind of model, and the signature that
each gives away; it leaves reading requests, checking them against the signature and joining them to the
scorer. The frameworks are the model's own environment's and are imported when a model needs them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import convert, estimator, lightgbm_model, mlflow_model, onnx_model, xgboost_model
from .find import find
from .model import Model, ModelError

__all__ = ["Model", "ModelError", "load"]

_LOADERS = {
    "mlflow": mlflow_model.load,
    "onnx": onnx_model.load,
    "xgboost": xgboost_model.load,
    "lightgbm": lightgbm_model.load,
    "skops": estimator.load_skops,
    "pickle": estimator.load_pickle,
}


def load(folder: str | os.PathLike[str]) -> Model:
    """Load what lies in folder. What is unknown, ambiguous or unusable is a ModelError.

    The working folder is the project's code: pickles name its classes.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    model = convert.load(Path(folder))
    if model is None:
        kind, path = find(Path(folder))
        model = _LOADERS[kind](path)
    model.warm()
    return model
