"""Runs in a database file: what each fit, leaderboard and search says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.helpers.forecasters import small, wave
from tests.helpers.logged import children, files, history, named, runs
from tsforecast import (
    GRUClassifier,
    ParameterError,
    ReductionForecaster,
    TrainingError,
    audit,
    compare_classifiers,
    leaderboard,
    load,
    track,
)
from tsforecast.catalog.loaders import load_dataset
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError
from tsforecast.estimators.registry import make
from tsforecast.forecasters.base import Forecaster
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.tracking import figures

pytestmark = pytest.mark.mlflow
DAYS = pd.date_range("2024-01-01", periods=90)
SALES = pd.DataFrame({"day": DAYS, "sales": wave(90)})


def test_a_fit_is_a_run_with_all_that_it_was_and_became(database: str) -> None:
    with track(team="north") as uri:
        model = small("gru").fit(SALES)
    assert uri == database
    (run,) = runs(database)
    assert (run.info.run_name, run.info.status) == ("gru on sales", "FINISHED")
    params, tags, metrics = run.data.params, run.data.tags, run.data.metrics
    assert (params["units"], params["window"], params["max_epochs"]) == ("4", "12", "2")
    assert {f"resolved/{name}": str(value) for name, value in model.resolved_.items()}.items() <= params.items()
    assert params["data/fingerprint"] == Panel.of(SALES).fingerprint()
    assert (params["data/first"], params["data/last"]) == ("2024-01-01", "2024-03-30")
    assert (params["split/training_last"], params["split/validation_first"]) == ("2024-03-16", "2024-03-17")
    assert (tags["team"], tags["kind"], tags["version.torch"][:2]) == ("north", "fit", "2.")
    assert metrics["loss/best_validation"] == min(epoch.valid_loss or 9 for epoch in model.history_)
    assert history(database, run, "loss/validation") == {e.number: e.valid_loss for e in model.history_}
    assert history(database, run, "loss/training") == {e.number: e.train_loss for e in model.history_[1:]}
    explained = {"figures/explanation.png", "figures/explanation.csv"}
    assert files(database, run) == {"figures/forecast.png", "figures/training.png"} | explained
    assert len(run.outputs.model_outputs) == 1


def test_tracking_changes_nothing_that_is_fitted(database: str) -> None:
    alone = small("gru").fit(SALES).predict()
    with track():
        observed = small("gru").fit(SALES).predict()
    pd.testing.assert_frame_equal(observed, alone)


def test_nothing_is_imported_or_written_without_it(tmp_path: Path) -> None:
    code = "import sys, tsforecast as t\nt.DriftForecaster().fit([1.0, 2.0])\nt.track\nprint('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert not list(tmp_path.iterdir())


def test_a_fit_that_fails_is_a_run_that_failed(database: str) -> None:
    class Wrong(NeuralForecaster):
        def _split(self, panel: Panel) -> np.ndarray:
            raise TrainingError("the loss must stay a number")

    with pytest.raises(TrainingError), track():
        Wrong(horizon=3).fit(SALES)
    (run,) = runs(database)
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == "TrainingError: the loss must stay a number"


def test_runs_go_to_an_experiment_of_their_data_unless_it_is_named(database: str) -> None:
    with track():
        for data in ("sunspots-yearly", "co2-weekly", SALES):
            make("drift", horizon=2).fit(load_dataset(data) if isinstance(data, str) else data)
    with track(data="shops"):
        network = small("gru").fit(SALES)
    names = ("sunspots-yearly", "co2-weekly", "tsforecast", "shops")
    found = [run for name in names for run in runs(database, name)]
    inputs = [run.inputs.dataset_inputs[0].dataset for run in found]
    assert [data.name for data in inputs] == ["sunspots-yearly", "co2-weekly", "sales", "shops"]
    given = json.loads(inputs[0].schema)["mlflow_colspec"]
    assert [(each["name"], each["type"]) for each in given] == [("year", "string"), ("sunspots", "double")]
    note = found[3].data.tags["mlflow.note.content"]
    assert "validation steps, which chose the epoch" in note or "nothing better than the naive" in note
    assert note.endswith(f"Data: {str(network.panel_).removeprefix('Panel: ')}.")
    (model,) = found[3].outputs.model_outputs
    assert MlflowClient(database).get_logged_model(model.model_id).source_run_id == found[3].info.run_id


def test_what_is_fitted_within_another_fit_is_its_child(database: str) -> None:
    with track():
        EnsembleForecaster(small("gru"), seeds=2, horizon=3).fit(SALES)
    parent = named(database, "ensemble on sales")
    assert [run.info.run_name for run in children(database, parent)] == ["gru on sales"] * 2
    assert [run.data.params["random_state"] for run in children(database, parent)] == ["0", "1"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_leaderboard_is_a_run_with_its_fits_inside(database: str, jobs: int) -> None:
    models = {"gru": small("gru"), "broken": small("lstm").set_params(window=10_000)}
    with track("shops", data="sales"):
        board = leaderboard(models, SALES, horizon=3, origins=4, n_jobs=jobs, seeds=2)
    (parent,) = (run for run in runs(database, "shops") if "mlflow.parentRunId" not in run.data.tags)
    assert parent.info.run_name == "5 models on sales"
    assert files(database, parent) == {"report.html", "rows.parquet", "leaderboard.md"}
    assert parent.data.params["reference"] == board.reference
    assert f"- {board.verdicts['gru']}\n" in parent.data.tags["mlflow.note.content"]
    inside = {run.info.run_name: run for run in children(database, parent, "shops")}
    assert {"gru, seed 0 on sales", "gru, seed 1 on sales", "drift on sales", "broken, seed 0 on sales"} <= set(inside)
    assert len(inside) == 7
    gru, failed = inside["gru, seed 1 on sales"], inside["broken, seed 1 on sales"]
    table = board.table.set_index("model")
    seeds = [inside[f"gru, seed {seed} on sales"].data.metrics["test/mase"] for seed in (0, 1)]
    assert np.mean(seeds) == pytest.approx(table.loc["gru", "mase"], rel=1e-12)
    assert seeds[0] != seeds[1]
    assert parent.data.metrics["test_skill/gru"] == table.loc["gru", "skill"]
    assert not [name for name in parent.data.metrics if " " in name]
    (whole,) = (each.dataset for each in parent.inputs.dataset_inputs)
    assert (whole.name, whole.digest) == ("sales", Panel.of(SALES).fingerprint()[:8])
    assert gru.data.tags["mlflow.note.content"] == f"{board.verdicts['gru'].sentence}."
    assert gru.data.tags["leak_audit"] == "passed (data)"
    assert gru.data.tags["verdict"] == board.verdicts["gru"].sentence
    assert gru.data.params["split/last"] == "2024-03-18"  # twelve days are tested
    assert len(history(database, gru, "loss/validation")) == 3
    assert (gru.info.status, failed.info.status) == ("FINISHED", "FAILED")
    assert "window + horizon must fit" in failed.data.tags["error"]
    assert len(gru.outputs.model_outputs) == (1 if jobs == 1 else 0)  # models stay in the processes that made them


def test_the_forecast_of_a_distribution_is_drawn_in_its_intervals(database: str, tmp_path: Path) -> None:
    model = small("gru").set_params(loss="normal")
    with track():
        model.fit(SALES)
    (run,) = runs(database)
    assert "figures/forecast.png" in files(database, run)
    panel = Panel.of(SALES)
    drawn = figures.forecast(model, panel)
    assert drawn is not None
    expected = model.predict(interval=[0.5, 0.8, 0.95])
    for held in (50, 80, 95):
        shown = expected[[f"sales_lo{held}", f"sales_hi{held}"]].to_numpy()
        np.testing.assert_allclose(drawn.intervals[held], shown, rtol=1e-12)
    figures.draw(tmp_path, drawn, [])
    fan = (tmp_path / "forecast.png").read_bytes()
    figures.draw(tmp_path, replace(drawn, intervals={}), [])
    assert (tmp_path / "forecast.png").read_bytes() != fan
    points = figures.forecast(small("gru").fit(SALES), panel)
    assert points is not None
    assert points.intervals == {}


def test_scores_of_distributions_are_metrics_of_the_runs(database: str) -> None:
    with track("shops", data="sales"):
        board = leaderboard("mean", SALES, horizon=3, origins=4, metric="crps")
    parent, *_ = (run for run in runs(database, "shops") if "mlflow.parentRunId" not in run.data.tags)
    table = board.table.set_index("model")
    assert parent.data.metrics["test_crps/mean"] == table.loc["mean", "crps"]
    inside = {run.info.run_name: run.data.metrics for run in children(database, parent, "shops")}
    for name in ("mase", "crps", "wql", "msis", "coverage80", "width95", "skill"):
        assert inside["mean on sales"][f"test/{name}"] == pytest.approx(table.loc["mean", name], rel=1e-12)


@pytest.mark.parametrize("mistake", [{"origins": 400}, {"gap": -1}, {"gap": 400}, {"min_past": 0}, {"min_past": 400}])
def test_cutoffs_that_cannot_be_are_refused_before_a_run_begins(database: str, mistake: dict[str, int]) -> None:
    with pytest.raises((DataError, ParameterError)), track():
        leaderboard(["naive"], SALES, horizon=3, **mistake)
    assert runs(database) == []


def test_a_comparison_that_goes_on_has_the_runs_of_fits_that_were_kept(database: str, tmp_path: Path) -> None:
    for experiment in ("first", "second"):
        with track(experiment, data="sales"):
            leaderboard(small("gru"), SALES, horizon=3, checkpoint=tmp_path / "kept")
    first, second = ({run.info.run_name for run in runs(database, name)} for name in ("first", "second"))
    assert first == second


def test_an_audit_is_no_run(database: str) -> None:
    with track():
        audit(small("gru"), SALES, cutoffs=1)
    assert runs(database) == []


def test_a_classifier_is_a_run_and_its_folder_is_kept(database: str, tmp_path: Path) -> None:
    recordings = [np.sin(np.arange(12 + i % 3) * (1 + i % 2)) for i in range(20)]
    with track():
        model = GRUClassifier(units=4, layers=1, max_epochs=2, random_state=0).fit(recordings, ["slow", "fast"] * 10)
    (run,) = runs(database)
    assert run.info.run_name == "GRUClassifier on 20 recordings"
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("GRUClassifier: validation loss ")
    assert note.endswith("\n\nData: 20 recordings.")
    kept = MlflowClient(database).download_artifacts(run.info.run_id, "model", str(tmp_path))
    assert load(kept).predict(recordings).tolist() == model.predict(recordings).tolist()
    assert len(history(database, run, "loss/validation")) == 3


def test_a_model_that_cannot_be_kept_says_why(database: str) -> None:
    from sklearn.tree import DecisionTreeRegressor

    with track():
        ReductionForecaster(DecisionTreeRegressor(), window=6, horizon=2).fit(SALES)
    (run,) = runs(database)
    assert run.info.status == "FINISHED"
    assert run.data.tags["model_kept"].startswith("no: this ReductionForecaster cannot be saved")


@pytest.mark.parametrize("network", ["gru"], indirect=True)
def test_a_network_that_is_refitted_has_each_epoch_once(database: str, network: Forecaster) -> None:
    with track():
        network.set_params(refit=True).fit(SALES)
    (run,) = runs(database)
    from mlflow import MlflowClient

    steps = [point.step for point in MlflowClient(database).get_metric_history(run.info.run_id, "loss/validation")]
    assert steps == [0, 1, 2]


def test_a_tuned_network_is_a_run(database: str) -> None:
    source = small("gru").fit(SALES)
    with track():
        source.fine_tune(SALES, max_epochs=1)  # type: ignore[attr-defined]
    assert [run.info.run_name for run in runs(database)] == ["gru on sales"]
    assert runs(database)[0].data.params["resolved/best_epoch"] in ("0", "1")


def test_two_processes_that_log_to_one_file_both_finish(tmp_path: Path) -> None:
    code = (
        "import numpy as np, tsforecast as t\n"
        "with t.track('both', uri='mlflow.db'):\n"
        "    for i in range(4):\n"
        "        t.DriftForecaster(horizon=2).fit(np.arange(20.0) + i)\n"
    )
    command = [sys.executable, "-W", "error::UserWarning:tsforecast", "-c", code]
    both = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    found = runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "both")
    assert len(found) == 8
    assert {run.info.status for run in found} == {"FINISHED"}
    assert all(len(run.outputs.model_outputs) == 1 for run in found)
    assert not (tmp_path / "mlflow-unsent").exists()


def test_the_command_line_keeps_runs_when_asked(database: str, tmp_path: Path) -> None:
    SALES.to_csv(tmp_path / "shop.csv", index=False)
    command = [sys.executable, "-m", "tsforecast.cli.app", "fit", "shop.csv", "--model", "drift", "--horizon", "2"]
    done = subprocess.run(
        [*command, "--out", "model", "--mlflow"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert f"runs are in {database}" in done.stdout
    assert [run.info.run_name for run in runs(database, "shop")] == ["drift on shop"]


@pytest.mark.parametrize("experiment", ["", 3, SALES])
def test_data_are_not_taken_for_the_name_of_an_experiment(experiment: object) -> None:
    with pytest.raises(ParameterError, match="experiment must be a name"), track(experiment):  # type: ignore[arg-type]
        pass


def test_a_search_that_is_within_has_its_trials_inside(database: str, tmp_path: Path, only_ray: None) -> None:
    from tsforecast import RaySearch

    base = NeuralForecaster(window=12, horizon=3, max_epochs=2)
    with track(data="sales"):
        search = RaySearch(base, {"units": [2, 4]}, trials=2, searcher="grid", storage=tmp_path / "searches").fit(SALES)
    parent = named(database, "gru search on sales")
    assert files(database, parent) == {"search.html", "trials.csv"}
    assert parent.data.params["best_trial"] == str(search.best_index_)
    inside = {run.info.run_name: run for run in children(database, parent)}
    best = "gru on sales" if search.best_params_ else f"{search.reference_} on sales"
    assert set(inside) == {f"trial 0: {search.reference_}", "trial 1: units=2", "trial 2: units=4", best}
    trial = inside["trial 2: units=4"]
    scores = search.trials_["scores"].iloc[2]
    assert list(history(database, trial, "skill/validation").values()) == scores
    assert json.loads(trial.data.params["units"]) == 4


def test_a_comparison_of_classifiers_is_a_run_with_its_fits_inside(database: str) -> None:
    moves = [np.sin(np.arange(12.0) * (1 + i % 2) + i / 9) for i in range(18)]
    people, models = np.repeat(["ann", "bob", "cem"], 6), [GRUClassifier(units=2, max_epochs=1, random_state=0)]
    with track(data="moves"):
        found = compare_classifiers(models, moves, ["slow", "fast"] * 9, people)
    parent = named(database, "2 classifiers on moves")
    assert files(database, parent) == {"report.html", "rows.parquet", "classification.md"}
    inside = {run.info.run_name: run for run in children(database, parent)}
    assert len(runs(database)) == 1 + len(inside) == 7
    metrics, table = parent.data.metrics, found.table.set_index("model")
    assert metrics["test_accuracy/gru"] == pytest.approx(table.loc["gru", "accuracy"])
    assert metrics["test_lowest/majority"] == table.loc["majority", "lowest"]
    assert metrics["test_log_loss/gru"] == pytest.approx(found.metrics().loc["gru", "log_loss"])
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith(f"{found.headline}.\n\n- ")
    assert found.verdicts["gru"].sentence in note
    fit = inside["gru, seed 0, bob left out on moves"]
    assert fit.data.metrics["test/accuracy"] == found.by("group").loc["bob", "gru"]
    assert fit.data.params["split/left_out"] == "bob"
    assert "loss/validation" in fit.data.metrics
    assert "majority, cem left out on moves" in inside
