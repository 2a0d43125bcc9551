"""MLflow model folders: by their flavor's own file where it is of a kind that is known here, else by mlflow.

What is known needs no mlflow, starts in a fraction of the time and spares each request a second check of
what the scorer has checked already. The folder's format: https://mlflow.org/docs/latest/ml/model/.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from . import estimator, lightgbm_model, onnx_model, signature, xgboost_model
from .model import FRAME, MATRIX, NAMED, Model, ModelError, need, own

# MLflow's names of column types.
_TYPES = {
    "boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64",
    "string": "TEXT", "binary": "BINARY", "datetime": "DATETIME",
}  # fmt: skip


def load(folder: Path) -> Model:
    yaml = need("yaml", "this is an MLflow folder, whose MLmodel is YAML", "PyYAML, or mlflow-skinny,")
    try:
        meta = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        flavors = meta["flavors"]
        function = flavors["python_function"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as e:
        raise ModelError(
            f"MLmodel has no flavor python_function that could be served: {e!r}. "
            "Save the model with mlflow's save_model() or log_model()."
        ) from e
    given = signature_of(meta)
    for code in {function.get("code"), flavors.get(_flavor(function), {}).get("code")} - {None}:
        sys.path.insert(0, str(folder / code))
    known = _KNOWN.get(function.get("loader_module", ""))
    if known is None:
        return by_mlflow(folder, meta, given)
    model = known(folder, flavors[_flavor(function)], function)
    return under(model, given)


def _flavor(function: dict[str, Any]) -> str:
    return function.get("loader_module", "").rpartition(".")[2]


def _sklearn(folder: Path, flavor: dict[str, Any], function: dict[str, Any]) -> Model:
    return _estimator(folder / flavor["pickled_model"], flavor, function.get("predict_fn", "predict"))


def _estimator(path: Path, flavor: dict[str, Any], method: str = "predict") -> Model:
    if flavor.get("serialization_format") == "skops":
        return estimator.load_skops(path, flavor.get("skops_trusted_types"), method)
    return estimator.load_pickle(path, method)


def _xgboost(folder: Path, flavor: dict[str, Any], _function: dict[str, Any]) -> Model:
    name = flavor.get("model_class", "Booster").rpartition(".")[2]
    model = getattr(xgboost_model.framework(), name)()
    model.load_model(str(folder / flavor["data"]))
    if name == "Booster":
        return xgboost_model.booster_model(model)
    return xgboost_model.booster_model(model.get_booster(), model.predict)


def _lightgbm(folder: Path, flavor: dict[str, Any], _function: dict[str, Any]) -> Model:
    if flavor.get("model_class", "lightgbm.basic.Booster") == "lightgbm.basic.Booster":
        return lightgbm_model.load(folder / flavor["data"])
    return _estimator(folder / flavor["data"], flavor)


def _onnx(folder: Path, flavor: dict[str, Any], _function: dict[str, Any]) -> Model:
    return onnx_model.load(folder / flavor["data"], flavor.get("onnx_session_options"))


# By loader module, which says as what mlflow itself would load the folder.
_KNOWN = {"mlflow.sklearn": _sklearn, "mlflow.xgboost": _xgboost, "mlflow.lightgbm": _lightgbm, "mlflow.onnx": _onnx}


def under(model: Model, given: dict[str, Any] | None) -> Model:
    """Put a model under the signature of its MLmodel."""
    if given is None:
        return model
    if given["form"] == "table" and model.takes == MATRIX:
        named = [f.get("name") for f in (model.signature or {}).get("inputs", [])]
        numbers = all(f["type"] in signature.NUMPY.values() for f in given["inputs"])
        ordered = not any(named) or named == [f.get("name") for f in given["inputs"]]
        if not numbers or not ordered:
            model.takes = FRAME
            model.linear = None
    elif given["form"] == "array" and model.takes == FRAME:
        model.takes = MATRIX
    elif not model.takes:
        model.takes = _TAKES[given["form"]]
    model.signature = given
    return model


_TAKES = {"table": FRAME, "array": MATRIX, "named": NAMED}


def by_mlflow(folder: Path, meta: dict[str, Any], given: dict[str, Any] | None) -> Model:
    """Load what only mlflow knows how to: other flavors, and models that are Python code."""
    loader = meta["flavors"]["python_function"].get("loader_module")
    mlflow = need("mlflow.pyfunc", f"the MLflow folder's loader is {loader}", "mlflow-skinny, or mlflow,")
    loaded = mlflow.load_model(str(folder))
    as_list = bool(meta.get("is_signature_from_type_hint"))  # predict(self, model_input: list[…])

    def call(values: Any, params: dict[str, Any]) -> Any:
        return loaded.predict(values.tolist() if as_list else values, params=params or None)

    version = sys.modules["mlflow"].__version__
    model = Model(own(version, f"mlflow ({loader})"), given, _TAKES[given["form"]] if given else "", call)
    model.harmless = False
    model.joins = loader != "mlflow.pyfunc.model"  # somebody's own predict(), which may look at rows together
    return model


def signature_of(meta: dict[str, Any]) -> dict[str, Any] | None:
    """Return MLmodel's signature, or None when it has none for the inputs."""
    text = meta.get("signature") or {}
    inputs = json.loads(text.get("inputs") or "[]")
    if not inputs:
        return None
    tensors = [i.get("type") == "tensor" for i in inputs]
    fields = [_field(i) for i in inputs]
    if all(tensors):
        form = "array" if len(fields) == 1 and not fields[0].get("name") else "named"
    elif all(f.get("name") for f in fields):
        form = "table"
    elif len({f["type"] for f in fields}) == 1:  # columns without names: the rows of one array
        form = "array"
        fields = [signature.field("", fields[0]["type"], [len(fields)] if len(fields) > 1 else None)]
    else:
        return None
    made: dict[str, Any] = {"form": form, "inputs": fields}
    outputs = json.loads(text.get("outputs") or "[]")
    if outputs:
        made["outputs"] = [_field(o) for o in outputs]
    params = json.loads(text.get("params") or "[]")
    if params:
        made["params"] = [_param(p) for p in params]
    return made


def _field(given: dict[str, Any]) -> dict[str, Any]:
    name, optional = given.get("name") or "", not given.get("required", not given.get("optional", False))
    if given.get("type") != "tensor":
        return signature.field(name, _TYPES.get(given.get("type", ""), signature.ANY), None, optional)
    spec = given["tensor-spec"]
    return signature.field(name, _dtype(spec["dtype"]), spec["shape"][1:], optional)


def _dtype(name: str) -> str:
    import numpy as np  # noqa: PLC0415

    found = np.dtype(name)
    if found.kind == "M":
        return signature.DATETIME
    if found.kind in "US":
        return signature.TEXT if found.kind == "U" else signature.BINARY
    return signature.NUMPY.get(found.kind + str(found.itemsize), signature.ANY)


def _param(given: dict[str, Any]) -> dict[str, Any]:
    made = {"name": given["name"], "default": given.get("default")}
    made["type"] = _TYPES.get(given.get("type") or given.get("dtype") or "", signature.ANY)
    if given.get("shape"):
        made["list"] = True
    return made
