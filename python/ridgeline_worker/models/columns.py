"""What a fitted estimator says of its columns: which types they have, and whether only their order matters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from . import lightgbm_model, signature, xgboost_model

# Of these, and of other people's code, a column may be anything, or be asked for by its name.
_BY_NAME = ("sklearn.compose", "sklearn.feature_extraction", "sklearn.preprocessing._function_transformer")


def types(found: Any, names: list[Any]) -> dict[Any, str]:
    """Return the type of each column by its name.

    Numbers, but for columns that go into an encoder of texts; JSON, whatever it may be, for those that go
    into something that is not known.
    """
    made = dict.fromkeys(names, signature.FLOAT)
    for kinds in _looked_at(found, names):
        for name, kind in kinds.items():
            if name in made and made[name] == signature.FLOAT:
                made[name] = kind
    return made


def _looked_at(found: Any, names: list[Any]) -> Iterable[dict[Any, str]]:
    module = type(found).__module__
    if hasattr(found, "best_estimator_"):  # GridSearchCV and its like
        yield from _looked_at(found.best_estimator_, names)
    elif hasattr(found, "transformers_"):  # ColumnTransformer
        for _, step, chosen in found.transformers_:
            yield from _looked_at(step, _chosen(chosen, names))
    elif hasattr(found, "transformer_list"):  # FeatureUnion
        for _, step in found.transformer_list:
            yield from _looked_at(step, names)
    elif hasattr(found, "steps"):  # Pipeline
        yield from _looked_at(next((s for _, s in found.steps if s not in (None, "passthrough")), None), names)
    elif hasattr(found, "categories_") and len(found.categories_) == len(names):  # encoders
        yield {name: _type(values) for name, values in zip(names, found.categories_)}
    elif (
        found is None
        or isinstance(found, str)
        or (type(found).__name__ == "FunctionTransformer" and found.func is None)
    ):
        pass  # dropped, or passed through to the estimator behind it
    elif module.startswith("sklearn.feature_extraction.text"):
        yield dict.fromkeys(names, signature.TEXT)
    elif (
        module.startswith(_BY_NAME)
        or not module.startswith(("sklearn.", "xgboost.", "lightgbm."))
        or not _numeric(found)
    ):
        yield dict.fromkeys(names, signature.ANY)


def _chosen(chosen: Any, names: list[Any]) -> list[Any]:
    """Resolve a ColumnTransformer's columns: names, positions, a slice, a mask, or one of them."""
    if isinstance(chosen, (str, int)):
        chosen = [chosen]
    if isinstance(chosen, slice):
        if isinstance(chosen.start, str) or isinstance(chosen.stop, str):  # by name, the last included
            first = names.index(chosen.start) if chosen.start is not None else 0
            last = names.index(chosen.stop) if chosen.stop is not None else len(names) - 1
            return names[first : last + 1]
        return names[chosen]
    chosen = list(chosen)
    if chosen and all(isinstance(c, bool) or type(c).__name__ in ("bool_", "bool") for c in chosen):
        return [name for name, yes in zip(names, chosen) if yes]
    return [c if isinstance(c, str) else names[c] for c in chosen]


def _type(values: Iterable[Any]) -> str:
    # None and NaN are categories, too, but no types
    known = [v for v in values if v is not None and not (isinstance(v, float) and math.isnan(v))]
    if all(isinstance(v, str) for v in known):
        return signature.TEXT if known else signature.ANY
    if all(hasattr(v, "__float__") and not isinstance(v, bool) for v in known):
        return signature.FLOAT
    return signature.ANY


def positional(found: Any) -> bool:
    """Report whether a matrix of numbers gives the same answers as a table of the same columns in the same
    order: it is made of estimators that take columns by their place, and fourteen times as fast."""
    return all(_by_place(e) for e in estimators(found))


def _by_place(found: Any) -> bool:
    module = type(found).__module__
    return (
        module.startswith(("sklearn.", "xgboost.", "lightgbm.")) and not module.startswith(_BY_NAME) and _numeric(found)
    )


def _numeric(found: Any) -> bool:
    """Report whether an estimator knows no categories of its own, which need a table's column types."""
    module = type(found).__module__
    if module.startswith("xgboost.") and getattr(found, "_Booster", None) is not None:
        # gblinear has no prediction in place, and checks the names of its own matrix
        return getattr(found, "booster", None) != "gblinear" and not xgboost_model.categorical(found.get_booster())
    if module.startswith("lightgbm.") and getattr(found, "_Booster", None) is not None:
        return not lightgbm_model.categories(found.booster_)
    chosen = getattr(found, "is_categorical_", None)  # HistGradientBoosting's
    return (chosen is None or not any(chosen)) and not hasattr(found, "categories_")


def estimators(found: Any) -> Iterable[Any]:
    """Yield an estimator and all that it holds, fitted or not, each once."""
    seen: set[int] = set()
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, (list, tuple)) or str(getattr(one, "dtype", "")) == "object":
            waiting.extend(one if not hasattr(one, "flat") else one.flat)
        elif hasattr(one, "get_params") and not isinstance(one, type):
            yield one
            waiting.extend(vars(one).values())
