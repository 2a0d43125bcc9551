"""The model behind FastAPI, the way its documentation writes an endpoint."""

import os

import joblib
import numpy
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))
app = FastAPI()


class Rows(BaseModel):
    data: list[list[float]]


@app.post("/predict")
async def predict(rows: Rows):
    return {"result": model.predict(numpy.array(rows.data)).tolist()}
