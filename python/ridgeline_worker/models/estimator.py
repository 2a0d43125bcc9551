"""Objects with a predict(), as joblib, pickle and skops keep them: scikit-learn's and whatever has its shape."""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

from . import columns, lightgbm_model, linear, signature, xgboost_model
from .model import FRAME, MATRIX, Model, ModelError, need, own

_LISTED = 10  # types that a message names


def load_pickle(path: Path, method: str = "predict") -> Model:
    """Load what joblib, pickle or cloudpickle wrote."""
    try:
        try:
            import joblib  # noqa: PLC0415  the model's
        except ImportError:
            with path.open("rb") as f:
                found = pickle.load(f)
        else:
            found = joblib.load(path)
    except ImportError as e:
        raise ModelError(
            f"{path.name} needs {e.name or 'a module'}, which cannot be imported: {e}. Add its package to the "
            "project's, or, if it is the project's own code, keep it importable from the project's folder."
        ) from e
    except AttributeError as e:  # pickled from a script that was run as __main__
        raise ModelError(
            f"{path.name} names code that is not there: {e}. Classes and functions that a model uses have to be "
            "in a module of the project that training imports, and not in the script that it runs."
        ) from e
    return model_of(found, path.name, method)


def load_skops(path: Path, trusted: list[str] | None = None, method: str = "predict") -> Model:
    """Load a skops file that holds nothing but types that skops trusts by itself, or that are in trusted."""
    skops = need("skops.io", f"{path.name} is a skops file", "skops")
    others = sorted(set(skops.get_untrusted_types(file=path)) - set(trusted or ()))
    if others:
        raise ModelError(
            f"{path.name} holds types that skops does not trust: {', '.join(others[:_LISTED])}. "
            "Save the model with joblib if you trust it, or as an MLflow folder that lists them (skops_trusted_types)."
        )
    return model_of(skops.load(path, trusted=trusted), path.name, method)


def model_of(found: Any, where: str, method: str = "predict") -> Model:
    """Return an object that was unpickled as a model. method is what it is asked by."""
    module = type(found).__module__.partition(".")[0]
    if module == "xgboost" and type(found).__name__ == "Booster":
        return xgboost_model.booster_model(found)
    if module == "lightgbm" and type(found).__name__ == "Booster":
        return lightgbm_model.booster_model(found)
    if not callable(getattr(found, method, None)):
        what = f"a {type(found).__name__}"
        if isinstance(found, dict):
            what += f" with {', '.join(str(k) for k in list(found)[:_LISTED])}"
        raise ModelError(
            f"{where} holds {what}, which has no {method}(). Save the model itself, or serve it by a script "
            "(release.score)."
        )
    # Names are checked by the scorer, so this is no news where a matrix goes in for a table.
    warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)
    given = described(found)
    takes = MATRIX
    if given is None:
        takes = ""
    elif given["form"] == "table" and not columns.positional(found):
        takes = FRAME
    predict = (linear.quick(found) if method == "predict" and takes == MATRIX else None) or getattr(found, method)
    model = Model(framework(found), given, takes, lambda values, _params: predict(values))
    model.estimator = found if method == "predict" else None
    model.linear = linear.described(found) if method == "predict" and takes == MATRIX else None
    return model


def described(found: Any) -> dict[str, Any] | None:
    """Return the signature that a fitted estimator gives away."""
    names, count = getattr(found, "feature_names_in_", None), getattr(found, "n_features_in_", None)
    if names is not None:
        kinds = columns.types(found, list(names))
        return signature.table([str(n) for n in names], [kinds[n] for n in names])
    if isinstance(count, int) and set(columns.types(found, list(range(count))).values()) <= {signature.FLOAT}:
        return signature.matrix(count)
    return None


def framework(found: Any) -> str:
    name = type(found).__module__.partition(".")[0]
    version = getattr(sys.modules.get(name), "__version__", "")
    return own(version, "scikit-learn" if name == "sklearn" else name)
