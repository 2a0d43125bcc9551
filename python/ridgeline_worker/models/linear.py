"""Linear models of scikit-learn without what predict() does beside its arithmetic.

For a handful of rows, scikit-learn spends nineteen twentieths of predict() on finding out what it was given.
The scorer knows: a block of numbers with as many columns as the model has. What is left is the same product
and sum by the same numpy, so that the answers are the same to the last bit, which is tried out at load.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Predict = Callable[[Any], Any]

_TRIED = (1, 2, 3, 8, 33)  # rows of a trial


def quick(found: Any) -> Predict | None:
    """Return a fitted model's predict() in short; None for any other model, or where the two do not agree."""
    arithmetic = _classification(found) or _regression(found)
    if arithmetic is None:
        return None
    try:
        agrees = all(_same(found.predict(rows), arithmetic(rows)) for rows in _trials(found.n_features_in_))
    except Exception:  # a version of scikit-learn that is not known here
        return None
    return _guarded(arithmetic, found.predict, found.n_features_in_) if agrees else None


def _guarded(arithmetic: Predict, predict: Predict, columns: int) -> Predict:
    """Leave to predict() what it might refuse or convert: above all NaN and infinity, which a sum shows."""
    import numpy as np  # noqa: PLC0415  the model's

    def call(values: Any) -> Any:
        plain = type(values) is np.ndarray and values.dtype.char == "d" and values.ndim == 2
        if plain and values.shape[1] == columns and len(values):
            with np.errstate(over="ignore", invalid="ignore"):
                finite = math.isfinite(values.sum())
            if finite:
                return arithmetic(values)
        return predict(values)

    return call


def _regression(found: Any) -> Predict | None:
    if not _own(found, "predict", "_decision_function"):
        return None
    weights, intercept = found.coef_.T, found.intercept_
    return lambda values: values @ weights + intercept


def _classification(found: Any) -> Predict | None:
    if not _own(found, "predict", "decision_function") or not hasattr(found, "classes_"):
        return None
    weights, intercept, classes = found.coef_.T, found.intercept_, found.classes_

    def call(values: Any) -> Any:
        scores = values @ weights + intercept
        if scores.ndim > 1 and scores.shape[1] == 1:
            scores = scores.reshape(-1)
        return classes.take((scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1), axis=0)

    return call


def _own(found: Any, *methods: str) -> bool:
    """Report whether an estimator is fitted and these are scikit-learn's own methods of linear models, and not
    somebody's who has made another one of it."""
    owners = (getattr(getattr(type(found), name, None), "__module__", "") for name in methods)
    return all(o.startswith("sklearn.linear_model.") for o in owners) and hasattr(found, "coef_")


def _trials(columns: int) -> list[Any]:
    import numpy as np  # noqa: PLC0415

    draw = np.random.default_rng(0)
    return [draw.standard_normal((rows, columns)) * scale for rows in _TRIED for scale in (0.0, 1.0, 1e6)]


def _same(one: Any, other: Any) -> bool:
    return (
        type(one) is type(other)
        and (one.dtype, one.shape) == (other.dtype, other.shape)
        and (one.tolist() == other.tolist() if one.dtype.kind == "O" else one.tobytes() == other.tobytes())
    )
