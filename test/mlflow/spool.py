"""Logs with MLflow's own client until it is told to end; a failure of any call ends it."""

import os
import pathlib
import sys
import time

import mlflow

folder = pathlib.Path(sys.argv[1])
step = 0
with mlflow.start_run() as run:
    mlflow.log_param("p", 1)
    while not (folder / "stop").exists():
        mlflow.log_metric("m", step / 2, step=step)
        if step % 50 == 0:
            mlflow.log_metrics({"a": step, "b": -step}, step=step)
            mlflow.set_tag("last", str(step))
            mlflow.log_text(f"at {step}", f"notes/{step}.txt")
        step += 1
        (folder / "new").write_text(str(step))
        (folder / "new").rename(folder / "points")
        time.sleep(0.002)
print("logged", step)
