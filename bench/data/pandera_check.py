"""What bench/data/checks.yaml asks, by pandera, which has no PSI: python pandera_check.py NEW REFERENCE."""

import datetime
import sys

import pandas as pd
import pandera.pandas as pa
from pandera import Check

column = pa.Column
schema = pa.DataFrameSchema(
    {
        "id": column("int64", unique=True, checks=Check.ge(0)),
        "a": column("float64", checks=Check.in_range(0, 1)),
        "b": column("float64", checks=[Check(lambda s: abs(s.mean()) < 0.1), Check(lambda s: abs(s.std() - 1) < 0.05)]),
        "c": column("int32", checks=Check.in_range(0, 100)),
        "d": column("float64", checks=Check.in_range(0, 1)),
        "e": column("float64", checks=Check(lambda s: abs(s.mean() - 50) < 0.5)),
        "f": column("float64", checks=Check.ge(0)),
        "g": column("int32", checks=Check.isin([0, 1, 2])),
        "day": column(checks=Check(lambda s: (s >= first) & (s <= last))),
        "s": column(str, checks=Check.isin(["x", "y", "z"])),
    }
)
frame = pd.read_parquet(sys.argv[1])
first, last = datetime.date(2026, 1, 1), datetime.date(2026, 1, 29)
schema.validate(frame, lazy=True)
print(len(frame))
