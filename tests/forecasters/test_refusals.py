"""Settings that cannot work are refused before anything is trained, with what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from tests.helpers.forecasters import small, wave
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, DataWarning, ModelFileError, ParameterError
from tsforecast.estimators.persistence import load
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.naive import DriftForecaster, NaiveForecaster
from tsforecast.forecasters.neural import Conv1DForecaster, GRUForecaster, LSTMForecaster
from tsforecast.forecasters.reduction import ReductionForecaster
from tsforecast.networks.losses import Loss


class Constant(Loss):
    def errors(self, said: Tensor, truth: Tensor, series: Tensor, units: Any) -> Tensor:
        return torch.zeros(truth.shape)


class Mean(Loss):
    def errors(self, said: Tensor, truth: Tensor, series: Tensor, units: Any) -> Tensor:
        return (self.point(said) - truth).abs().mean()


class TwoArguments(Loss):
    def errors(self, said: Tensor, truth: Tensor) -> Tensor:  # type: ignore[override]
        return (said[..., 0] - truth).abs()


class NothingSaid(Constant):
    outputs = 0


class InUnits(Loss):
    needs_scale = True

    def errors(self, said: Tensor, truth: Tensor, series: Tensor, units: Any) -> Tensor:
        return (units.to_data(self.point(said), series) - units.to_data(truth, series)).abs()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"loss": nn.L1Loss()}, "loss must be one of 'mae', .* or an instance of your own subclass .*: got L1Loss"),
        ({"loss": InUnits}, "or an instance of your own subclass of tsforecast.networks.losses.Loss: got <class"),
        ({"loss": Constant()}, r"Constant\(\).errors must depend on the outputs: its result has no gradient"),
        ({"loss": Mean()}, r"Mean\(\).errors must return a number for each step.*: for \(2, 3, 1\) it gave \(\)"),
        (
            {"loss": TwoArguments()},
            r"loss TwoArguments.. must compare outputs.*it raised TypeError",
        ),
        ({"loss": NothingSaid()}, "must have 1 <= levels <= outputs: got levels 1, outputs 0"),
        ({"loss": InUnits(), "scaler": StandardScaler()}, r"loss InUnits\(\) judges in the data's own units"),
        ({"anchor": 7}, r"such as \(24, 168\): got 7; did you mean \(7,\)\?"),
        ({"anchor": None}, "got None; did you mean 'none'"),
        ({"schedule": None}, "schedule must be one of 'one-cycle', 'cosine', 'plateau', 'constant': got None"),
        ({"norm": "none"}, "norm must be one of 'layer', 'batch', None: got 'none'; did you mean None"),
        ({"value_transform": "ln"}, "value_transform must be one of 'auto', 'log', 'box-cox', None: got 'ln'"),
        ({"per_series": "True"}, "per_series must be one of 'auto', True, False: got 'True'"),
        ({"validation": "20%"}, r"validation must be a share in \(0, 1\), a whole number >= 1 or None: got '20%'"),
        ({"validation": 0}, "validation must be a share .* got 0"),
        ({"verbose": "yes"}, "verbose must be a whole number >= 0 or True or False: got 'yes'"),
        ({"segment": 9, "window": 8}, "segment must be <= window: got 9, window 8"),
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", str(value)),  # the same in each process
)
def test_a_setting_that_cannot_work_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        GRUForecaster(**settings).fit(wave())


@pytest.mark.parametrize("validation", [0.15, 59, 3])
def test_a_horizon_as_long_as_the_series_is_refused_with_one_that_fits(validation: object) -> None:
    with pytest.raises(DataError, match="must be far shorter than the series: it is 100, the shortest has 60"):
        GRUForecaster(horizon=100, validation=validation).fit(wave(60))
    GRUForecaster(horizon=15, max_epochs=0).fit(wave(60))


def test_seasons_that_no_window_can_reach_are_refused_with_what_works() -> None:
    with pytest.raises(DataError, match="looks back 168 steps, and with the horizon needs 169, the longest has"):
        GRUForecaster(anchor=(24, 168)).fit(wave(90))


def test_forecasts_that_are_no_numbers_are_warned_of() -> None:
    class Nothing(Ridge):
        def predict(self, X: Any) -> Any:
            return np.full(len(X), np.nan)

    class Words(Ridge):
        def predict(self, X: Any) -> Any:
            return np.array(["many"] * len(X))

    with pytest.warns(DataWarning, match="1 of 1 forecasts are no finite numbers: look at a loss or regressor"):
        ReductionForecaster(Nothing()).fit(wave()).predict()
    with pytest.raises(ParameterError, match=r"regressor Words\(\) must predict numbers, one row for each of 64"):
        ReductionForecaster(Words()).fit(wave()).predict()
    with pytest.raises(ParameterError, match=r"regressor must be a regressor of scikit-learn, .*got 'ridge'"):
        ReductionForecaster("ridge").fit(wave())


def test_numpy_numbers_are_as_good_as_pythons(tmp_path: Path) -> None:
    given = {"units": 4, "layers": 1, "horizon": 3, "window": 12, "batch_size": 16, "max_epochs": 2, "segment": 3}
    plain = Conv1DForecaster(**given, kernel_size=2, random_state=0).fit(wave(), checkpoint=tmp_path / "kept")
    numpy = Conv1DForecaster(**{k: np.int64(v) for k, v in given.items()}, kernel_size=np.int64(2), random_state=0)
    assert np.array_equal(numpy.fit(wave()).predict(), plain.predict())
    numpy.fit(wave(), resume_from=tmp_path / "kept")  # the same numbers in another form are the same fit


def test_a_setting_with_a_typo_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ParameterError, match="NaiveForecaster has no setting 'horizn'; did you mean 'horizon'"):
        NaiveForecaster().set_params(horizn=3)


def test_a_context_below_all_that_the_logarithm_was_learned_on_is_warned_of() -> None:
    model = GRUForecaster(window=12, horizon=3, units=4, max_epochs=1, random_state=0).fit(wave())
    with pytest.warns(
        DataWarning, match=re.escape("1 of 1 contexts go below the range of training of value_transform 'log' and are")
    ):
        model.predict(wave() - 20)
    model.predict(wave() + 20)  # pytest makes any warning an error


def test_a_checkpoint_belongs_to_its_fit(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    settings = {"window": 12, "horizon": 3, "units": 4, "max_epochs": 2, "random_state": 0}
    GRUForecaster(**settings).fit(wave(), checkpoint=kept)
    with pytest.raises(
        ParameterError, match="must resume with the cell it began with: 'gru', got 'lstm'; use that again"
    ):
        LSTMForecaster(**settings).fit(wave(), resume_from=kept)
    with pytest.raises(
        ParameterError, match=r"with the data it began with: 1 series of \d+ rows \(\w+\), got 1 series"
    ):
        GRUForecaster(**settings).fit(wave(80), resume_from=kept)
    with pytest.raises(
        ParameterError, match="must not be the folder of another fit, with other data: name another folder"
    ):
        GRUForecaster(**settings).fit(wave(80), checkpoint=kept)
    GRUForecaster(**settings).fit(wave(), checkpoint=kept)  # the same fit may be run again
    with pytest.raises(ModelFileError, match=r"holds the checkpoint of a fit, not a model: fit\(data, resume_from="):
        load(kept)
    (kept / "train" / "checkpoint.json").write_text('{"history": [')
    with pytest.raises(ModelFileError, match="must hold a checkpoint to resume from: it is cut short or spoilt; leave"):
        GRUForecaster(**settings).fit(wave(), resume_from=kept)


def test_a_refit_that_another_fit_left_is_not_taken_up(tmp_path: Path) -> None:
    model = small("gru").set_params(refit=True, max_epochs=2, random_state=None)
    model.fit(wave(), checkpoint=tmp_path / "kept")
    assert (tmp_path / "kept" / "refit").exists()
    with pytest.raises(KeyboardInterrupt):
        dies_in_training(model, tmp_path / "kept")
    assert not (tmp_path / "kept" / "refit").exists()


def dies_in_training(model: Any, folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsforecast.estimators.network.train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        model.fit(wave(), checkpoint=folder)


def test_where_checkpoints_go_must_make_sense() -> None:
    with pytest.raises(ParameterError, match="checkpoint must be the path of a folder: got True"):
        small("gru").fit(wave(), checkpoint=True)
    with pytest.raises(ParameterError, match="checkpoint_every='10min' must have a folder to write to"):
        small("gru").fit(wave(), checkpoint_every="10min")
    with pytest.raises(ParameterError) as caught:
        small("gru").fit(wave(), checkpoint=3, resume_from=4)
    assert caught.value.problems == (
        "checkpoint must be the path of a folder: got 3",
        "resume_from must be the path of a folder: got 4",
    )


def test_an_ensemble_has_the_horizon_of_its_forecasters_unless_given_another() -> None:
    assert len(EnsembleForecaster([NaiveForecaster(4), DriftForecaster(4)]).fit(wave()).predict()) == 4
    assert len(EnsembleForecaster([NaiveForecaster(4), DriftForecaster(4)], horizon=2).fit(wave()).predict()) == 2
    with pytest.raises(ParameterError, match=r"horizon must be given where forecasters differ in theirs: got \[1, 4\]"):
        EnsembleForecaster([NaiveForecaster(4), DriftForecaster(1)]).fit(wave())
    with pytest.raises(ParameterError, match="gru of the ensemble: units must be a whole number >= 1: got 0"):
        EnsembleForecaster(GRUForecaster(units=0)).fit(wave())


def test_an_ensemble_of_several_is_as_repeatable_as_one_of_seeds() -> None:
    networks = [small("gru").set_params(random_state=None), small("rnn").set_params(random_state=9)]
    members = EnsembleForecaster(networks, random_state=5).fit(wave()).members_
    assert [member.random_state for member in members] == [5, 9]


def test_labelled_sequences_are_for_a_classifier() -> None:
    with pytest.raises(DataError, match=r"^X must have rows of one length: they have 2 to 4 steps; series, and the"):
        GRUForecaster().fit([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0]], ["rest", "wave"])


@pytest.mark.sample(5)
@pytest.mark.parametrize("validation", [0.15, 0.3, None, 12])
@pytest.mark.parametrize("window", ["auto", 1, 20, 52])
def test_the_horizon_of_a_remedy_is_the_largest_that_is_accepted(validation: float | int | None, window: Any) -> None:
    panel = Panel.from_array(wave(90), season_length=1)

    def refused(horizon: int) -> str:
        try:
            GRUForecaster(window=window, horizon=horizon, validation=validation, max_epochs=0).fit(panel)
        except DataError as error:
            return str(error)
        return ""

    for horizon in (30, 50, 89):
        named = re.search(r"^window \+ horizon.*horizon <= (\d+)", refused(horizon))
        if named:
            assert not refused(int(named[1]))
            assert refused(int(named[1]) + 1)


@pytest.mark.parametrize("rows", [["abc", "de"], ["abc", "def"], ("abc", "de")])
def test_rows_of_text_are_refused_as_text(rows: Any) -> None:
    with pytest.raises(ValueError, match="could not convert string to float: 'abc'"):
        GRUForecaster().fit(rows, ["a", "b"])
