"""What a data scientist does with MLflow's own client, with what has to come of it."""

import math
import os
import tempfile
import warnings

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
NEW = int(mlflow.__version__.split(".")[0]) >= 3
NAME = "client " + mlflow.__version__
client = MlflowClient()


def refused(code, part, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MlflowException as e:
        assert e.error_code == code and part in str(e), (e.error_code, str(e))
    else:
        raise AssertionError(f"{call.__name__}{args} was not refused")


def runs():
    mlflow.set_experiment(NAME)
    with mlflow.start_run(run_name="parent", tags={"team": "a/ä"}) as parent:
        mlflow.log_params({"lr": 0.1, "depth": 3})
        mlflow.log_metrics({"acc": 0.9, "nan": math.nan, "up": math.inf, "down": -math.inf}, step=3)
        for step in range(50):
            mlflow.log_metric("loss", 1 / (1 + step), step=step, synchronous=False)
        mlflow.flush_async_logging()
        with mlflow.start_run(nested=True) as child:
            mlflow.log_metric("x", -1, step=-7)
    run = client.get_run(parent.info.run_id)
    assert run.info.status == "FINISHED" and run.data.params == {"lr": "0.1", "depth": "3"} and run.data.tags["team"] == "a/ä"
    assert run.data.metrics["acc"] == 0.9 and math.isnan(run.data.metrics["nan"])
    assert run.data.metrics["up"] == math.inf and run.data.metrics["down"] == -math.inf
    history = client.get_metric_history(parent.info.run_id, "loss")
    assert [m.step for m in history] == list(range(50)) and history[-1].value == 0.02
    assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    refused("INVALID_PARAMETER_VALUE", "Changing param values is not allowed", client.log_param, parent.info.run_id, "lr", "0.2")
    refused("RESOURCE_DOES_NOT_EXIST", "not found", client.get_run, "0" * 32)
    experiment = run.info.experiment_id
    found = client.search_runs([experiment], "metrics.acc > 0.5 and params.lr = '0.1' and tags.team LIKE 'a%'", order_by=["metrics.acc DESC"])
    assert [r.info.run_id for r in found] == [parent.info.run_id]
    refused("INVALID_PARAMETER_VALUE", "at position 13", client.search_runs, [experiment], "metrics.acc ~ 1")
    assert len(mlflow.search_runs(experiment_names=[NAME])) == 2
    pages = client.search_runs([experiment], max_results=1)
    assert len(pages) == 1 and len(client.search_runs([experiment], max_results=1, page_token=pages.token)) == 1
    client.delete_run(child.info.run_id)
    assert len(client.search_runs([experiment])) == 1
    client.restore_run(child.info.run_id)
    client.set_tag(child.info.run_id, "t", "1")
    client.delete_tag(child.info.run_id, "t")
    client.update_run(child.info.run_id, status="FAILED", name="renamed")
    assert client.get_run(child.info.run_id).info.run_name == "renamed"
    client.delete_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    client.restore_experiment(experiment)
    assert NAME in [e.name for e in client.search_experiments(filter_string=f"name = '{NAME}'")]
    return experiment


def datasets():
    data = mlflow.data.from_pandas(pd.DataFrame({"a": [1.0, 2.0]}), name="numbers")
    with mlflow.start_run() as run:
        mlflow.log_input(data, context="training")
        mlflow.log_input(data, context="training")
    (logged,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert logged.dataset.name == "numbers" and logged.tags[0].value == "training"
    experiment = run.info.experiment_id
    assert [r.info.run_id for r in client.search_runs([experiment], "dataset.name = 'numbers' and datasets.context = 'training'")] == [run.info.run_id]


def artifacts():
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        os.makedirs(folder + "/deep/er")
        for name in ["one.txt", "deep/two ö.txt", "deep/er/three.bin"]:
            with open(f"{folder}/{name}", "wb") as f:
                f.write(name.encode() * 1000)
        mlflow.log_artifacts(folder, "out")
        mlflow.log_text("hello", "note.txt")
        mlflow.log_dict({"a": 1}, "a.json")
        assert sorted(f.path for f in client.list_artifacts(run.info.run_id)) == ["a.json", "note.txt", "out"]
        assert [(f.path, f.is_dir) for f in client.list_artifacts(run.info.run_id, "out/deep")] == [("out/deep/er", True), ("out/deep/two ö.txt", False)]
        with open(client.download_artifacts(run.info.run_id, "out/deep/two ö.txt", folder), "rb") as f:
            assert f.read() == "deep/two ö.txt".encode() * 1000
        assert mlflow.artifacts.load_text(run.info.artifact_uri + "/note.txt") == "hello"
        whole = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="out", dst_path=folder)
        assert sorted(os.listdir(whole)) == ["deep", "one.txt"]
        if NEW:
            large(run, folder)


def large(run, folder):
    """A large file goes up in parts and comes down in ranges, several at a time."""
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository as repository

    os.environ.update(MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE="1000000", MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE="20000000")
    called = []
    for name in ["complete_multipart_upload", "_multipart_download"]:
        def spy(*args, name=name, method=getattr(repository, name), **kwargs):
            called.append(name)
            return method(*args, **kwargs)

        setattr(repository, name, spy)
    content = np.random.default_rng(1).bytes(70_000_000)
    with open(folder + "/large.bin", "wb") as f:
        f.write(content)
    mlflow.log_artifact(folder + "/large.bin", "in parts")
    os.remove(folder + "/large.bin")
    with open(client.download_artifacts(run.info.run_id, "in parts/large.bin", folder), "rb") as f:
        assert f.read() == content
    assert called == ["complete_multipart_upload", "_multipart_download"], called


def models():
    x, y = pd.DataFrame({"a": np.arange(20.0), "b": np.ones(20)}), np.arange(20) > 9
    with mlflow.start_run() as run:
        model = LogisticRegression().fit(x, y)
        # Without a requirements file MLflow would install the model's packages to look at them.
        options = {"signature": infer_signature(x, y), "input_example": x[:2], "pip_requirements": ["scikit-learn"]}
        info = mlflow.sklearn.log_model(model, name="model", **options) if NEW else mlflow.sklearn.log_model(model, "model", **options)
    for uri in [info.model_uri, f"runs:/{run.info.run_id}/model"]:
        loaded = mlflow.sklearn.load_model(uri)
        assert (loaded.predict(x) == model.predict(x)).all()
    assert mlflow.models.get_model_info(info.model_uri).signature.inputs.input_names() == ["a", "b"]
    if not NEW:
        assert "mlflow.log-model.history" in client.get_run(run.info.run_id).data.tags
        return
    logged = mlflow.get_logged_model(info.model_id)
    assert logged.status == "READY" and logged.source_run_id == run.info.run_id
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("f1", 0.75, model_id=info.model_id)
    (found,) = mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], filter_string="metrics.f1 > 0.7", output_format="list")
    assert found.model_id == info.model_id and found.metrics[0].value == 0.75
    outputs = client.get_run(run.info.run_id).outputs.model_outputs
    assert [o.model_id for o in outputs] == [info.model_id]


