"""Turns a scikit-learn model into ONNX, and tells whether the two answer alike.

A converted model answers a row some ten (a linear model) to some hundred (a forest) times as fast, and
starts without its framework. It is used only where it gives the same answers on rows that the model has
not been trained on; decision 0036 has the figures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..batch import Batch
from . import columns, onnx_model, signature
from .model import FRAME, MATRIX, Model, own, present

FOLDER = ".ridgeline-onnx"  # in the model's folder; whoever looks for a model does not see it
TOLERANCE = 1e-4  # relative to the larger of the answer and the answers' median size; labels have to be equal
_SLOWER = ("sklearn.neighbors", "sklearn.gaussian_process")  # decision 0036
_MODEL, _DESCRIPTION = "model.onnx", "description.json"


def convert(model: Model, folder: Path, rows: Batch) -> str:
    """Convert a model into FOLDER of its folder if it can be and answers rows alike.

    Return the verdict for people: what was done, or why nothing was.
    """
    if model.estimator is None or not model.framework.startswith("scikit-learn"):
        return ""  # nothing was expected
    for package in ("skl2onnx", "onnxruntime"):
        if not present(package):
            return ""
    if any(type(e).__module__.startswith(_SLOWER) for e in columns.estimators(model.estimator)):
        return "not converted to ONNX: a model of this kind answers more slowly there"
    if model.signature is None or model.takes not in (MATRIX, FRAME):
        return "not converted to ONNX: the model does not say what its columns are"
    want = model.predict(rows)
    reasons = []
    for number in ("double", "float"):  # in single precision more models can be converted, and fewer answer alike
        try:
            made = _converted(model, number)
            difference = compare(want, _load(made, model.signature, want).predict(rows))
        except Exception as e:
            reasons.append(f"in {number} precision: {_line(e)}")
            continue
        if difference is None:
            reasons.append(f"in {number} precision it gives other labels")
        elif difference > TOLERANCE:
            reasons.append(f"in {number} precision its answers are off by {difference:.1e}")
        else:
            description = {
                "signature": model.signature,
                "framework": model.framework,
                "answer": _shape(want),
                "linear": model.linear,
            }
            _write(folder / FOLDER, made, description)
            return (
                f"converted to ONNX in {number} precision: the same answers on {rows.rows} rows of the holdout, "
                f"largest relative difference {difference:.1e} of at most {TOLERANCE:.0e}"
            )
    return "not converted to ONNX: " + "; ".join(reasons)


def load(folder: Path) -> Model | None:
    """Load what was converted, or return None when nothing was."""
    where = folder / FOLDER
    if not (where / _DESCRIPTION).is_file():
        return None
    description = json.loads((where / _DESCRIPTION).read_text(encoding="utf-8"))
    made = _Answering((where / _MODEL).read_bytes(), description["answer"])
    model = made.model(description["signature"], description["framework"])
    model.linear = description.get("linear")  # the scorer tries out whether ONNX answers alike
    return model


class _Answering:
    """An ONNX session that gives what the model's predict() gave."""

    def __init__(self, made: bytes, answer: dict[str, Any]):
        import onnxruntime  # noqa: PLC0415

        self.session = onnxruntime.InferenceSession(
            made, onnx_model.session_options(onnxruntime, {}), providers=["CPUExecutionProvider"]
        )
        self.version = onnxruntime.__version__
        self.inputs = [(i.name, onnx_model.type_of(i)) for i in self.session.get_inputs()]
        self.output = [self.session.get_outputs()[0].name]  # of a classifier the label comes first
        self.answer = answer

    def model(self, given: dict[str, Any], framework: str) -> Model:
        if len(self.inputs) > 1:
            return Model(f"{framework}, {own(self.version, 'onnxruntime')}", given, "named", self.by_column)
        return Model(f"{framework}, {own(self.version, 'onnxruntime')}", given, MATRIX, self.by_matrix)

    def by_matrix(self, values: Any, _params: dict[str, Any]) -> Any:
        (name, type_) = self.inputs[0]
        return self.run({name: onnx_model.cast(values, type_, False)})

    def by_column(self, values: Any, _params: dict[str, Any]) -> Any:
        return self.run({name: onnx_model.cast(values[name], type_, True) for name, type_ in self.inputs})

    def run(self, feeds: dict[str, Any]) -> Any:
        found = self.session.run(self.output, feeds)[0]
        found = found.reshape([len(found), *self.answer["shape"]])
        return found.astype(self.answer["numpy"]) if self.answer["numpy"] else found


def _converted(model: Model, number: str) -> bytes:
    from skl2onnx import to_onnx  # noqa: PLC0415
    from skl2onnx.common import data_types as kinds  # noqa: PLC0415

    floats = kinds.DoubleTensorType if number == "double" else kinds.FloatTensorType
    fields = model.signature["inputs"] if model.signature else []
    if model.takes == MATRIX:
        count = fields[0]["shape"][0] if "shape" in fields[0] else len(fields)
        types = [("rows", floats([None, count]))]
    else:
        known = {signature.FLOAT: floats, signature.TEXT: kinds.StringTensorType}
        unknown = [f["name"] for f in fields if f["type"] not in known]
        if unknown:
            raise ValueError(f"it is not known what column {unknown[0]} holds")
        types = [(f["name"], known[f["type"]]([None, 1])) for f in fields]
    options = {id(model.estimator): {"zipmap": False}} if hasattr(model.estimator, "classes_") else None
    return to_onnx(model.estimator, initial_types=types, options=options).SerializeToString()


def _load(made: bytes, given: dict[str, Any], want: Batch) -> Model:
    return _Answering(made, _shape(want)).model(given, "")


def _shape(want: Batch) -> dict[str, Any]:
    """Describe a predict()'s answer: the shape of one row's, and numpy's name of its type."""
    data = want.tensors[0].data
    return {"shape": list(data.shape[1:]), "numpy": data.dtype.str if data.dtype.kind in "biuf" else ""}


def compare(want: Batch, got: Batch) -> float | None:
    """Return the largest relative difference of two batches of answers, or None when labels differ.

    The difference is relative to the answer, or to the median size of the answers where that is larger, as
    a value near zero has no relative difference that means anything. Missing answers have to be missing in both.
    """
    import numpy as np  # noqa: PLC0415

    a, b = want.tensors[0].data, got.tensors[0].data
    if a.shape != b.shape:
        return None
    if a.dtype.kind != "f":
        return 0.0 if (a == b).all() else None
    if (np.isnan(a) != np.isnan(b)).any():
        return float("inf")
    size = np.maximum(np.abs(a), np.nanmedian(np.abs(a)) if np.isfinite(a).any() else 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(a - b) / size
    return float(np.nanmax(np.where(a == b, 0.0, off), initial=0.0))


def _write(where: Path, made: bytes, description: dict[str, Any]) -> None:
    where.mkdir(exist_ok=True)
    (where / _MODEL).write_bytes(made)
    (where / _DESCRIPTION).write_text(json.dumps(description, sort_keys=True), encoding="utf-8")


def _line(e: Exception) -> str:
    return f"{type(e).__name__}: {' '.join(str(e).split())[:200]}"
