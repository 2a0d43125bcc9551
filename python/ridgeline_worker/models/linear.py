"""Linear models of scikit-learn without what predict() does beside its arithmetic.

For a handful of rows, scikit-learn spends nineteen twentieths of predict() on finding out what it was given.
The scorer knows: a block of numbers with as many columns as the model has. What is left is the same product
and sum by the same numpy, so that the answers are the same to the last bit, which is tried out at load.

The scorer can do that sum itself, and spare the way here: described() is what it needs (decision 0061).
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from .. import batch

Predict = Callable[[Any], Any]

_TRIED = (1, 2, 3, 8, 33)  # rows of a trial

# What a scaler's transform() does with a column, in its order: an operation, the attribute with what it takes,
# and the one that says whether it is done at all.
_SCALERS = {
    "StandardScaler": (("subtract", "mean_", "with_mean"), ("divide", "scale_", "with_std")),
    "RobustScaler": (("subtract", "center_", "with_centering"), ("divide", "scale_", "with_scaling")),
    "MinMaxScaler": (("multiply", "scale_", ""), ("add", "min_", "")),
    "MaxAbsScaler": (("divide", "scale_", ""),),
}
_COLUMNS, _WEIGHTS = 4096, 1 << 16  # the scorer's own bounds


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


def described(found: Any) -> dict[str, Any] | None:
    """Return the numbers of a linear model, by itself or behind scalers in a Pipeline, as worker.Linear has them.

    None for any other model, and where a number is not a finite double or there are very many: the scorer
    then asks predict(). It tries out what it makes of them before it uses it.
    """
    *scalers, last = [step for _, step in found.steps] if _exactly(found, "sklearn.pipeline", "Pipeline") else [found]
    if not type(last).__module__.startswith("sklearn.") or quick(last) is None:
        return None
    scaling = [step for s in scalers for step in _scaling(s)]
    weights, intercepts = last.coef_, last.intercept_
    numbers = [weights, intercepts, *(by for _, by in scaling)]
    if None in (op for op, _ in scaling) or not all(_doubles(n) for n in numbers):
        return None
    weights = weights.reshape(-1, weights.shape[-1])
    outputs, columns = weights.shape
    if columns > _COLUMNS or weights.size > _WEIGHTS or any(len(by) != columns for _, by in scaling):
        return None
    made = {
        "weights": weights.tolist(),
        "intercepts": (weights[:, 0] * 0 + intercepts).tolist(),  # one for each, where there is one for all
        "scaling": [{"op": op, "by": by.tolist()} for op, by in scaling],
    }
    if hasattr(last, "classes_"):
        labels = _labels(last.classes_)
        if labels is None or len(last.classes_) != max(outputs, 2):
            return None
        made["labels"] = labels
    return made


def _exactly(found: Any, module: str, name: str) -> bool:
    """Report whether an object is of that class of scikit-learn, and of no other made from it."""
    return type(found).__module__.startswith(module) and type(found).__name__ == name


def _scaling(scaler: Any) -> list[tuple[str | None, Any]]:
    """Return a scaler's steps; one without a name when it is none, or does more than scale."""
    steps = _SCALERS.get(type(scaler).__name__)
    if steps is None or not _exactly(scaler, "sklearn.preprocessing._data", type(scaler).__name__):
        return [(None, None)]
    if getattr(scaler, "clip", False):
        return [(None, None)]
    return [(op, getattr(scaler, name, None)) for op, name, asked in steps if not asked or getattr(scaler, asked)]


def _doubles(numbers: Any) -> bool:
    import numpy as np  # noqa: PLC0415  the model's

    if not isinstance(numbers, (np.ndarray, float)):  # sparse, or of another library
        return False
    return np.asarray(numbers).dtype == np.float64 and bool(np.isfinite(numbers).all())


def _labels(classes: Any) -> dict[str, str] | None:
    """Return a classifier's labels as their block, where each has one type whatever stands beside it."""
    if classes.dtype.kind not in "biufUO" or (classes.dtype.kind == "O" and not all(type(c) is str for c in classes)):
        return None
    labels = batch.tensor("", classes)
    _, block = batch.encode(batch.Batch(batch.ARRAY, len(classes), [labels]))
    return {"type": labels.type, "data": b64encode(block).decode()}


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
