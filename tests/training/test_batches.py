"""Labelled recordings come in batches of similar length, varied in ways that keep what they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsforecast.training.batches import Augmentation, SequenceDataset

LENGTHS = np.random.default_rng(0).integers(3, 40, size=100)
OFFSETS = np.cumsum([0, *LENGTHS])
VALUES = np.random.default_rng(1).normal(size=(OFFSETS[-1], 3))
LABELS = np.arange(100) % 4


def recordings(augmentation: Augmentation | None = None) -> SequenceDataset:
    return SequenceDataset(VALUES, OFFSETS, LABELS, augmentation=augmentation)


def test_a_batch_holds_each_recording_and_zeros_after_its_end() -> None:
    index = torch.tensor([7, 3, 99, 3])
    batch = recordings().batch(index)
    assert batch.truth.tolist() == [3, 3, 3, 3]
    for row, i in enumerate(index.tolist()):
        expected = np.zeros(batch.steps.shape[1:])
        expected[: LENGTHS[i]] = VALUES[OFFSETS[i] : OFFSETS[i + 1]]
        assert np.allclose(batch.steps[row], expected)
    assert batch.lengths.tolist() == LENGTHS[index].tolist()
    assert recordings().batch(torch.tensor([5, 5])).lengths is None  # nothing is padded


def test_each_recording_is_visited_once_in_an_epoch_with_others_of_similar_length() -> None:
    torch.manual_seed(0)
    batches = recordings().shuffled(8, 13)
    assert sorted(torch.cat(batches).tolist()) == list(range(100))
    assert len(batches) == 13
    padding = sum(LENGTHS[batch].max() * len(batch) for batch in batches) / LENGTHS.sum()
    unsorted = sum(
        LENGTHS[part].max() * len(part) for part in np.array_split(np.random.default_rng(0).permutation(100), 13)
    )
    assert padding < 1.25 < unsorted / LENGTHS.sum()
    assert not torch.equal(torch.cat(batches), torch.cat(recordings().shuffled(8, 13)))
    assert [len(batch) for batch in recordings().shuffled(8, 2)] == [8, 8]


@pytest.mark.parametrize("part", ["jitter", "scale", "time_warp", "rotation", "crop"])
def test_each_part_changes_recordings_and_keeps_what_follows_them_zero(part: str) -> None:
    torch.manual_seed(0)
    index = torch.arange(20)
    plain = recordings().batch(index)
    varied = recordings(Augmentation(**{part: 20.0 if part == "rotation" else 0.3})).batch(index)
    assert varied.steps.shape[1] != plain.steps.shape[1] or not torch.allclose(varied.steps, plain.steps)
    assert varied.lengths.min() >= 1
    for row, length in enumerate(varied.lengths.tolist()):
        assert (varied.steps[row, length:] == 0).all()
        assert (varied.steps[row, :length].abs().sum(dim=1) > 0).all()
    if part not in ("time_warp", "crop"):
        assert torch.equal(varied.lengths, plain.lengths)
    again = recordings(Augmentation(**{part: 0.0})).batch(index)
    assert torch.equal(again.steps, plain.steps)


def test_a_rotation_keeps_the_length_of_vectors_in_the_units_of_the_data() -> None:
    torch.manual_seed(0)
    location, scale = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 2.0, 4.0])
    own = torch.randn(5, 9, 3)
    turned, *_ = Augmentation(rotation=30.0, data_scale=(location, scale))(
        (own - location) / scale, torch.full((5,), 9)
    )
    back = turned * scale + location
    assert torch.allclose(back.norm(dim=2), own.norm(dim=2), rtol=1e-4)
    assert not torch.allclose(back, own, atol=0.1)
    gram, turned_gram = own @ own.transpose(1, 2), back @ back.transpose(1, 2)
    assert torch.allclose(gram, turned_gram, atol=1e-4)  # all steps of a recording are turned alike


def test_a_crop_is_a_piece_of_the_recording_and_a_warp_keeps_its_ends_and_order() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(30.0).expand(50, -1)[..., None] + 1
    cropped, lengths, _ = Augmentation(crop=0.5)(ramp, torch.full((50,), 30))
    assert lengths.min() >= 15
    assert len(set(cropped[:, 0, 0].tolist())) > 1
    for row, length in enumerate(lengths.tolist()):
        assert torch.allclose(cropped[row, :length, 0].diff(), torch.ones(length - 1), atol=1e-4)
    warped, lengths, _ = Augmentation(time_warp=0.2)(ramp, torch.full((50,), 30))
    assert len(set(lengths.tolist())) > 5
    for row, length in enumerate(lengths.tolist()):
        assert warped[row, 0, 0] == 1
        assert warped[row, length - 1, 0] == pytest.approx(30, abs=1e-3)
        assert (warped[row, :length, 0].diff() > 0).all()
