"""The adapters with the real frameworks: what is found, what its signature is, what it answers."""

import json

import pytest
from conftest import need

from ridgeline_worker import batch
from ridgeline_worker.batch import ARRAY, NAMED, TABLE, Batch, Tensor

np, pd, joblib = need("numpy"), need("pandas"), need("joblib")
models = need("ridgeline_worker.models")

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(60, 3)), columns=["a", "b", "c"])
Y = X["a"] * 3 - X["b"] + 0.1 * X["c"]
LABELS = np.where(Y > 0, "yes", "no")
MIXED = pd.DataFrame({"n": X["a"], "colour": np.where(X["b"] > 0, "red", "blue")})
ROWS = 4


def rows(form=TABLE, frame=X):
    """The first rows of a table of numbers, as the scorer sends them."""
    data = frame.to_numpy()[:ROWS].astype("f8")
    return Batch(form, ROWS, [Tensor("", "FP64", data)], list(frame.columns) if form == TABLE else None)


def mixed():
    colour = MIXED["colour"].to_numpy()[:ROWS].astype(object)
    return Batch(TABLE, ROWS, [Tensor("n", "FP64", MIXED["n"].to_numpy()[:ROWS]), Tensor("colour", "TEXT", colour)])


def answer(model, given):
    """What the model answers, over the wire and back."""
    header, body = batch.encode(model.predict(given))
    return batch.decode(header, bytearray(body))


def types(signature):
    return [(f.get("name", ""), f["type"], f.get("shape")) for f in signature["inputs"]]


COLUMNS = [("a", "FP64", None), ("b", "FP64", None), ("c", "FP64", None)]
MATRIX = [("", "FP64", [3])]


@pytest.fixture
def sklearn_models():
    linear_model = need("sklearn.linear_model")
    pipeline = need("sklearn.pipeline")
    preprocessing = need("sklearn.preprocessing")

    def make(x=X):
        return pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge()).fit(x, Y)

    return make


class TestScikitLearn:
    @pytest.mark.parametrize("name", ["model.joblib", "model.pkl", "model", "model.joblib.gz"])
    def test_fitted_on_a_table(self, tmp_path, sklearn_models, name):
        fitted = sklearn_models()
        joblib.dump(fitted, tmp_path / name, compress=3 if name.endswith("gz") else 0)
        model = models.load(tmp_path)
        assert model.framework.startswith("scikit-learn 1.")
        assert model.signature["form"] == TABLE
        assert types(model.signature) == COLUMNS
        assert model.signature["outputs"] == [{"type": "FP64"}]
        got = answer(model, rows())
        assert (got.form, got.rows) == (ARRAY, ROWS)
        np.testing.assert_array_equal(got.tensors[0].data, fitted.predict(X[:ROWS]))

    def test_fitted_on_an_array(self, tmp_path, sklearn_models):
        fitted = sklearn_models(X.to_numpy())
        joblib.dump(fitted, tmp_path / "model.joblib")
        model = models.load(tmp_path)
        assert model.signature["form"] == ARRAY
        assert types(model.signature) == MATRIX
        np.testing.assert_array_equal(answer(model, rows(ARRAY)).tensors[0].data, fitted.predict(X.to_numpy()[:ROWS]))

    def test_fitted_on_one_column(self, tmp_path, sklearn_models):
        fitted = sklearn_models(X[["a"]])
        joblib.dump(fitted, tmp_path / "model.joblib")
        model = models.load(tmp_path)
        assert model.signature["outputs"] == [{"type": "FP64"}]
        for given in (rows(TABLE, X[["a"]]), Batch(TABLE, ROWS, [Tensor("a", "FP64", X["a"].to_numpy()[:ROWS])])):
            np.testing.assert_array_equal(answer(model, given).tensors[0].data, fitted.predict(X[["a"]][:ROWS]))

    def test_columns_by_name_and_texts(self, tmp_path):
        compose, pre, linear = (need("sklearn." + n) for n in ("compose", "preprocessing", "linear_model"))
        pipeline = need("sklearn.pipeline")
        columns = compose.ColumnTransformer(
            [("n", pre.StandardScaler(), ["n"]), ("c", pre.OneHotEncoder(handle_unknown="ignore"), ["colour"])]
        )
        fitted = pipeline.make_pipeline(columns, linear.LogisticRegression()).fit(MIXED, LABELS)
        joblib.dump(fitted, tmp_path / "model.joblib")
        model = models.load(tmp_path)
        assert types(model.signature) == [("n", "FP64", None), ("colour", "TEXT", None)]
        got = answer(model, mixed()).tensors[0]
        assert got.type == "TEXT"
        assert list(got.data) == list(fitted.predict(MIXED[:ROWS]))

    def test_code_that_looks_at_columns_gets_a_table(self, tmp_path, sklearn_models):
        pre, pipeline = need("sklearn.preprocessing"), need("sklearn.pipeline")
        named = pipeline.make_pipeline(
            pre.FunctionTransformer(pd.DataFrame.drop, kw_args={"columns": ["c"]}), sklearn_models(X[["a", "b"]])
        ).fit(X, Y)
        joblib.dump(named, tmp_path / "model.joblib")
        model = models.load(tmp_path)
        assert {f["type"] for f in model.signature["inputs"]} == {"JSON"}  # nobody knows what the function takes
        columns = [Tensor(n, "JSON", X[n].to_numpy()[:ROWS].astype(object)) for n in X]
        got = answer(model, Batch(TABLE, ROWS, columns))
        np.testing.assert_allclose(got.tensors[0].data, named.predict(X[:ROWS]))

    def test_skops(self, tmp_path, sklearn_models):
        skops = need("skops.io")
        skops.dump(sklearn_models(), tmp_path / "model.skops")
        assert types(models.load(tmp_path).signature) == COLUMNS

    def test_skops_with_other_types(self, tmp_path):
        skops, xgboost = need("skops.io"), need("xgboost")
        skops.dump(xgboost.XGBRegressor(n_estimators=2).fit(X, Y), tmp_path / "model.skops")
        with pytest.raises(models.ModelError, match=r"skops does not trust: xgboost\.core\.Booster"):
            models.load(tmp_path)


