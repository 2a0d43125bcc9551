"""XGBoost models as save_model() writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import signature
from .model import FRAME, MATRIX, Model, need, own, threads

# What save_model() of the scikit-learn interface notes in the file, and its class. A classifier then
# answers with classes; a file of a plain Booster answers as its objective does.
_CLASSES = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}


def load(path: Path) -> Model:
    xgboost = framework()
    booster = xgboost.Booster(model_file=str(path))
    noted = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type", "")
    if noted not in _CLASSES:
        return booster_model(booster)
    model = getattr(xgboost, _CLASSES[noted])()
    model.load_model(str(path))
    return booster_model(model.get_booster(), model.predict)


def framework() -> Any:
    return need("xgboost", "this is an XGBoost model")


def booster_model(booster: Any, predict: Callable[[Any], Any] | None = None) -> Model:
    """Return a Booster as a model; predict is that of an estimator around it."""
    xgboost = framework()
    kinds = categorical(booster)
    names = booster.feature_names
    if names:
        given = signature.table(names, [signature.ANY if n in kinds else signature.FLOAT for n in names])
    else:
        given = signature.matrix(booster.num_features())
    booster.set_param({"nthread": threads()})
    linear = json.loads(booster.save_config())["learner"]["gradient_booster"]["name"] == "gblinear"

    def call(values: Any, _params: dict[str, Any]) -> Any:
        for name in kinds:
            values[name] = values[name].astype("category")
        if predict is not None:
            return predict(values)
        if linear:  # has no prediction in place, and wants its names
            return booster.predict(xgboost.DMatrix(values))
        return booster.inplace_predict(values, validate_features=False)

    takes = FRAME if kinds or (linear and names) else MATRIX
    return Model(own(xgboost.__version__, "xgboost"), given, takes, call)


def categorical(booster: Any) -> list[str]:
    """Return the names of the features that have to come as categories."""
    types = booster.feature_types or []
    return [name for name, kind in zip(booster.feature_names or [], types) if kind == "c"]
