"""Linear models in short: the same answers as scikit-learn's own predict(), and its errors."""

import pytest
from conftest import need

np, linear_model, svm = need("numpy"), need("sklearn.linear_model"), need("sklearn.svm")
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
