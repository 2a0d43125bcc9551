"""LightGBM models as Booster.save_model() writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from . import signature
from .model import FRAME, MATRIX, Model, ModelError, need, own, threads


def load(path: Path) -> Model:
    return booster_model(framework().Booster(model_file=str(path)))


def framework() -> Any:
    return need("lightgbm", "this is a LightGBM model")


def booster_model(booster: Any) -> Model:
    names = booster.feature_name()
    kinds = categories(booster)
    if all(re.fullmatch(r"Column_\d+", n) for n in names):  # what it calls those that have no name
        given = signature.matrix(len(names))
    else:
        given = signature.table(names, [_type(kinds[n]) if n in kinds else signature.FLOAT for n in names])

    def call(values: Any, _params: dict[str, Any]) -> Any:
        for name in kinds:
            values[name] = values[name].astype("category")
        return booster.predict(values, num_threads=threads())

    return Model(own(framework().__version__, "lightgbm"), given, FRAME if kinds else MATRIX, call)


def categories(booster: Any) -> dict[str, list[Any]]:
    """Return the categories of each feature that was a pandas category in training.

    The file has the lists in the features' order without their names; a categorical feature is one whose
    feature_infos is a list of values and no range.
    """
    lists = booster.pandas_categorical or []
    if not lists:
        return {}
    infos = re.search(r"^feature_infos=(.*)$", booster.model_to_string(num_iteration=1), re.MULTILINE)
    found = [
        n for n, info in zip(booster.feature_name(), infos.group(1).split() if infos else []) if info[:1] not in "[n"
    ]
    if len(found) != len(lists):
        raise ModelError(
            f"the LightGBM model has {len(lists)} lists of categories and {len(found)} categorical features, "
            "so it cannot be told which belong together. Serve it by a script (release.score)."
        )
    return dict(zip(found, lists))


def _type(values: list[Any]) -> str:
    if all(isinstance(v, str) for v in values):
        return signature.TEXT
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return signature.FLOAT
    return signature.ANY
