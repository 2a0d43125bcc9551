"""Training, by hand or as a step of the pipeline:

    python -m diabetes.train

By hand it reads data/diabetes.csv and writes to out/. As a step, Ridgeline says
by environment variables where the rows to train on are, where the results go,
and which parameters to use.
"""

import argparse
import json
import os
from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from diabetes.data import load


def build(alpha: float) -> Pipeline:
    """Return the untrained model."""
    if alpha < 0:
        raise ValueError(f"expected alpha to be 0 or more, got {alpha}")
    return make_pipeline(StandardScaler(), Ridge(alpha=alpha))


def evaluate(x: np.ndarray, y: np.ndarray, alpha: float) -> dict[str, float]:
    """Return metrics that each row's own model has not been trained on.

    They are for people. The gate takes its own, on rows that training never sees.
    """
    folds = KFold(n_splits=5, shuffle=True, random_state=0)
    losses = -cross_val_score(build(alpha), x, y, cv=folds, scoring="neg_mean_squared_error")
    return {"cv_mse": float(losses.mean()), "cv_mse_std": float(losses.std())}


def train(data: Path, out: Path, alpha: float) -> dict[str, float]:
    """Train on data, write out/model and out/metrics.json, return the metrics."""
    x, y = load(data)
    metrics = {"rows": len(y), "alpha": alpha, **evaluate(x, y, alpha)}
    folder = out / "model"
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(build(alpha).fit(x, y), folder / "model.joblib")
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def main(argv: list[str] | None = None) -> None:
    env = os.environ.get
    parser = argparse.ArgumentParser(description="Train the model.")
    parser.add_argument(
        "--data", type=Path, default=env("RIDGELINE_DATA_DIABETES_TRAIN", "data/diabetes.csv")
    )
    parser.add_argument("--out", type=Path, default=env("RIDGELINE_OUT", "out"))
    parser.add_argument("--alpha", type=float, default=env("RIDGELINE_PARAM_ALPHA", "10"))
    args = parser.parse_args(argv)
    metrics = train(args.data, args.out, args.alpha)
    print(f"trained on {metrics['rows']} rows with alpha {args.alpha:g}")
    print(f"cross-validated mse {metrics['cv_mse']:.1f} ± {metrics['cv_mse_std']:.1f}")


if __name__ == "__main__":
    main()