class TestXGBoost:
    @pytest.mark.parametrize("name", ["model.json", "model.ubj", "model"])
    def test_an_estimators_file(self, tmp_path, name):
        xgboost = need("xgboost")
        fitted = xgboost.XGBClassifier(n_estimators=3).fit(X, LABELS == "yes")
        fitted.save_model(tmp_path / name)
        model = models.load(tmp_path)
        assert model.framework == f"xgboost {xgboost.__version__}"
        assert types(model.signature) == COLUMNS
        got = answer(model, rows()).tensors[0]
        assert list(got.data) == list(fitted.predict(X[:ROWS]))  # classes, as the estimator says

    @pytest.mark.parametrize("kind", ["gbtree", "gblinear", "dart"])
    def test_a_boosters_file(self, tmp_path, kind):
        xgboost = need("xgboost")
        asked = {"objective": "binary:logistic", "booster": kind}
        fitted = xgboost.train(asked, xgboost.DMatrix(X, LABELS == "yes"), 3)
        fitted.save_model(tmp_path / "model.ubj")
        got = answer(models.load(tmp_path), rows()).tensors[0]
        assert got.type == "FP32"  # probabilities, as the objective says
        np.testing.assert_allclose(got.data, fitted.predict(xgboost.DMatrix(X[:ROWS])), rtol=1e-6)

    def test_categories(self, tmp_path):
        xgboost = need("xgboost")
        frame = MIXED.assign(colour=MIXED["colour"].astype("category"))
        fitted = xgboost.XGBRegressor(n_estimators=3, enable_categorical=True).fit(frame, Y)
        fitted.save_model(tmp_path / "model.json")
        np.testing.assert_allclose(answer(models.load(tmp_path), mixed()).tensors[0].data, fitted.predict(frame[:ROWS]))


