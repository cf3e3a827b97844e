"""Sequences that hold the same numbers are found, whatever their names."""

from __future__ import annotations

import numpy as np
import pytest

from tsforecast.catalog.loaders import load_dataset
from tsforecast.data.samples import content, find_duplicates, is_ragged, read


def test_only_the_same_numbers_in_the_same_order_are_copies() -> None:
    one = np.arange(6.0).reshape(3, 2)
    others = [one.copy(), one[::-1], one[:2], one + 1e-12, np.vstack([one, one]), one.astype(np.float32), -one]
    panel = read([one, *others])
    found = find_duplicates(panel, np.arange(8), np.arange(8) % 2)
    assert [copies.places for copies in found] == [(0, 1, 6)]
    assert content(panel).tolist() == [0, 0, 1, 2, 3, 4, 0, 5]
    zero = read([np.zeros((2, 1)), np.array([[-0.0], [0.0]])])
    assert len(find_duplicates(zero, np.array(["a", "a"]))) == 1


def test_those_with_different_labels_come_first_and_are_said_to_be_wrong() -> None:
    panel = read([[1.0], [2.0], [1.0], [2.0], [2.0]])
    first, second = find_duplicates(panel, np.array(["a", "b", "a", "b", "c"]), np.array(["x", "x", "y", "x", "x"]))
    assert first.disagree
    assert first.sentence == (
        "recordings '1', '3', '4' are the same, but labelled 'b', 'b', 'c': one label must be wrong"
    )
    assert second.sentence == "recordings '0' and '2' are the same, of 'x' and 'y'"


@pytest.mark.usefixtures("data_folder")
def test_the_gestures_have_one_recording_with_two_labels() -> None:
    panel = load_dataset("smartwatch-gestures")
    (found,) = find_duplicates(panel, panel.statics["gesture"], panel.groups)
    assert (found.names, found.labels, found.groups) == (("U02/13/20", "U02/14/01"), ("13", "14"), ("U02", "U02"))


def test_recordings_are_given_one_by_one_or_as_rows_of_one_array() -> None:
    assert is_ragged([np.zeros((3, 2)), np.zeros((5, 2))])
    assert not is_ragged(np.zeros((4, 3)))
    assert not is_ragged([[1, 2], [3, 4]])
    panel = read([np.zeros((3, 2)), np.ones((5, 2))])
    assert repr(panel) == "Panel: 2 series x 3 to 5 steps, targets 'c0', 'c1', integer axis, season 1"
