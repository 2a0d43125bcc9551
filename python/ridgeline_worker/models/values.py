"""From a batch to what predict() takes, and from what it gives to a batch."""

from __future__ import annotations

import sys
from typing import Any

from ..batch import ARRAY, NAMED, TABLE, Batch, Tensor, Unusable, tensor


def give(batch: Batch, takes: str) -> Any:
    """Return a batch as a pandas.DataFrame ("frame"), one numpy.ndarray ("matrix") or a dict ("named").

    Where a model takes whatever comes (""), the batch's own form decides.
    """
    if takes == "frame" or (not takes and batch.form == TABLE):
        return frame(batch)
    if takes == "named" or (not takes and batch.form == NAMED):
        return columns(batch)
    return matrix(batch)


def frame(batch: Batch) -> Any:
    import pandas as pd  # noqa: PLC0415  the model's

    if batch.columns is not None:
        return pd.DataFrame(batch.tensors[0].data, columns=batch.columns, copy=False)
    if len(batch.tensors) == 1 and not batch.tensors[0].name:
        return pd.DataFrame(batch.tensors[0].data, copy=False)
    return pd.DataFrame({t.name: series(t, pd) for t in batch.tensors}, copy=False)


def series(t: Tensor, pd: Any) -> Any:
    if t.type == "JSON":  # whatever it holds: pandas looks at it
        return pd.Series(t.data.tolist())
    return t.data if t.data.ndim == 1 else list(t.data)


def matrix(batch: Batch) -> Any:
    if len(batch.tensors) == 1:
        data = batch.tensors[0].data
        return data.reshape(-1, 1) if batch.form == TABLE and data.ndim == 1 else data
    import numpy as np  # noqa: PLC0415

    return np.stack([t.data for t in batch.tensors], axis=1)


def columns(batch: Batch) -> dict[str, Any]:
    if batch.columns is not None:
        data = batch.tensors[0].data
        return {name: data[:, i] for i, name in enumerate(batch.columns)}
    return {t.name: t.data for t in batch.tensors}


def take(value: Any, rows: int) -> Batch:
    """Return what a model gave for so many rows as a batch, or raise Unusable."""
    import numpy as np  # noqa: PLC0415

    if type(value) is np.ndarray and value.dtype.char == "d" and value.ndim and len(value) == rows:
        return Batch(ARRAY, rows, [tensor("", value, "FP64")])  # most answers
    pandas = sys.modules.get("pandas")  # if it is not loaded, no value can be one of its own
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return _table(value, rows)
    if pandas is not None and isinstance(value, (pandas.Series, pandas.Index)):
        value = _series(value if isinstance(value, pandas.Series) else value.to_series())
    if isinstance(value, dict) and value:
        made = {str(name): _array(v, np) for name, v in value.items()}
        if all(a.ndim and len(a) == rows for a in made.values()):
            return Batch(NAMED, rows, [tensor(name, a) for name, a in made.items()])
    array = _array(value, np)
    if array.ndim == 0 or len(array) != rows:
        if rows != 1:
            what = f"{len(array)} values" if array.ndim else f"one {type(value).__name__}"
            raise Unusable(f"predict() gave {what} for {rows} rows: a value for each row was expected")
        array = np.empty(1, object)  # one row has one answer, whatever it is
        array[0] = value
        return Batch(ARRAY, rows, [tensor("", array, "JSON")])
    return Batch(ARRAY, rows, [tensor("", array)])


def _table(value: Any, rows: int) -> Batch:
    if len(value) != rows:
        raise Unusable(f"predict() gave a table of {len(value)} rows for {rows} rows")
    names = [str(c) for c in value.columns]
    made = [_series(value.iloc[:, i]) for i in range(len(names))]
    if len(made) > 1 and len({a.dtype for a in made}) == 1 and made[0].dtype.kind in "biuf":
        import numpy as np  # noqa: PLC0415

        return Batch(TABLE, rows, [tensor("", np.stack(made, axis=1))], names)
    return Batch(TABLE, rows, [tensor(name, a) for name, a in zip(names, made)])


def _series(value: Any) -> Any:
    """Return a pandas column as numpy has it: nulls and the types that numpy lacks as objects."""
    kind = value.dtype.kind
    if kind == "M":
        if getattr(value.dtype, "tz", None) is not None:
            value = value.dt.tz_convert("UTC").dt.tz_localize(None)
        return value.to_numpy("M8[ns]")
    missing = value.isna().to_numpy()
    if kind in "biuf" and not missing.any():
        return value.to_numpy(getattr(value.dtype, "numpy_dtype", value.dtype))
    if kind in "iuf":
        return value.to_numpy("f8", na_value=float("nan"))
    found = value.astype(object).to_numpy(copy=True)
    found[missing] = None
    return found


def _array(value: Any, np: Any) -> Any:
    if hasattr(value, "toarray"):  # sparse
        value = value.toarray()
    if isinstance(value, (list, tuple)):
        value = _listed(value, np)
    elif not isinstance(value, (np.ndarray, np.generic)):
        value = _objects([value], np).reshape(())
    array = np.asarray(value)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype("f8")
    return array.astype(object) if array.dtype.kind == "T" else array


def _listed(value: Any, np: Any) -> Any:
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths
        return _objects(value, np)
    # numpy writes [1, "a"] as two texts
    if array.dtype.kind in "US" and (array.ndim != 1 or not all(isinstance(v, (str, bytes)) for v in value)):
        return _objects(value, np)
    return array


def _objects(value: Any, np: Any) -> Any:
    found = np.empty(len(value), object)
    for i, v in enumerate(value):
        found[i] = v
    return found