class TestLightGBM:
    @pytest.mark.parametrize("named", [True, False])
    def test_a_boosters_file(self, tmp_path, named):
        lightgbm = need("lightgbm")
        x = X if named else X.to_numpy()
        fitted = lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, Y), 3)
        fitted.save_model(tmp_path / "model.txt")
        model = models.load(tmp_path)
        assert types(model.signature) == (COLUMNS if named else MATRIX)
        got = answer(model, rows(TABLE if named else ARRAY))
        np.testing.assert_array_equal(got.tensors[0].data, fitted.predict(X[:ROWS]))

    def test_categories(self, tmp_path):
        lightgbm = need("lightgbm")
        frame = MIXED.assign(colour=MIXED["colour"].astype("category"))
        fitted = lightgbm.train({"verbose": -1, "min_data_in_leaf": 2}, lightgbm.Dataset(frame, Y), 3)
        fitted.save_model(tmp_path / "model.txt")
        model = models.load(tmp_path)
        assert types(model.signature) == [("n", "FP64", None), ("colour", "TEXT", None)]
        np.testing.assert_array_equal(answer(model, mixed()).tensors[0].data, fitted.predict(frame[:ROWS]))


class TestONNX:
    def convert(self, fitted, example):
        return need("skl2onnx").to_onnx(fitted, example).SerializeToString()

    @pytest.mark.parametrize("name", ["model.onnx", "model"])
    def test_one_input(self, tmp_path, sklearn_models, name):
        fitted = sklearn_models()
        (tmp_path / name).write_bytes(self.convert(fitted, X.to_numpy()[:1].astype("f4")))
        model = models.load(tmp_path)
        assert model.framework.startswith("onnxruntime ")
        assert types(model.signature) == [("", "FP32", [3])]
        got = answer(model, rows(ARRAY)).tensors[0]
        np.testing.assert_allclose(got.data[:, 0], fitted.predict(X[:ROWS]), rtol=1e-4, atol=1e-5)

    def test_an_input_for_each_column(self, tmp_path):
        compose, linear, pipeline = (need("sklearn." + n) for n in ("compose", "linear_model", "pipeline"))
        fitted = pipeline.make_pipeline(
            compose.ColumnTransformer([("n", "passthrough", ["n"]), ("c", _encoder(), ["colour"])]),
            linear.LogisticRegression(),
        ).fit(MIXED, LABELS)
        (tmp_path / "model.onnx").write_bytes(self.convert(fitted, MIXED[:1].astype({"n": "f4"})))
        model = models.load(tmp_path)
        assert model.signature["form"] == TABLE
        assert types(model.signature) == [("n", "FP32", None), ("colour", "TEXT", None)]
        got = answer(model, mixed())
        assert got.form == NAMED
        assert [t.type for t in got.tensors] == ["TEXT", "JSON"]
        assert list(got.tensors[0].data) == list(fitted.predict(MIXED[:ROWS]))
        assert set(got.tensors[1].data[0]) == {"yes", "no"}


def _encoder():
    return need("sklearn.preprocessing").OneHotEncoder(handle_unknown="ignore")


def _tensor(dtype, shape):
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}


MLFLOW_TYPES = ["boolean", "integer", "float", "string", "binary", "datetime", "array"]


