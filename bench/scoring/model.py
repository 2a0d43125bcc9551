"""Makes the model of every server: DIR/model.joblib, and DIR/rows.json with inputs and the right predictions.

With --mlflow also DIR/mlflow, the same model as an MLflow folder with its signature.
"""

import json
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

out = Path(sys.argv[1])
if "--mlflow" in sys.argv:
    import mlflow

    inputs = load_diabetes().data
    model = joblib.load(out / "model.joblib")
    signature = mlflow.models.infer_signature(inputs, model.predict(inputs))
    kept = {"serialization_format": "cloudpickle", "pip_requirements": ["mlflow", "scikit-learn"]}
    mlflow.sklearn.save_model(model, out / "mlflow", signature=signature, **kept)
else:
    inputs, target = load_diabetes(return_X_y=True)
    model = Ridge(alpha=0.4).fit(inputs, target)
    joblib.dump(model, out / "model.joblib")
    rows = {"inputs": inputs.tolist(), "predictions": model.predict(inputs).tolist()}
    (out / "rows.json").write_text(json.dumps(rows))
