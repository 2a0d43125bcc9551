"""Fits y = slope * x + offset by least squares, in plain Python."""

import csv
import json
import os
import pathlib


def fit(rows):
    n = len(rows)
    mean_x = sum(x for x, _ in rows) / n
    mean_y = sum(y for _, y in rows) / n
    spread = sum((x - mean_x) ** 2 for x, _ in rows)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in rows) / spread
    return {"slope": slope, "offset": mean_y - slope * mean_x}


def main():
    path = os.environ.get("RIDGELINE_DATA_POINTS_TRAIN", "points.csv")
    out = pathlib.Path(os.environ.get("RIDGELINE_OUT", "out"))
    with open(path, newline="") as f:
        rows = [(float(r["x"]), float(r["y"])) for r in csv.DictReader(f)]
    model = fit(rows)
    model["slope"] *= float(os.environ.get("RIDGELINE_PARAM_FACTOR", "1"))
    (out / "model").mkdir(parents=True, exist_ok=True)
    (out / "model" / "line.json").write_text(json.dumps(model))
    error = sum((model["slope"] * x + model["offset"] - y) ** 2 for x, y in rows) / len(rows)
    (out / "metrics.json").write_text(json.dumps({"mse": error}))


if __name__ == "__main__":
    main()