class TestMLflow:
    """Folders that MLflow writes, and what MLflow itself answers from them."""

    @pytest.fixture
    def mlflow(self):
        return need("mlflow")

    def same(self, mlflow, folder, frame=X, given=None):
        model = models.load(folder)
        want = mlflow.pyfunc.load_model(str(folder)).predict(frame[:ROWS])
        np.testing.assert_array_equal(answer(model, given or rows()).tensors[0].data, np.asarray(want))
        return model

    def signature(self, fitted, frame=X):
        return need("mlflow.models").infer_signature(frame, fitted.predict(frame))

    @pytest.mark.parametrize("kind", ["skops", "cloudpickle"])
    def test_sklearn(self, tmp_path, mlflow, sklearn_models, kind):
        fitted = sklearn_models()
        mlflow.sklearn.save_model(
            fitted, tmp_path / "m", signature=self.signature(fitted), serialization_format=kind, pip_requirements=[]
        )
        model = self.same(mlflow, tmp_path / "m")
        assert types(model.signature) == COLUMNS
        assert model.framework.startswith("scikit-learn")
        assert models.load(tmp_path).signature == model.signature  # a folder deeper

    def test_sklearn_with_a_method(self, tmp_path, mlflow):
        fitted = need("sklearn.linear_model").LogisticRegression().fit(X, LABELS)
        mlflow.sklearn.save_model(fitted, tmp_path / "m", pyfunc_predict_fn="predict_proba", pip_requirements=[])
        model = self.same(mlflow, tmp_path / "m")
        assert model.signature["outputs"] == [{"type": "FP64", "shape": [2]}]

    def test_xgboost(self, tmp_path, mlflow):
        fitted = need("xgboost").XGBRegressor(n_estimators=3).fit(X, Y)
        mlflow.xgboost.save_model(fitted, tmp_path / "m", signature=self.signature(fitted), pip_requirements=[])
        assert self.same(mlflow, tmp_path / "m").framework.startswith("xgboost")

    def test_lightgbm(self, tmp_path, mlflow):
        lightgbm = need("lightgbm")
        fitted = lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, Y), 3)
        mlflow.lightgbm.save_model(fitted, tmp_path / "m", signature=self.signature(fitted), pip_requirements=[])
        assert self.same(mlflow, tmp_path / "m").framework.startswith("lightgbm")

    def test_onnx(self, tmp_path, mlflow, sklearn_models):
        skl2onnx, onnx = need("skl2onnx"), need("mlflow.onnx")
        onnx.save_model(
            skl2onnx.to_onnx(sklearn_models(), X.to_numpy()[:1].astype("f4")), tmp_path / "m", pip_requirements=[]
        )
        assert types(models.load(tmp_path).signature) == [("", "FP32", [3])]

    def test_python_code_with_params(self, tmp_path, mlflow):
        class Times(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return model_input.sum(axis=1) * params["factor"]

        signature = need("mlflow.models").infer_signature(X, Y, {"factor": 2.0})
        mlflow.pyfunc.save_model(str(tmp_path / "m"), python_model=Times(), signature=signature, pip_requirements=[])
        model = models.load(tmp_path)
        assert model.framework.startswith("mlflow (mlflow.pyfunc.model) 3.")
        assert not model.joins
        assert model.signature["params"] == [{"name": "factor", "default": 2.0, "type": "FP64"}]
        got = answer(model, rows()._replace(params={"factor": 3.0})).tensors[0].data
        np.testing.assert_allclose(got, X[:ROWS].sum(axis=1) * 3)

    @pytest.mark.parametrize(
        ("inputs", "form", "want"),
        [
            ([_tensor("float32", [-1, 4])], ARRAY, [("", "FP32", [4])]),
            ([{"name": "p", **_tensor("str", [-1])}], NAMED, [("p", "TEXT", None)]),
            ([{"type": "long"}, {"type": "long"}], ARRAY, [("", "INT64", [2])]),
            (
                [{"name": n, "type": n} for n in MLFLOW_TYPES],
                TABLE,
                [("boolean", "BOOL", None), ("integer", "INT32", None), ("float", "FP32", None),
                 ("string", "TEXT", None), ("binary", "BINARY", None), ("datetime", "DATETIME", None),
                 ("array", "JSON", None)],
            ),
        ],
    )  # fmt: skip
    def test_signatures(self, inputs, form, want):
        got = models.mlflow_model.signature_of({"signature": {"inputs": json.dumps(inputs)}})
        assert (got["form"], types(got)) == (form, want)

    def test_what_is_not_required(self):
        text = json.dumps([{"name": "a", "type": "double", "required": False}])
        assert models.mlflow_model.signature_of({"signature": {"inputs": text}})["inputs"][0]["optional"]


class TestFolder:
    def test_nothing(self, tmp_path):
        (tmp_path / "metrics.json").write_text("{}")
        with pytest.raises(models.ModelError, match=r"it holds metrics\.json\. Supported without"):
            models.load(tmp_path)

    def test_two(self, tmp_path):
        joblib.dump(1, tmp_path / "a.joblib")
        (tmp_path / "b.onnx").write_bytes(b"")
        with pytest.raises(models.ModelError, match=r"holds 2 models: a\.joblib \(pickle\), b\.onnx \(onnx\)"):
            models.load(tmp_path)

    def test_no_predict(self, tmp_path):
        joblib.dump({"model": 1, "threshold": 2}, tmp_path / "a.joblib")
        with pytest.raises(
            models.ModelError, match=r"a\.joblib holds a dict with model, threshold, which has no predict"
        ):
            models.load(tmp_path)

    def test_code_that_is_not_there(self, tmp_path):
        (tmp_path / "a.pkl").write_bytes(b"\x80\x04cnowhere\nThing\n.")
        with pytest.raises(models.ModelError, match=r"a\.pkl needs nowhere, which cannot be imported"):
            models.load(tmp_path)

    def test_code_of_the_script_that_trained(self, tmp_path):
        (tmp_path / "a.pkl").write_bytes(b"\x80\x04c__main__\nThing\n.")
        with pytest.raises(models.ModelError, match="have to be in a module of the project"):
            models.load(tmp_path)

    def test_absent(self, tmp_path):
        with pytest.raises(models.ModelError, match="is not there"):
            models.load(tmp_path / "no")


class TestAnswers:
    """What predict() may give, and the batch that becomes of it."""

    @pytest.mark.parametrize(
        ("given", "types"),
        [
            ([1, 2], ["INT64"]),
            ([1.5, None], ["JSON"]),
            (["a", "b"], ["TEXT"]),
            ([1, "a"], ["JSON"]),
            ([[1], [2, 3]], ["JSON"]),
            ([{"a": 1}, {"a": 2}], ["JSON"]),
            ((True, False), ["BOOL"]),
            (np.array([1, 2], "f4"), ["FP32"]),
            (np.array([1, 2], "longdouble"), ["FP64"]),
            (np.array(["2026-01-01", "NaT"], "M8[D]"), ["DATETIME"]),
            (pd.Series([1, None], dtype="Int64"), ["FP64"]),
            (pd.Series([True, None], dtype="boolean"), ["JSON"]),
            (pd.Series(["a", None]), ["TEXT"]),
            (pd.Series(["a", "b"], dtype="category"), ["TEXT"]),
            (pd.Series(pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True)), ["DATETIME"]),
            (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), ["INT64", "TEXT"]),
            ({"a": [1, 2], "b": np.zeros((2, 3))}, ["INT64", "FP64"]),
        ],
    )
    def test_types(self, given, types):
        made = models.values.take(given, 2)
        batch.encode(made)
        assert [t.type for t in made.tensors] == types

    def test_a_table_of_one_type_is_one_block(self):
        made = models.values.take(pd.DataFrame({"a": [1.0, 2], "b": [3.0, 4]}), 2)
        assert (made.form, made.columns, made.tensors[0].data.tolist()) == (TABLE, ["a", "b"], [[1, 3], [2, 4]])

    @pytest.mark.parametrize("given", ["text", 3, None, {"a": 1}, {"a": [1, 2]}])
    def test_one_row_has_one_answer(self, given):
        made = models.values.take(given, 1)
        header, body = batch.encode(made)
        assert batch.decode(header, bytearray(body)).tensors[0].data.tolist() == [given]

    @pytest.mark.parametrize("given", ["text", [1], np.zeros((3, 2)), pd.DataFrame({"a": [1]})])
    def test_another_number_of_rows(self, given):
        with pytest.raises(batch.Unusable, match="for 2 rows"):
            models.values.take(given, 2)


