"""Signature, docstring and checks of every network show the same parameters."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import subprocess
import sys
from itertools import takewhile
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from sklearn.base import clone

import tsforecast
from tsforecast.estimators.network import NetworkEstimator
from tsforecast.estimators.registry import CLASSES, MODEL_NAMES, estimator_class, make, model_name

CELLS = ("Neural", "RNN", "GRU", "LSTM", "Conv1D")
NETWORKS = [getattr(tsforecast, cell + kind) for cell in CELLS for kind in ("Forecaster", "Classifier")]


@pytest.mark.parametrize("cls", NETWORKS)
def test_every_parameter_has_type_default_and_explanation_in_signature_and_docstring(cls: type) -> None:
    parameters = inspect.signature(cls).parameters
    assert sorted(parameters) == cls._get_param_names() == sorted(cls().get_params())
    section = cls.__doc__.partition("Parameters\n----------\n")[2].partition("\n\n")[0].splitlines()
    described = {line.partition(" : ")[0]: i for i, line in enumerate(section) if not line.startswith(" ")}
    assert list(described) == list(parameters)
    for name, parameter in parameters.items():
        assert parameter.annotation not in (inspect.Parameter.empty, "")
        assert not isinstance(parameter.annotation, str)
        assert section[described[name]].endswith(f", default {parameter.default!r}")
        assert section[described[name] + 1].startswith("    ")
        assert parameter.default == getattr(cls(), name)
        assert parameter.kind is (parameter.POSITIONAL_OR_KEYWORD if name == "cell" else parameter.KEYWORD_ONLY)


@pytest.mark.parametrize("name", CLASSES)
def test_help_lists_the_parameters_of_the_signature_with_an_explanation(name: str) -> None:
    cls = estimator_class(name)
    section = inspect.cleandoc(cls.__doc__).partition("Parameters\n----------\n")[2].partition("\n\n")[0].splitlines()
    described = [i for i, line in enumerate(section) if not line.startswith(" ")]
    assert [section[i].partition(" : ")[0] for i in described] == list(inspect.signature(cls).parameters)
    assert all(section[i + 1].startswith("    ") for i in described)


ANCHOR = 'anchor : {"auto", "last", "seasonal", "average", "none"} or sequence of int, default \'auto\''
KEPT = "Whether a later past of a fitted series is {} with the estimated {}, or they are estimated again{}."


@pytest.mark.parametrize(
    ("name", "line", "explained"),
    [
        ("RaySearch", 'searcher : {"tpe", "gp", "random", "grid", "bohb", "hyperopt"}, default \'tpe\'', ""),
        ("RaySearch", 'scheduler : {"auto", "asha", "hyperband", "median", "pbt", "none"}, default \'auto\'', ""),
        (
            "RaySearch",
            'metric : {"skill", "mase", "mae", "rmse", "smape", "rmsse", "crps", "error", "log_loss"}, '
            "default 'skill'",
            "",
        ),
        ("EnsembleForecaster", "forecasters : Forecaster, sequence of Forecaster or None, default None", ""),
        ("GRUForecaster", ANCHOR, ""),
        ("GRUClassifier", 'norm : {"layer", "batch"} or None, default None', ""),
        ("GRUClassifier", "max_epochs : int or \"auto\", default 'auto'", ""),
        ("GRUClassifier", 'augment : dict of str to float, {"motion", "wearable"} or None, default None', ""),
        ("GRUForecaster", "horizon : int, default 1", "Steps to forecast (H), all at once."),
        ("ReductionForecaster", "horizon : int, default 1", "Steps to forecast (H), in the way of the `strategy`."),
        (
            "ARIMAForecaster",
            "season_length : int or None, default None",
            "Steps in one season; taken from the data unless given. Seasons of more than 52 steps are differenced but "
            "get no coefficients of their own unless `seasonal_order` asks for them.",
        ),
        (
            "ARIMAForecaster",
            'parameters : {"keep", "refit"}, default \'keep\'',
            KEPT.format("filtered", "parameters", ", with the chosen orders"),
        ),
        (
            "ThetaForecaster",
            'parameters : {"keep", "refit"}, default \'keep\'',
            KEPT.format("smoothed", "parameter, slope and season", ""),
        ),
    ],
)
def test_help_shows_the_choices_of_a_parameter_and_the_words_of_its_model(name: str, line: str, explained: str) -> None:
    section = inspect.cleandoc(estimator_class(name).__doc__ or "").splitlines()
    assert line in section
    words = takewhile(lambda text: text.startswith("    "), section[section.index(line) + 1 :])
    assert explained in ("", " ".join(text.strip() for text in words))


@pytest.mark.parametrize(("classifies", "metric"), [(False, "error"), (False, "maee"), (True, "mase"), (True, "eror")])
def test_a_search_refuses_the_metric_of_another_kind_of_model_once(classifies: bool, metric: str) -> None:
    model = tsforecast.GRUClassifier() if classifies else tsforecast.GRUForecaster()
    search = tsforecast.RaySearch(model, {"units": [4]}, metric=metric)  # type: ignore[arg-type]
    (problem,) = search._problems()
    known = "'skill', 'error', 'log_loss'" if classifies else "'skill', 'mase', 'mae', 'rmse', 'smape', 'rmsse', 'crps'"
    assert problem.startswith(f"metric must be one of {known}: got {metric!r}")


def test_the_command_line_knows_every_forecaster_by_one_name() -> None:
    assert {name: model_name(make(name)) for name in MODEL_NAMES} == {name: name for name in MODEL_NAMES}
    assert [type(make(name)).__name__ for name in MODEL_NAMES] == [
        "NaiveForecaster",
        "SeasonalNaiveForecaster",
        "DriftForecaster",
        "MeanForecaster",
        "WindowAverageForecaster",
        "AnchorForecaster",
        "ETSForecaster",
        "ARIMAForecaster",
        "ThetaForecaster",
        "HoltWintersForecaster",
        "CrostonForecaster",
        "SBAForecaster",
        "TSBForecaster",
        "ReductionForecaster",
        "RNNForecaster",
        "GRUForecaster",
        "LSTMForecaster",
        "Conv1DForecaster",
    ]


def test_a_configuration_takes_settings_and_no_other_attribute() -> None:
    @dataclasses.dataclass
    class Configuration:
        units: int
        golden: int = 3  # a method of every estimator

    assert tsforecast.GRUForecaster(units=8)._made(Configuration) == Configuration(8, 3)


@pytest.mark.parametrize("name", CLASSES)
def test_a_cell_is_refused_with_the_class_that_takes_it_or_as_no_setting(name: str) -> None:
    cls = estimator_class(name)
    if "cell" in inspect.signature(cls).parameters:
        return
    words = f"has the cell '{cls.cell}'; use Neural" if hasattr(cls, "cell") else "has no setting 'cell'; "
    with pytest.raises(TypeError, match=rf"^{name} {words}"):
        cls(cell="gru")


@pytest.mark.parametrize("cls", NETWORKS)
def test_options_in_a_type_are_those_that_the_check_takes(cls: type) -> None:
    for name, hint in get_type_hints(cls).items():
        options = (
            [hint] if get_origin(hint) is Literal else [part for part in get_args(hint) if get_origin(part) is Literal]
        )
        for option in [value for part in options for value in get_args(part)]:
            if name in cls._get_param_names() and not (name == "cell" and option == "conv1d"):
                model = cls(**{name: option})
                assert not [problem for problem in model._problems() if problem.startswith(f"{name} ")], (name, option)
        if options:
            wrong = cls()
            setattr(wrong, name, "nonsense")
            assert [problem for problem in wrong._problems() if problem.startswith(f"{name} ")], name


def test_shared_settings_are_declared_once() -> None:
    shared = {field.name for field in dataclasses.fields(NetworkEstimator) if field.init}
    assert len(shared) == 27
    for cls in NETWORKS:
        assert shared - {"cell"} <= set(inspect.signature(cls).parameters)


def test_a_network_by_name_is_cloned_and_pickled_with_its_settings() -> None:
    for cls in NETWORKS:
        model = cls(units=7, dropout=0.25)
        for copy in (clone(model), pickle.loads(pickle.dumps(model))):
            assert copy.get_params() == model.get_params()
            assert copy.cell == model.cell
            assert repr(copy) == repr(model)


def test_a_subclass_may_have_parameters_of_its_own() -> None:
    class Small(tsforecast.GRUForecaster):
        def __init__(self, width: int = 4) -> None:
            super().__init__(units=width, max_epochs=1)
            self.width = width

    assert Small(3).get_params() == {"width": 3}
    assert clone(Small(3)).units == 3


@pytest.mark.thorough
def test_help_shows_every_parameter() -> None:
    code = "import tsforecast; help(tsforecast.GRUForecaster)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in tsforecast.GRUForecaster._get_param_names():
        assert f"{name} : " in shown
