"""Reading the data: 442 patients, ten measurements each, and how far the
disease had progressed a year later (Efron et al., Least Angle Regression, 2004).
"""

import csv
from pathlib import Path

import numpy as np

FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
TARGET = "progression"


def load(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the measurements, one row per patient in the order of FEATURES,
    and the progression of each patient."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = {*FEATURES, TARGET} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: expected the columns {sorted(missing)}, which are not there")
        table = [[row[name] for name in (*FEATURES, TARGET)] for row in reader]
    if not table:
        raise ValueError(f"{path}: expected at least one row, got only the header")
    try:
        values = np.array(table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a number in every cell: {error}") from error
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).all(axis=1))) + 1
        raise ValueError(f"{path}: expected a number in every cell, row {row} lacks one")
    return values[:, :-1], values[:, -1]