def autologging():
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) > 9
    mlflow.sklearn.autolog(log_models=False, silent=True)
    with mlflow.start_run() as run:
        LogisticRegression(C=0.5).fit(x, y)
    mlflow.sklearn.autolog(disable=True)
    data = client.get_run(run.info.run_id).data
    assert data.params["C"] == "0.5" and "training_accuracy_score" in data.metrics, data
    if not NEW:
        return
    import xgboost

    mlflow.xgboost.autolog(log_models=False, silent=True)
    with mlflow.start_run() as run:
        matrix = xgboost.DMatrix(x, label=y)
        xgboost.train({"objective": "binary:logistic", "eval_metric": "logloss"}, matrix, num_boost_round=3, evals=[(matrix, "train")])
    mlflow.xgboost.autolog(disable=True)
    assert len(client.get_metric_history(run.info.run_id, "train-logloss")) == 3


def registry():
    x, y = pd.DataFrame({"a": np.arange(20.0)}), np.arange(20) > 9
    name = "registered by " + mlflow.__version__
    model = LogisticRegression().fit(x, y)
    options = {"registered_model_name": name, "pip_requirements": ["scikit-learn"]}
    with mlflow.start_run() as run:
        mlflow.log_metric("f1", 0.5)
        mlflow.sklearn.log_model(model, name="model", **options) if NEW else mlflow.sklearn.log_model(model, "model", **options)
    first = client.get_model_version(name, "1")
    assert first.run_id == run.info.run_id and first.status == "READY" and first.current_stage == "None", first
    second = mlflow.register_model(f"runs:/{run.info.run_id}/model", name, tags={"by": "hand ä"})
    assert int(second.version) == 2 and client.get_model_version(name, "2").tags == {"by": "hand ä"}
    client.set_registered_model_alias(name, "champion", "2")  # nobody's gate keeps it here
    client.set_registered_model_alias(name, "other", "1")
    client.delete_registered_model_alias(name, "other")
    assert client.get_registered_model(name).aliases == {"champion": second.version}
    assert client.get_model_version_by_alias(name, "champion").aliases == ["champion"]
    client.delete_run(run.info.run_id)  # a version has its files, whatever becomes of its run
    for uri in [f"models:/{name}@champion", f"models:/{name}/1", f"models:/{name}/latest"]:
        loaded = mlflow.pyfunc.load_model(uri)
        assert (loaded.predict(x) == model.predict(x)).all(), uri
    with tempfile.TemporaryDirectory() as folder:
        assert os.path.exists(os.path.join(mlflow.artifacts.download_artifacts(f"models:/{name}/2", dst_path=folder), "MLmodel"))
    client.restore_run(run.info.run_id)
    copy = client.copy_model_version(f"models:/{name}@champion", name + " copy")
    assert (int(copy.version), copy.run_id, copy.source) == (1, run.info.run_id, f"models:/{name}/2"), copy
    assert (mlflow.pyfunc.load_model(f"models:/{name} copy/1").predict(x) == model.predict(x)).all()
    client.update_registered_model(name, "what it is for")
    client.update_model_version(name, "1", "the first")
    client.set_registered_model_tag(name, "team", "a")
    client.set_model_version_tag(name, "1", "checked", "yes")
    client.delete_model_version_tag(name, "2", "by")
    assert [m.name for m in client.search_registered_models(f"name = '{name}' and tags.team = 'a'")] == [name]
    assert [v.version for v in client.search_model_versions(f"name = '{name}' and tags.checked = 'yes'")] == [first.version]
    pages = client.search_model_versions(f"run_id = '{run.info.run_id}'", max_results=2, order_by=["name ASC", "version_number ASC"])
    assert len(pages) == 2 and len(client.search_model_versions(f"run_id = '{run.info.run_id}'", max_results=2, page_token=pages.token)) == 1
    client.transition_model_version_stage(name, "1", "Staging")
    assert [v.version for v in client.get_latest_versions(name, stages=["Staging"])] == [first.version]
    refused("INVALID_PARAMETER_VALUE", "cannot contain '/' or ':'" if NEW else "", client.create_registered_model, "a/b")
    refused("RESOURCE_ALREADY_EXISTS", "already exists", client.create_registered_model, name)
    refused("RESOURCE_DOES_NOT_EXIST", "not found", client.get_model_version, name, "7")
    client.delete_model_version(name, "1")
    refused("RESOURCE_DOES_NOT_EXIST", "not found", client.get_model_version, name, "1")
    renamed = "renamed " + name
    client.rename_registered_model(name, renamed)
    assert client.get_model_version(renamed, "2").run_id == run.info.run_id
    client.delete_registered_model(renamed)
    refused("RESOURCE_DOES_NOT_EXIST", "not found", client.get_registered_model, renamed)


for part in [runs, datasets, artifacts, models, registry, autologging]:
    part()
    print(part.__name__, "fine")
