"""Searches with a real Ray: they find what is there, survive what ends them, and say what failed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import options, wave
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError, TrainingError
from tsforecast.estimators.base import NotFittedError
from tsforecast.estimators.persistence import load
from tsforecast.forecasters.neural import NeuralForecaster
from tsforecast.search import tuner
from tsforecast.search.objective import forecast_objectives
from tsforecast.search.search import RaySearch
from tsforecast.search.space import Space, log
from tsforecast.search.storage import LOG_FILE, pair_problems, read_log, read_search
from tsforecast.search.trial import TrialSetup

PANEL = Panel.from_array(wave(120), season_length=6)
SPACE = {"units": [2, 8], "cell": ["gru", "conv1d"], "kernel_size": [2, 3], "learning_rate": log(1e-3, 1e-1)}
BASE = NeuralForecaster(window=12, horizon=3)

pytestmark = [  # what ray leaves open when it ends is its own
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("only_ray"),
]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"searcher": "tpee"}, "searcher must be one of .*did you mean 'tpe'"),
        ({"scheduler": "pbt"}, "scheduler 'pbt' must come with searcher='random' or 'grid'"),
        ({"searcher": "bohb", "scheduler": "asha"}, "searcher 'bohb' must come with its HyperBand"),
        ({"searcher": "random", "scheduler": "pbt", "space": {"units": [2]}}, "must have something to vary"),
        ({"space": {"unitss": [2]}}, "did you mean 'units'"),
        ({"space": {"horizon": [2, 3]}}, "the space must not have 'horizon', which a search sets itself: leave it out"),
        ({"space": {"units": {"low": 1, "high": 2, "lgo": True}}}, "or a table of low, high and log: got .*lgo"),
        ({"space": {"window": ["30 seasons"]}}, "window 180 of the space must fit"),
        ({"resume": True}, "resume=True must find a search"),
        ({"resume": "yes", "time_budget": 0}, "(?s)time_budget must be .* above 0.*resume must be one of 'auto', True"),
        ({"address": "127.0.0.1:9"}, "address must be that of a ray cluster that runs.*refused"),
    ],
)
def test_what_cannot_work_is_refused_at_once(change: dict[str, object], words: str, tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(ParameterError, match=words):
        RaySearch(**{"forecaster": BASE, "space": SPACE, "storage": tmp_path, **change}).fit(PANEL)
    assert time.process_time() - began < 60


def test_a_search_that_was_not_fitted_has_no_report() -> None:
    with pytest.raises(NotFittedError, match="this RaySearch must be fitted first"):
        RaySearch(BASE, SPACE).report()


def test_a_search_by_distributions_finds_ranks_and_keeps_a_network_that_has_one(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=160)
    pd.DataFrame({"day": days, "y": wave(160)}).to_csv(tmp_path / "days.csv", index=False)
    (tmp_path / "space.toml").write_text('units = [8]\nloss = ["mae", "normal"]\nlearning_rate = [0.02]\n')
    command = ["tune", tmp_path / "days.csv", "--space", tmp_path / "space.toml", "--metric", "crps", "--trials", "2"]
    command += ["--searcher", "grid", "--epochs", "8", "--horizon", "3", "--origins", "4", "--out", tmp_path / "out"]
    printed = tsforecast(*command).stdout
    trials, model = read_search(tmp_path / "out").trials, load(tmp_path / "out" / "model")
    best = trials.loc[trials["best_score"].idxmax()]
    assert best["params"] == {"units": 8, "loss": "normal", "learning_rate": 0.02}  # points are sure of themselves
    assert f"loss='normal' learning_rate=0.02\nskill {best['best_score']:+.1%} over " in printed
    searched = model.panel_.until(np.array([160 - 4 * 3]))
    fold = forecast_objectives(searched, 3, RaySearch(BASE, SPACE).validation, 1, "crps")[0]
    tuned = TrialSetup(NeuralForecaster(random_state=0), [fold], 8, 0).model(best["params"])
    models = tuned.fit(fold.part), fold.baseline().fit(fold.part)
    crps, naive = (each.distribution(fold.context, 3).crps(fold.truth).mean() for each in models)
    assert best["best_score"] == pytest.approx(1 - crps / naive, rel=1e-6)
    assert re.search("┃ model .* CRPS (.*\n){2}│ (un)?tuned ", printed)
    assert list(model.predict(interval=0.8).columns) == ["day", "y", "y_lo80", "y_hi80"]
    assert f"share of {fold.reference}'s CRPS" in (tmp_path / "out" / "search.html").read_text(encoding="utf-8")


def test_a_search_refits_its_best_settings_and_knows_its_trials(ray_here: None, tmp_path: Path) -> None:
    search = RaySearch(BASE, SPACE, trials=6, max_epochs=4, storage=tmp_path, name="a").fit(PANEL)
    trials = search.trials_
    assert trials["trial"].tolist() == list(range(7))
    assert trials["status"].iloc[0] == "naive"
    assert set(trials["status"].iloc[1:]) <= {"finished", "stopped early"}
    assert search.best_score_ == trials["best_score"].max()
    for one in trials.iloc[1:].itertuples():
        assert (one.best_score, one.last_score) == (max(one.scores), one.scores[-1])
        assert len(one.scores) == one.epochs + 1
        assert ("kernel_size" in one.params) == (one.params["cell"] == "conv1d")
    plain = clone(BASE).set_params(**search.best_params_, random_state=0).fit(PANEL)
    assert search.best_score_ > 0
    assert np.array_equal(search.predict(), plain.predict())
    assert np.isfinite(search.optimism_)
    found = search.cv_results_
    assert found["rank_test_score"].min() == 1
    assert found["params"][int(np.argmin(found["rank_test_score"]))] == trials["params"][search.best_index_]
    search.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert np.array_equal(loaded.predict(), search.predict())
    assert loaded.trials_.equals(trials)
    assert (loaded.best_params_, loaded.optimism_) == (search.best_params_, search.optimism_)
    assert (loaded.storage, loaded.name) == (None, None)  # a model says nothing of where anything lies
    with pytest.raises(ParameterError, match="drawn from its folder, which is not part of a saved search"):
        loaded.report()
    search.report(tmp_path / "search.html")
    page = (tmp_path / "search.html").read_text(encoding="utf-8")
    assert f"Best skill {search.best_score_:+.1%} against {search.reference_}" in page
    again = RaySearch(BASE, SPACE, trials=6, max_epochs=4, storage=tmp_path, name="a").fit(PANEL)
    assert again.trials_["scores"].tolist() == trials["scores"].tolist()
    with pytest.raises(ParameterError, match="holds a search with other data, seasons; give this one another name"):
        clone(again).fit(wave(120, 1))
    with pytest.raises(ParameterError, match="holds this search already"):
        clone(again).set_params(resume=False).fit(PANEL)


def test_a_searcher_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tsforecast.search.suggest import make_searcher

    monkeypatch.setitem(sys.modules, "hyperopt", None)
    with pytest.raises(ParameterError, match=r"pip install 'tsforecast-toolkit\[hyperopt\]'; or use searcher='tpe'"):
        make_searcher("hyperopt", Space.of(SPACE), 4, 0, {"units": 2, "cell": "gru"}, [])


def test_hyperopt_proposes_what_lies_in_the_space() -> None:
    pytest.importorskip("hyperopt")
    from tsforecast.search.suggest import make_searcher

    ranges = {"layers": (1, 3), "batch_size": log(8, 10), "dropout": (0.1, 0.4), "learning_rate": log(1e-3, 1e-1)}
    space = Space.of({"units": [2, 8], "cell": ["gru", "conv1d"], **ranges})
    start = space.start(BASE.get_params() | {"units": 8})
    searcher, listed = make_searcher("hyperopt", space, 60, 0, start, [])
    assert listed == []
    drawn = [space.decode(searcher.suggest(str(i))) for i in range(60)]
    assert drawn[0] == start
    for name, domain in space.domains.items():
        values = [one[name] for one in drawn]
        if isinstance(domain, list):
            assert set(values) == set(domain)
        elif domain.whole:
            assert set(values) == set(range(int(domain.low), int(domain.high) + 1))
            assert all(type(value) is int for value in values)
        else:
            assert domain.low <= min(values) < max(values) <= domain.high
            middle = domain.middle()  # about as many lie on either side
            assert 15 < sum(value < middle for value in values) < 45, name


def test_bohb_is_hyperband_over_parzen_estimators_of_all_settings_together() -> None:
    from ray.tune.schedulers import HyperBandScheduler
    from ray.tune.search.optuna import OptunaSearch

    from tsforecast.search.suggest import make_scheduler, make_searcher

    space = Space.of(SPACE)
    searcher, listed = make_searcher("bohb", space, 4, 0, space.start(BASE.get_params()), [])
    assert listed == []
    assert isinstance(searcher, OptunaSearch)
    first = searcher.suggest("a")
    assert space.settings(space.decode(first)) == space.active(space.start(BASE.get_params()))
    assert isinstance(make_scheduler("hyperband", space, 9), HyperBandScheduler)


class Faulty(NeuralForecaster):
    """Raises, or ends its process, for some numbers of units."""

    def _fit(self, panel: Panel) -> None:
        raise NotImplementedError

    def fit(self, data: object, *rest: object, **more: object) -> Faulty:
        if self.units == 3:
            raise ZeroDivisionError("no denominator")
        if self.units == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(data, *rest, **more)


def test_a_trial_that_raises_or_is_killed_is_a_row_and_the_search_goes_on(
    ray_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuner, "RETRIES", 1)  # in place of 2
    space = {"units": [2, 3, 4, 8]}
    search = RaySearch(
        Faulty(window=12, horizon=3), space, trials=4, searcher="grid", scheduler="none", max_epochs=2, storage=tmp_path
    ).fit(PANEL)
    status = search.trials_.set_index("param_units")["status"]
    assert status[[2.0, 3.0, 4.0, 8.0]].tolist() == ["finished", "failed", "failed", "finished"]
    errors = search.trials_.set_index("param_units")["error"]
    assert errors[3.0] == "ZeroDivisionError: no denominator"
    assert "died" in errors[4.0]
    begun = [line for line in (search.folder_ / LOG_FILE).read_text().splitlines() if '"began"' in line]
    assert len(begun) == 4 + 1  # only what was killed is run again


ALL = [
    (searcher, scheduler)
    for searcher in options(RaySearch, "searcher")
    for scheduler in options(RaySearch, "scheduler")
    if not pair_problems(searcher, scheduler)
]
FEW = [("bohb", "auto")]  # in each run; all of them with pytest -m slow


@pytest.mark.parametrize(
    ("searcher", "scheduler"), [pytest.param(*pair, marks=[] if pair in FEW else pytest.mark.slow) for pair in ALL]
)
def test_each_searcher_works_with_each_scheduler(searcher: str, scheduler: str, ray_here: None, tmp_path: Path) -> None:
    settings = {"trials": 4, "max_epochs": 4, "storage": tmp_path, "searcher": searcher, "scheduler": scheduler}
    trials = RaySearch(BASE, SPACE, **settings).fit(PANEL).trials_
    assert len(trials) == 5
    assert trials["error"].tolist() == [""] * 5
    assert trials["epochs"].iloc[1:].max() == 4


@pytest.mark.slow
def test_a_search_without_time_for_an_epoch_says_so(ray_here: None, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="must have a trial that gets through an epoch"):
        RaySearch(BASE, SPACE, max_epochs=400, time_budget=0.01, storage=tmp_path).fit(PANEL)


SCRIPT = """
import sys
from tests.search.test_ray import BASE, PANEL
from tsforecast.search.search import RaySearch
if __name__ == "__main__":
    options = dict(trials=4, searcher="random", scheduler="none", max_epochs=150, storage=sys.argv[1], name="a")
    print(RaySearch(BASE, {"units": [2, 8], "dropout": (0.0, 0.5)}, **options).fit(PANEL).trials_["epochs"].tolist())
"""


@pytest.mark.slow
def test_a_search_whose_driver_is_killed_goes_on_from_its_epochs(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path)]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, env=paths, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(one.skills and max(one.skills) >= 80 for one in read_log(tmp_path / "a")):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    before = [max(one.skills, default=0) for one in read_log(tmp_path / "a")]
    lines = _epochs(tmp_path)
    again = subprocess.run(command, env=paths, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines()[-1] == "[0, 150, 150, 150, 150]"
    # The journal may not have heard of the epoch under way; all others are not trained again.
    assert 4 * 150 - sum(before) == _epochs(tmp_path) - lines


def _epochs(folder: Path) -> int:
    return (folder / "a" / LOG_FILE).read_text().count('"event": "epoch"')


def test_a_window_of_the_space_may_be_longer_than_the_shortest_series(tmp_path: Path) -> None:
    panel = Panel.from_array([np.arange(60.0) % 7, np.arange(200.0) % 7])
    search = RaySearch(NeuralForecaster(horizon=3), {"window": [100, 400]}, storage=tmp_path)
    with pytest.raises(ParameterError) as error:
        search.fit(panel)
    assert "window 400 of the space" in str(error.value)
    assert "window 100 of the space" not in str(error.value)
