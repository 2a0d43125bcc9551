import json
import os
import pathlib

model = None


def init():
    global model
    model = json.loads((pathlib.Path(os.environ["AZUREML_MODEL_DIR"]) / "line.json").read_text())


def run(raw_data):
    rows = json.loads(raw_data)["data"]
    return {"result": [model["slope"] * row[0] + model["offset"] for row in rows]}
