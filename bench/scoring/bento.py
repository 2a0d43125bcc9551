"""The model behind BentoML."""

import os

import bentoml
import joblib
import numpy


@bentoml.service(workers=1)
class Ridge:
    def __init__(self) -> None:
        self.model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))

    @bentoml.api
    def predict(self, data: numpy.ndarray) -> numpy.ndarray:
        return self.model.predict(data)
