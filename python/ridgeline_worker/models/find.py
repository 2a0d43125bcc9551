"""Finds the one model in a folder by what its files hold, not only by what they are called."""

from __future__ import annotations

import zipfile
from pathlib import Path

from .model import ModelError

SUPPORTED = (
    "an MLflow folder (with a file MLmodel), scikit-learn (joblib, pickle, skops), "
    "XGBoost (save_model: json, ubj), LightGBM (save_model: txt), ONNX (onnx)"
)
_PICKLES = {".joblib", ".pkl", ".pickle", ".jbl"}
_LISTED = 20  # of the files that a message names


def find(folder: Path) -> tuple[str, Path]:
    """Return the kind of the model in folder and where it is."""
    if not folder.is_dir():
        raise ModelError(f"the model's folder {folder} is not there")
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith((".", "__")))
    if (folder / "MLmodel").is_file():
        return "mlflow", folder
    models = [("mlflow", p) for p in entries if (p / "MLmodel").is_file()]
    models += [(kind, p) for p in entries if p.is_file() for kind in [kind_of(p)] if kind]
    if len(models) == 1:
        return models[0]
    if models:
        names = ", ".join(f"{p.name} ({kind})" for kind, p in models)
        raise ModelError(
            f"the model's folder holds {len(models)} models: {names}. Leave one of them there, "
            "or serve them by a script (release.score)."
        )
    found = ", ".join(p.name + "/" * p.is_dir() for p in entries[:_LISTED]) or "nothing"
    raise ModelError(
        f"no model was recognised in the model's folder; it holds {found}. Supported without a script: "
        f"{SUPPORTED}. Anything else needs a script with init() and run(raw_data) (release.score)."
    )


def kind_of(path: Path) -> str | None:
    """Say what a file is: skops, pickle, xgboost, lightgbm or onnx; None when it is no model."""
    with path.open("rb") as f:
        head = f.read(64)
    suffix = path.suffix.lower()
    if head.startswith(b"PK\x03\x04"):
        return "skops" if _is_skops(path) else None
    if head.startswith(b"\x80") or _PICKLES & {s.lower() for s in path.suffixes}:
        return "pickle"
    if head.startswith((b"tree\n", b"tree\r\n")):
        return "lightgbm"
    # {"learner" in JSON; {L and a length in universal binary JSON; binf was the format before version 3.1.
    if (head[:1] == b"{" and b"learner" in head) or head.startswith(b"binf"):
        return "xgboost"
    # The first field of an ONNX file is its IR version, a small number.
    if suffix == ".onnx" or (not suffix and head[:1] == b"\x08" and len(head) > 2 and head[1] < 32):
        return "onnx"
    return None


def _is_skops(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as z:
            return "schema.json" in z.namelist()
    except zipfile.BadZipFile:
        return False