def test_over_the_channel(tmp_path, worker, sklearn_models):
    """A worker without a script loads what lies in the model's folder and answers."""
    fitted = sklearn_models()
    (tmp_path / "model").mkdir()
    joblib.dump(fitted, tmp_path / "model" / "model.joblib")
    w = worker(None, AZUREML_MODEL_DIR=str(tmp_path / "model"))
    assert w.first.header["kind"] == "model"
    assert w.first.header["signature"]["inputs"][0] == {"name": "a", "type": "FP64"}
    got = w.predict(rows())
    np.testing.assert_array_equal(got.tensors[0].data, fitted.predict(X[:ROWS]))


class TestConvert:
    """What becomes of a scikit-learn model where the environment has skl2onnx and onnxruntime."""

    def examine(self, folder, frame=X):
        from ridgeline_worker.models import examine

        need("skl2onnx"), need("onnxruntime")
        table = {"columns": list(frame.columns), "rows": frame.to_numpy().tolist()}
        given = {name: str(folder / name) for name in ("model", "report", "rows")}
        (folder / "rows").write_text(json.dumps(table))
        assert examine.main([arg for name, path in given.items() for arg in ("--" + name, path)]) == 0
        return json.loads((folder / "report").read_text())

    def save(self, folder, fitted):
        (folder / "model").mkdir()
        joblib.dump(fitted, folder / "model" / "model.joblib")
        return folder / "model"

    def test_linear(self, tmp_path, sklearn_models):
        fitted = sklearn_models()
        folder = self.save(tmp_path, fitted)
        before = models.load(folder).signature
        report = self.examine(tmp_path)
        assert report["onnx"].startswith("converted to ONNX in double precision: the same answers on 60 rows")
        assert report["signature"] == before
        model = models.load(folder)
        assert "onnxruntime" in model.framework
        assert len(model.linear["weights"][0]) == len(model.signature["inputs"])  # for the scorer's own answers
        assert model.signature == before  # nobody who asks can tell
        got = answer(model, rows()).tensors[0]
        assert got.type == "FP64"
        np.testing.assert_allclose(got.data, fitted.predict(X[:ROWS]), rtol=1e-9)

    def test_labels_and_columns_of_texts(self, tmp_path):
        compose, pipeline = need("sklearn.compose"), need("sklearn.pipeline")
        columns = compose.ColumnTransformer([("n", "passthrough", ["n"]), ("c", _encoder(), ["colour"])])
        fitted = pipeline.make_pipeline(columns, need("sklearn.ensemble").RandomForestClassifier(5)).fit(MIXED, LABELS)
        folder = self.save(tmp_path, fitted)
        assert self.examine(tmp_path, MIXED)["onnx"].startswith("converted")
        assert list(answer(models.load(folder), mixed()).tensors[0].data) == list(fitted.predict(MIXED[:ROWS]))

    @pytest.mark.parametrize(
        ("module", "name", "reason"),
        [
            ("sklearn.neighbors", "KNeighborsRegressor", "a model of this kind answers more slowly there"),
            ("xgboost", "XGBRegressor", ""),  # nobody asked for it
        ],
    )
    def test_what_is_not(self, tmp_path, module, name, reason):
        folder = self.save(tmp_path, getattr(need(module), name)().fit(X, Y))
        assert reason in self.examine(tmp_path)["onnx"]
        assert "onnxruntime" not in models.load(folder).framework

    @pytest.mark.parametrize(
        ("want", "got", "off"),
        [
            ([1.0, 100.0], [1.0, 100.0], 0),
            ([1.0, 100.0], [1.0, 100.1], 1e-3),
            ([1e-12, 100.0], [0.0, 100.0], 1e-13 / 5),  # next to nothing, where answers are of the size of 50
            ([np.nan, 1.0], [np.nan, 1.0], 0),
            ([np.nan, 1.0], [2.0, 1.0], np.inf),
            (["a", "b"], ["a", "b"], 0),
            (["a", "b"], ["a", "a"], None),
        ],
    )
    def test_compare(self, want, got, off):
        from ridgeline_worker.models import convert

        made = convert.compare(models.values.take(want, 2), models.values.take(got, 2))
        assert made == off or made == pytest.approx(off, rel=0.01)

    def test_other_answers_are_not_taken(self, tmp_path, sklearn_models, monkeypatch):
        from ridgeline_worker.models import convert

        folder = self.save(tmp_path, sklearn_models())
        monkeypatch.setattr(convert, "TOLERANCE", -1.0)
        assert "in double precision its answers are off by" in self.examine(tmp_path)["onnx"]
        assert "onnxruntime" not in models.load(folder).framework

    def test_a_model_that_cannot_be_loaded(self, tmp_path, capsys):
        from ridgeline_worker.models import examine

        assert examine.main(["--model", str(tmp_path), "--report", str(tmp_path / "r")]) == examine.UNUSABLE
        assert "no model was recognised" in capsys.readouterr().err
