"""A scoring script as Azure ML's documentation has it: the body comes as text."""

import json
import os

import joblib
import numpy

model = None


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))


def run(raw_data):
    data = numpy.array(json.loads(raw_data)["data"])
    return {"result": model.predict(data).tolist()}
