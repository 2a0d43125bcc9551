"""Writes the cases on which the gate's figures must agree with scipy, statsmodels and scikit-learn.

    uv run --with numpy --with scipy --with statsmodels --with scikit-learn python test/gate/cases.py

It writes gate/testdata/cases.csv (the rows: truth, and the predictions of the champion a and the challenger b) and
gate/testdata/expected.csv (case, metric, quantity, value), which TestAgreement_with_Python compares to 1e-6. DeLong's
test is written here from the paper of 1988, by its kernel over all pairs of a positive and a negative row; the gate has
the fast form. Pseudo-values are numeric derivatives of scikit-learn's weighted metrics; the gate has closed forms.
"""

import csv
import pathlib

import numpy as np
from scipy import stats
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar

FOLDER = pathlib.Path(__file__).parents[2] / "gate" / "testdata"
random = np.random.default_rng(20240501)


def regression(n, heavy=False, gain=0.1):
    y = random.normal(150, 70, n).round(2)
    noise = random.standard_t(3, (2, n)) if heavy else random.normal(size=(2, n))
    shared = random.normal(size=n)
    a = (y + 50 * shared + 20 * noise[0]).round(2)
    b = (y + (50 * shared + 20 * noise[1]) * (1 - gain)).round(2)
    return y, a, b


def classification(n, prevalence=0.4, gain=0.3, digits=4):
    y = (random.random(n) < prevalence).astype(float)
    shared = random.normal(size=n)
    logit = np.where(y == 1, 0.8, -0.8)
    a = 1 / (1 + np.exp(-(logit + shared + 0.6 * random.normal(size=n))))
    b = 1 / (1 + np.exp(-(logit * (1 + gain) + shared + 0.6 * random.normal(size=n))))
    return y, a.round(digits).clip(0.01, 0.99), b.round(digits).clip(0.01, 0.99)


CASES = {
    "linear_40": regression(40),
    "linear_120": regression(120, gain=0.03),
    "heavy_90": regression(90, heavy=True),
    "worse_60": regression(60, gain=-0.2),
    "classes_80": classification(80),
    "classes_200": classification(200, prevalence=0.25, gain=0.6),
    "ties_150": classification(150, digits=1),
    "rare_120": classification(120, prevalence=0.12, gain=0.5),
}

SQUARES = {
    "mse": metrics.mean_squared_error,
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "mape": metrics.mean_absolute_percentage_error,
    "r2": metrics.r2_score,
    "quantile_0.9": lambda y, p: metrics.mean_pinball_loss(y, p, alpha=0.9),
}


def hard(p):
    return (p >= 0.5).astype(float)


LABELS = {
    "log_loss": metrics.log_loss,
    "brier": metrics.brier_score_loss,
    "accuracy": lambda y, p: metrics.accuracy_score(y, hard(p)),
    "error_rate": lambda y, p: metrics.zero_one_loss(y, hard(p)),
    "f1": lambda y, p: metrics.f1_score(y, hard(p)),
    "roc_auc": metrics.roc_auc_score,
    "pr_auc": metrics.average_precision_score,
}

LOSSES = {
    "mse": lambda y, p: (y - p) ** 2,
    "mae": lambda y, p: abs(y - p),
    "quantile_0.9": lambda y, p: np.maximum(0.9 * (y - p), -0.1 * (y - p)),
    "log_loss": lambda y, p: -np.where(y == 1, np.log(p), np.log(1 - p)),
    "brier": lambda y, p: (y - p) ** 2,
}

WEIGHTED = {
    "r2": lambda y, p, w: metrics.r2_score(y, p, sample_weight=w),
    "f1": lambda y, p, w: metrics.f1_score(y, hard(p), sample_weight=w),
    "pr_auc": lambda y, p, w: metrics.average_precision_score(y, p, sample_weight=w),
}


def pseudo(metric, y, p):
    n, h = len(y), 1e-4
    out = np.empty(n)
    for i in range(n):
        up, down = np.ones(n), np.ones(n)
        up[i] += h
        down[i] -= h
        out[i] = metric(y, p, np.ones(n)) + n * (metric(y, p, up) - metric(y, p, down)) / (2 * h)
    return out


