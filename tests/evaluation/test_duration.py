"""The time of a leaderboard is predicted by short fits, and cutoffs are chosen that fit a time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import small, wave
from tsforecast.data.context import Context
from tsforecast.data.panel import Panel
from tsforecast.data.protocol import Protocol
from tsforecast.errors import ParameterError
from tsforecast.evaluation import duration
from tsforecast.evaluation.backtest import Backtest
from tsforecast.evaluation.duration import Duration, ModelTime, duration_of, fitted_to, seconds_of
from tsforecast.evaluation.leaderboard import leaderboard
from tsforecast.evaluation.plan import plan
from tsforecast.forecasters.naive import NaiveForecaster


class SlowForecaster(NaiveForecaster):
    """A naive forecaster that takes 4 seconds of `Clock` for each series that it fits, and 1 for each forecast."""

    def _fit(self, panel: Panel) -> None:
        Clock.now += 4 * len(panel)

    def forecast(self, past: Context, horizon: int) -> np.ndarray:
        Clock.now += len(past)
        return super().forecast(past, horizon)


class Clock:
    """The time, which passes where `SlowForecaster` works, and nowhere else."""

    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duration, "clock", lambda: Clock.now)


def timed(protocol: Protocol, series: int = 1, **options: float) -> Duration:
    """Return the duration of the slow forecaster."""
    panel = Panel.of([wave(60, seed) for seed in range(series)])
    return duration_of({"slow": SlowForecaster()}, Backtest(panel, protocol), **options)


@pytest.mark.usefixtures("clock")
def test_seconds_are_fits_and_forecasts_times_cutoffs() -> None:
    found = timed(Protocol(2, origins=6, refit=True, audit=None))
    assert found.seconds == {"slow": 6 * 5}
    assert found.total(origins=12) == 12 * 5
    assert found.total(origins=12, refit=False) == 4 + 12
    once = timed(Protocol(2, origins=6, audit=None), series=2, seeds=3)  # without a random state: fitted once
    assert once.seconds == {"slow": 2 * (4 + 6)}


@pytest.mark.usefixtures("clock")
def test_of_many_series_a_part_is_timed() -> None:
    found = timed(Protocol(2, audit=None), series=64, probe=5)
    assert found.total() == 64 * 5
    assert found.spent < 64


def test_audits_and_seeds_count() -> None:
    one = ModelTime(seeds=2, fit=3.0, cutoff=1.0, audit=10.0)
    assert one.fits(sides=1, origins=4, refit=False) == [17, 17]
    assert one.fits(sides=1, origins=3, refit=True) == [14, 4, 4, 14, 4, 4]
    assert one.fits(sides=2, origins=4, refit=False) == [17, 7, 17, 7]


@pytest.mark.usefixtures("clock")
def test_an_audit_that_fits_is_as_long_as_its_fits() -> None:
    run = timed(Protocol(2, origins=2, audit=None)).total()
    audited = timed(Protocol(2, origins=2, audit="fit"))
    began = Clock.now
    leaderboard({"slow": SlowForecaster()}, wave(60), 2, 2, audit="fit")
    assert audited.total() == pytest.approx(Clock.now - began, rel=0.05)
    assert audited.total() > 5 * run


@pytest.mark.parametrize("patience", [4, pytest.param(None, marks=pytest.mark.thorough)])
def test_a_network_that_is_cut_short_is_taken_to_need_four_fifths_of_its_epochs(patience: int | None) -> None:
    network = small("gru").set_params(max_epochs=40, patience=patience)
    test = Backtest(Panel.of(wave(90)), Protocol(3, origins=2, audit=None))
    found = duration_of({"gru": network}, test, probe=0)
    assert found.models["gru"].epochs == (2, 40 if patience is None else 32)
    taken = 32 if patience else 40
    assert f". Of at most 40 epochs, 2 of gru were timed; {taken} are assumed until the" in found.sentence
    whole = duration_of({"gru": network}, test, probe=600)  # however busy the machine is
    assert whole.models["gru"].epochs is None
    assert "epochs" not in whole.sentence


def test_processes_share_the_fits() -> None:
    models = {"a": ModelTime(2, 3.0, 0.0, 0.0), "b": ModelTime(1, 5.0, 0.0, 0.0)}
    total = {n: Duration(models, Protocol(1), 1, n, 0, 0.5, 0.0).total(loaded=True) for n in (1, 2)}
    assert total == {1: 11, 2: 8.5}  # a and a beside each other, then b; each process loads libraries


def planned(origins: int, refit: bool, spent: float = 0.0) -> Duration:
    """Return the duration of a model with a fit of 10 seconds and forecasts of one."""
    return Duration({"a": ModelTime(1, 10.0, 1.0, 0.0)}, Protocol(1, origins, refit=refit), 1, 1, 0, 2.0, spent)


def test_as_many_cutoffs_are_chosen_as_fit_and_then_fewer_fits() -> None:
    protocol, why = fitted_to(planned(12, True, spent=5.0), 100, 5)  # 95 left, 11 each
    assert (protocol.origins, protocol.refit) == (8, True)
    assert why == (
        "8 of 12 cutoffs are tested, with a fit at each: predicted to take 88 s of the 1.7 min, where all with a fit "
        "at each would take 2.2 min"
    )
    protocol, why = fitted_to(planned(12, True), 54, 5)
    assert (protocol.origins, protocol.refit) == (12, False)
    assert why.startswith("all 12 cutoffs are tested, with one fit: predicted to take 22 s of the 54 s, where all with")
    assert fitted_to(planned(12, False), 18, 5)[0].origins == 8
    assert fitted_to(planned(12, True), 132, 5) == (
        planned(12, True).protocol,
        "all 12 cutoffs are tested, with a fit at each: predicted to take 2.2 min of the 2.2 min",
    )
    assert fitted_to(planned(3, False), 13, 5)[0].origins == 3  # as few as were asked for


def test_a_time_that_the_least_does_not_fit_is_refused_with_numbers() -> None:
    with pytest.raises(ParameterError) as refused:
        fitted_to(planned(12, True, spent=2.0), 16, 5)
    assert str(refused.value) == (
        "within must be at least 18 s: got 16 s, of which the prediction took 2.0 s, and the least, 5 cutoffs with one "
        "fit, would take 15 s; leave out models such as a, which takes the most, or give those with smaller settings"
    )


@pytest.mark.parametrize("within", ["10 parsecs", -1, 0, "0s", "", True, float("nan"), "-5min", [600]])
def test_what_is_no_time_is_refused_in_a_sentence(within: object) -> None:
    with pytest.raises(ParameterError) as refused:
        seconds_of(within)
    assert str(refused.value) == (
        f"within must be a time above 0, in seconds or with s, min or h, such as 600 or '10min': got {within!r}"
    )


@pytest.mark.long
@pytest.mark.usefixtures("clock")
def test_a_leaderboard_fits_a_time_and_notes_it() -> None:
    Clock.now = 0
    board = leaderboard({"slow": SlowForecaster()}, wave(90), horizon=2, origins=30, refit=True, within=100)
    assert board.record is not None
    assert board.record.origins == 17  # 12 seconds tell that each takes 5
    assert Clock.now <= 100
    assert board.rows["cutoff"].nunique() == board.record.origins
    assert board.notes[0] == (
        "17 of 30 cutoffs are tested, with a fit at each: predicted to take 85 s of the 1.7 min, where all with a fit "
        "at each would take 2.5 min"
    )


@pytest.mark.long
@pytest.mark.usefixtures("clock")
def test_a_plan_has_the_seconds_of_models() -> None:
    found = plan(wave(90), horizon=3, origins=5, models={"slow": SlowForecaster()}, refit=True, audit=None)
    assert found.seconds == {"naive": 0, "seasonal-naive": 0, "drift": 0, "slow": 25, "total": 25}
    assert found.sentences[-1] == (
        "A leaderboard of 4 models at 5 cutoffs, a fit at each, would take about 25 s on this machine, of which slow "
        "25 s and naive 0 s"
    )
    assert plan(wave(90), horizon=3, origins=5).seconds == {}


@pytest.mark.thorough
def test_the_command_line_fits_a_time(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    pd.DataFrame({"day": pd.date_range("2024", periods=200), "y": wave(200)}).to_csv(file, index=False)
    words = ("leaderboard", file, "--horizon", "2", "--models", "mean")
    result = tsforecast(*words, "--within", "10min")
    assert result.returncode == 0, result.stderr
    assert "all 30 cutoffs are tested, with one fit: predicted to take " in result.stdout
    assert " of the 10 min.\n" in result.stdout
    for within in ("10 parsecs", "-1"):
        result = tsforecast(*words, f"--within={within}")
        assert result.returncode == 2
        assert result.stderr.endswith(f"such as 600 or '10min': got {within!r}\n")
    result = tsforecast(*words, "--within", "0.001")
    assert result.returncode == 2
    assert "Error: --within must be at least " in result.stderr
    assert ": got 0.001 s, of which the prediction took " in result.stderr
    assert result.stderr.endswith("; give fewer series\n")  # no model can be left out


def test_nine_of_ten_quotes_of_the_benchmark_are_within_a_quarter_as_the_readme_counts_them() -> None:
    root = Path(__file__).parents[2]
    rows = pd.DataFrame(map(json.loads, (root / "benchmarks/results/plan.jsonl").read_text().splitlines()))
    times = rows[rows["kind"].eq("time")]
    assert (times["ratio"] - times["quote"] / times["seconds"]).abs().max() < 1e-9
    close, cut = times["ratio"].between(0.75, 1.25), times["cut_short"].str.len() > 0
    assert close.sum() >= 0.9 * len(times) >= 18
    text = " ".join((root / "docs/how-to/plan.md").read_text().split())
    counts = f"for {close.sum()} of {len(times)} boards of 1 to {times['seconds'].max():.0f} seconds"
    assert f"within 25 % of the time taken {counts}, of which {cut.sum()} had fits that were cut short" in text
