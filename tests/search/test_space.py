"""The space is plain data: read, counted, drawn from, and refused with all that is wrong at once."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.helpers.forecasters import wave
from tsforecast.data.panel import Panel
from tsforecast.errors import ParameterError
from tsforecast.forecasters.neural import GRUForecaster, NeuralForecaster
from tsforecast.search.space import Range, Space, log

PANEL = Panel.from_array(wave(90), season_length=6)


def test_lists_are_choices_and_pairs_are_ranges_of_whole_or_other_numbers() -> None:
    space = Space.of({"units": [8, 16], "layers": (1, 3), "dropout": (0, 0.5), "learning_rate": log(1e-4, 1e-1)})
    assert space.domains == {
        "units": [8, 16],
        "layers": Range(1, 3, whole=True),
        "dropout": Range(0, 0.5),
        "learning_rate": Range(1e-4, 1e-1, log=True),
    }
    random = np.random.default_rng(0)
    drawn = [space.draw(random) for _ in range(300)]
    assert {one["layers"] for one in drawn} == {1, 2, 3}
    assert {type(one["layers"]) for one in drawn} == {int}
    assert 0 <= min(one["dropout"] for one in drawn) < 0.02 < 0.48 < max(one["dropout"] for one in drawn) <= 0.5
    assert np.median([one["learning_rate"] for one in drawn]) == pytest.approx(10**-2.5, rel=0.3)


def test_settings_that_a_cell_does_not_have_are_no_combinations_of_their_own() -> None:
    space = Space.of({"cell": ["gru", "conv1d"], "kernel_size": [2, 3, 4], "units": [8, 16]})
    assert space.size == 2 + 2 * 3
    assert len(list(space.grid())) == 8
    assert space.describe(2) == "8 combinations; 2 trials see at most 25 %"
    assert space.active({"cell": "gru", "kernel_size": 3, "units": 8}) == {"cell": "gru", "units": 8}
    free = Space.of({"units": [8, 16], "dropout": (0.0, 0.5)})
    assert math.isinf(free.size)
    assert free.describe(5) == "any number for dropout: 2 combinations of the others; 5 trials"


def test_a_code_is_read_back_as_it_was_written() -> None:
    space = Space.of({"anchor": ["last", (6, 12)], "layers": (1, 3), "window": ["2 seasons", 9]}, season_length=6)
    for settings in space.grid():
        assert space.decode(space.encode(settings)) == settings
    assert space.encode({"anchor": (6, 12), "layers": 2}) == {"anchor": 1, "layers": 2}
    assert space.settings({"window": "2 seasons", "layers": 2}) == {"window": 12, "layers": 2}


def test_everything_that_is_wrong_with_a_space_is_reported_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        Space.of({"units": [], "layers": (3, 1), "dropout": "low", "learning_rate": log(0, 1)})
    assert [problem.split(" must")[0] for problem in caught.value.problems] == [
        "space of 'units'",
        "range of 'layers'",
        "space of 'dropout'",
        "range of 'learning_rate'",
    ]
    with pytest.raises(ParameterError, match="space must name at least one setting"):
        Space.of({})
    wrong = Space.of({"units": [8, 0], "cell": ["gru", "grru"], "window": ["20 seasons", 12], "dropout": (0.1, 1.5)}, 6)
    problems = wrong.problems(NeuralForecaster(), longest=70)
    assert [problem.split(" must")[0] for problem in problems] == [
        "units",
        "cell",
        "dropout",
        "window 120 of the space",
    ]
    assert "the longest series has room for 70 steps; leave out windows above 70" in problems[-1]
    unknown = Space.of({"unit": [8], "cell": ["gru"]}).problems(GRUForecaster(), 70)
    assert unknown[0] == "GRUForecaster has no setting 'unit'; did you mean 'units'?"
    with pytest.raises(ParameterError) as caught:
        Space.of({"unit": [8], "layers": (3, 1), "dropout": [2.0]}, 1, GRUForecaster(), 70)
    assert [problem.split(" must")[0] for problem in caught.value.problems][::2] == ["range of 'layers'", "dropout"]
    assert len(caught.value.problems) == 3
    assert "no setting 'cell'" in unknown[1]


def test_a_space_is_stored_as_plain_data_and_starts_at_own_settings() -> None:
    space = Space.of({"units": [8, 16], "anchor": ["last", (6, 12)], "layers": (1, 3), "dropout": (0.1, 0.5)})
    plain = space.plain()
    assert plain["anchor"] == ["last", "(6, 12)"]
    assert Space.from_plain(plain, 1).domains["dropout"] == Range(0.1, 0.5)
    assert space.start({"units": 16, "dropout": 0.0}) == {"units": 16, "anchor": "last", "layers": 2, "dropout": 0.3}