def delong(y, a, b):
    """The areas and their covariance, as in DeLong, DeLong and Clarke-Pearson (1988), equations 3 to 6."""
    v10, v01 = [], []
    for p in (a, b):
        x, z = p[y == 1][:, None], p[y == 0][None, :]
        kernel = (x > z) + 0.5 * (x == z)
        v10.append(kernel.mean(axis=1))
        v01.append(kernel.mean(axis=0))
    s10, s01 = np.cov(v10), np.cov(v01)
    areas = np.array([v.mean() for v in v10])
    return areas, s10 / (y == 1).sum() + s01 / (y == 0).sum()


def expected(y, a, b, classes):
    for name, metric in (LABELS if classes else SQUARES).items():
        yield name, "champion", metric(y, a)
        yield name, "challenger", metric(y, b)
    for name, loss in LOSSES.items():
        if (name in LABELS) != classes:
            continue
        la, lb = loss(y, a), loss(y, b)
        yield name, "paired t", stats.ttest_rel(la, lb, alternative="greater").pvalue
        margin = 0.05 * la.mean()
        yield name, "margin", margin
        yield name, "paired t beyond margin", stats.ttest_1samp(la - lb, margin, alternative="greater").pvalue
    for name, metric in WEIGHTED.items():
        if (name in LABELS) != classes:
            continue
        d = pseudo(metric, y, b) - pseudo(metric, y, a)
        yield name, "paired t", stats.ttest_1samp(d, 0, alternative="greater").pvalue
    if not classes:
        return
    wrong_a, wrong_b = hard(a) != y, hard(b) != y
    better, worse = int((wrong_a & ~wrong_b).sum()), int((wrong_b & ~wrong_a).sum())
    p = stats.binomtest(better, better + worse, 0.5, alternative="greater").pvalue
    other = stats.binomtest(worse, better + worse, 0.5, alternative="greater").pvalue
    both = mcnemar([[0, better], [worse, 0]], exact=True).pvalue
    assert abs(min(1, 2 * min(p, other)) - both) < 1e-12, "statsmodels has another McNemar"
    yield "accuracy", "McNemar", p
    yield "error_rate", "McNemar", p
    areas, cov = delong(y, a, b)
    se = np.sqrt(cov[0, 0] - 2 * cov[0, 1] + cov[1, 1])
    d, z = areas[1] - areas[0], stats.norm.ppf(0.975)
    yield "roc_auc", "DeLong", stats.norm.sf(d / se)
    yield "roc_auc", "low", max(d - z * se, -1)
    yield "roc_auc", "high", min(d + z * se, 1)
    yield "roc_auc", "margin", 0.01
    yield "roc_auc", "DeLong beyond margin", stats.norm.sf((d - 0.01) / se)
    k = 1.02  # better by 2 % of the champion's area
    se = np.sqrt(k * k * cov[0, 0] - 2 * k * cov[0, 1] + cov[1, 1])
    yield "roc_auc", "DeLong beyond 2 %", stats.norm.sf((areas[1] - k * areas[0]) / se)


def main():
    FOLDER.mkdir(exist_ok=True)
    with open(FOLDER / "cases.csv", "w", newline="") as rows, open(FOLDER / "expected.csv", "w", newline="") as values:
        rows, values = csv.writer(rows, lineterminator="\n"), csv.writer(values, lineterminator="\n")
        rows.writerow(["case", "y", "a", "b"])
        values.writerow(["case", "metric", "quantity", "value"])
        for name, (y, a, b) in CASES.items():
            for row in zip(y, a, b):
                rows.writerow([name, *(f"{v:g}" if v == round(v, 4) else repr(float(v)) for v in row)])
            y, a, b = (np.array([float(f"{v:g}") if v == round(v, 4) else v for v in x]) for x in (y, a, b))
            for metric, quantity, value in expected(y, a, b, set(y) <= {0.0, 1.0}):
                values.writerow([name, metric, quantity, repr(float(value))])


main()
