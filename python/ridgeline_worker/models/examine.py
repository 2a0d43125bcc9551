"""What a model's folder holds, for whoever packs it; see __main__.py."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from pathlib import Path
from typing import Any

from ..batch import TABLE, Batch, Tensor
from . import convert, load
from .model import ModelError

UNUSABLE = 3


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="models")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--rows", type=Path)
    args = parser.parse_args(argv)
    try:
        model = load(args.model)
        report: dict[str, Any] = {"framework": model.framework, "signature": model.signature}
    except ModelError as e:
        print(e, file=sys.stderr)
        return UNUSABLE
    except Exception:
        traceback.print_exc()
        return UNUSABLE
    if args.rows is not None:
        try:
            rows = batch(model.signature, json.loads(args.rows.read_text(encoding="utf-8")))
            report["onnx"] = convert.convert(model, args.model, rows)
        except Exception as e:  # a model that cannot answer these rows is the gate's to judge
            report["onnx"] = f"not converted to ONNX: {type(e).__name__}: {e}"
    args.report.write_text(json.dumps(report), encoding="utf-8")
    return 0


def batch(given: dict[str, Any] | None, table: dict[str, Any]) -> Batch:
    """Return rows as the scorer would send them to a model with this signature."""
    import numpy as np  # noqa: PLC0415  the model's

    fields = (given or {}).get("inputs", [])
    rows = table["rows"]
    if (given or {}).get("form") != TABLE:
        return Batch("array", len(rows), [Tensor("", "FP64", np.array(rows, "f8"))])
    place = {name: i for i, name in enumerate(table["columns"])}
    tensors = []
    for field in fields:
        values = [row[place[field["name"]]] for row in rows]
        if field["type"] == "TEXT" or field["type"] == "JSON":
            tensors.append(Tensor(field["name"], field["type"], np.array([*values, None], object)[:-1]))
        else:
            numbers = np.array([np.nan if v is None else v for v in values], "f8")
            tensors.append(Tensor(field["name"], "FP64", numbers))
    return Batch(TABLE, len(rows), tensors)
