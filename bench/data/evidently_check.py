"""PSI of every column, by Evidently, without the facts: python evidently_check.py NEW REFERENCE."""

import sys

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

columns = ["a", "b", "c", "d", "e", "f", "g", "s"]
definition = DataDefinition(numerical_columns=columns[:-1], categorical_columns=["s"])
sides = [Dataset.from_pandas(pd.read_parquet(file, columns=columns), data_definition=definition) for file in sys.argv[1:3]]
report = Report([DataDriftPreset(num_method="psi", cat_method="psi")]).run(*sides)
for metric in report.dict()["metrics"]:
    print(metric.get("metric_name", metric.get("metric_id")), metric["value"])
