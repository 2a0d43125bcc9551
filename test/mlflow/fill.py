"""Fills a store of MLflow's own with some of everything that there is to copy."""

import math
import os

import mlflow
import pandas as pd
from mlflow import MlflowClient

client = MlflowClient()
NEW = int(mlflow.__version__.split(".")[0]) >= 3
NAME = "iris/ä b"


class Same(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


def log_model():
    where = {"name": "m"} if NEW else {"artifact_path": "m"}
    return mlflow.pyfunc.log_model(python_model=Same(), registered_model_name="reg", pip_requirements=[], **where)


mlflow.set_experiment(NAME)
experiment = mlflow.get_experiment_by_name(NAME).experiment_id
client.set_experiment_tag(experiment, "team", "a")
with mlflow.start_run(run_name="one", tags={"t/x": "multi\nline"}):
    mlflow.log_params({"lr": 0.1, "deep/er": "x y"})
    for step in range(30):
        mlflow.log_metric("loss/train", 1 / (1 + step), step=step)
    mlflow.log_metrics({"nan": math.nan, "neg": -3.5}, step=-2)
    mlflow.log_text("hello", "notes/ä b.txt")
    mlflow.log_text("", "empty.txt")
    mlflow.log_input(mlflow.data.from_pandas(pd.DataFrame({"x": [1, 2]}), name="d"), context="training")
    model = log_model()
    if NEW:
        mlflow.log_metric("of_model", 0.5, step=1, model_id=model.model_id)
with mlflow.start_run(run_name="two"):
    mlflow.log_metric("loss/train", 5)
    log_model()
client.set_registered_model_alias("reg", "best", 2)
client.set_registered_model_tag("reg", "owner", "me")
client.set_model_version_tag("reg", "2", "ok", "yes")
client.update_model_version("reg", "2", description="the second")
client.delete_model_version("reg", "1")
with mlflow.start_run(run_name="gone") as gone:
    mlflow.log_metric("x", 1)
client.delete_run(gone.info.run_id)
deleted = client.create_experiment("deleted one")
inside = client.create_run(deleted, run_name="inside")
client.log_metric(inside.info.run_id, "y", 2)
client.delete_experiment(deleted)
for i in range(int(os.environ.get("RUNS", "20"))):
    run = client.create_run(experiment, run_name=f"small {i}")
    client.log_metric(run.info.run_id, "x", i)
print("filled")
