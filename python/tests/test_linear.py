"""Linear models in short: the same answers as scikit-learn's own predict(), and its errors."""

import base64

import pytest
from conftest import need

from ridgeline_worker import batch

np, linear_model, svm = need("numpy"), need("sklearn.linear_model"), need("sklearn.svm")
preprocessing, pipeline = need("sklearn.preprocessing"), need("sklearn.pipeline")
linear = need("ridgeline_worker.models.linear")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
Y = X @ [3.0, -1.0, 0.1, 0.0] + 2
TWO, THREE = np.where(Y > 2, "yes", "no"), np.digitize(Y, [1.0, 3.0])

SHORT = [
    (linear_model.Ridge(), Y),
    (linear_model.Ridge(), np.stack([Y, -Y], axis=1)),
    (linear_model.Ridge(fit_intercept=False), Y),
    (linear_model.Lasso(alpha=0.1), Y),
    (linear_model.HuberRegressor(), Y),
    (linear_model.SGDRegressor(), Y),
    (linear_model.LogisticRegression(), TWO),
    (linear_model.LogisticRegression(), THREE),
    (linear_model.RidgeClassifier(), THREE),
    (linear_model.Perceptron(), TWO.astype(object)),
]
OTHER = [
    (linear_model.PoissonRegressor(), np.abs(Y)),
    (linear_model.RANSACRegressor(), Y),
    (linear_model.SGDOneClassSVM(), None),
    (svm.SVR(), Y),
]


@pytest.mark.parametrize(("model", "target"), SHORT)
def test_answers_are_the_same_to_the_last_bit(model, target):
    short = linear.quick(model.fit(X, target))
    assert short is not None
    for rows in (1, 2, 17, 90):
        given, want = short(X[:rows]), model.predict(X[:rows])
        assert given.dtype == want.dtype
        assert given.shape == want.shape
        assert given.tolist() == want.tolist()


@pytest.mark.parametrize(("model", "target"), OTHER)
def test_others_are_left_alone(model, target):
    assert linear.quick(model.fit(X, target)) is None


def test_a_predict_of_somebodys_own_is_called():
    class Clipped(linear_model.Ridge):
        def predict(self, X):
            return np.clip(super().predict(X), 0, None)

    class Shifted(linear_model.LogisticRegression):
        def decision_function(self, X):
            return super().decision_function(X)

    assert linear.quick(Clipped().fit(X, Y)) is None
    assert linear.quick(Shifted().fit(X, TWO)) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_predict_refuses_is_refused_in_its_words(value):
    model = linear_model.Ridge().fit(X, Y)
    rows = X[:3].copy()
    rows[1, 2] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        linear.quick(model)(rows)
    with pytest.raises(ValueError, match="4 features"):
        linear.quick(model)(X[:3, :2])


def test_what_is_large_is_no_infinity():
    model = linear_model.Ridge().fit(X, Y)
    rows = np.full((2, 4), 1e308)
    assert linear.quick(model)(rows).tolist() == model.predict(rows).tolist()


def test_other_types_go_the_long_way():
    model = linear_model.Ridge().fit(X, Y)
    assert linear.quick(model)(X[:5].astype("f4")).dtype == model.predict(X[:5].astype("f4")).dtype


def _described(found):
    """What the scorer makes of it, in its plainest form."""
    made = linear.described(found)

    def call(rows):
        for step in made["scaling"]:
            rows = getattr(np, step["op"])(rows, np.array(step["by"]))
        sums = rows @ np.array(made["weights"]).T + np.array(made["intercepts"])
        if "labels" not in made:
            return sums
        n = max(len(made["weights"]), 2)
        type_, block = made["labels"]["type"], base64.b64decode(made["labels"]["data"])
        labels, _ = batch._block(type_, [n], bytearray(block), 0)
        return labels[(sums[:, 0] > 0).astype(int) if len(made["weights"]) == 1 else sums.argmax(axis=1)]

    return call


SCALED = [
    (pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge()), Y),
    (pipeline.make_pipeline(preprocessing.StandardScaler(with_mean=False), linear_model.LogisticRegression()), THREE),
    (pipeline.make_pipeline(preprocessing.MinMaxScaler(), linear_model.LogisticRegression()), TWO),
    (pipeline.make_pipeline(preprocessing.RobustScaler(), preprocessing.MaxAbsScaler(), linear_model.Lasso()), Y),
]


@pytest.mark.parametrize(("model", "target"), SHORT + SCALED)
def test_what_the_scorer_is_told_is_all_there_is(model, target):
    want = model.fit(X, target).predict(X)
    got = _described(model)(X)
    if want.dtype.kind == "f":
        np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-12)
    else:
        assert got.tolist() == want.tolist()


class Own(linear_model.Ridge):
    """A subclass, which may do anything one day."""


class OwnScaler(preprocessing.StandardScaler):
    """Another."""


def test_the_scorer_is_told_nothing_of_others():
    ridge = linear_model.Ridge().fit(X, Y)
    assert linear.described(ridge) is not None
    single = linear_model.Ridge().fit(X.astype("f4"), Y.astype("f4"))
    assert single.coef_.dtype == np.float32
    sparse = linear_model.SGDRegressor().fit(X, Y).sparsify()
    broken = linear_model.Ridge().fit(X, Y)
    broken.coef_ = np.array([1.0, np.nan, 0.0, 0.0])
    wide = linear_model.Ridge().fit(RNG.normal(size=(3, 5000)), [1.0, 2.0, 3.0])
    several = pipeline.make_pipeline(preprocessing.PolynomialFeatures(), linear_model.Ridge()).fit(X, Y)
    clipped = pipeline.make_pipeline(preprocessing.MinMaxScaler(clip=True), linear_model.Ridge()).fit(X, Y)
    theirs = pipeline.make_pipeline(OwnScaler(), linear_model.Ridge()).fit(X, Y)
    mixed = linear_model.LogisticRegression().fit(X, np.where(Y > 2, "yes", "no"))
    mixed.classes_ = np.array(["no", 1], dtype=object)
    for found in [Own().fit(X, Y), single, sparse, broken, wide, several, clipped, theirs, mixed]:
        assert linear.described(found) is None
    for model, target in OTHER:
        assert linear.described(model.fit(X, target)) is None
