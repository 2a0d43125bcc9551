"""What bench/data/checks.yaml asks, by Great Expectations, without PSI: python gx_check.py NEW REFERENCE."""

import datetime
import sys

import great_expectations as gx
import great_expectations.expectations as e
import pandas as pd

frame = pd.read_parquet(sys.argv[1])
context = gx.get_context(mode="ephemeral")
batch = context.data_sources.add_pandas("data").add_dataframe_asset("new").add_batch_definition_whole_dataframe("all")
suite = context.suites.add(gx.ExpectationSuite(name="facts"))
for name in frame.columns:
    suite.add_expectation(e.ExpectColumnValuesToNotBeNull(column=name))
for name, low, high in [("id", 0, None), ("a", 0, 1), ("c", 0, 100), ("d", 0, 1), ("f", 0, None)]:
    suite.add_expectation(e.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high))
first, last = datetime.date(2026, 1, 1), datetime.date(2026, 1, 29)
suite.add_expectation(e.ExpectColumnValuesToBeBetween(column="day", min_value=first, max_value=last))
suite.add_expectation(e.ExpectColumnValuesToBeUnique(column="id"))
suite.add_expectation(e.ExpectColumnValuesToBeInSet(column="g", value_set=[0, 1, 2]))
suite.add_expectation(e.ExpectColumnValuesToBeInSet(column="s", value_set=["x", "y", "z"]))
for name, mean, tolerance in [("b", 0, 0.1), ("e", 50, 0.5)]:
    suite.add_expectation(e.ExpectColumnMeanToBeBetween(column=name, min_value=mean - tolerance, max_value=mean + tolerance))
suite.add_expectation(e.ExpectColumnStdevToBeBetween(column="b", min_value=0.95, max_value=1.05))
for name in "abdef":
    suite.add_expectation(e.ExpectColumnValuesToBeOfType(column=name, type_="float64"))
result = batch.get_batch(batch_parameters={"dataframe": frame}).validate(suite)
print(result.success, len(result.results))
sys.exit(0 if result.success else 1)
