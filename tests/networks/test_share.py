"""The share of its corrections that a network keeps is learned on validation windows, and noise does not decide."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.forecasters import small, wave
from tsforecast import GRUForecaster, leaderboard, load, save
from tsforecast.data.context import Context
from tsforecast.networks.forecast import SHARES, _falling, _within_error
from tsforecast.networks.losses import QuantileLoss


def test_shares_that_do_not_rise_have_the_smallest_loss_of_all() -> None:
    random = np.random.default_rng(0)
    every = [np.array(pick)[::-1] for pick in combinations_with_replacement(range(5), 4)]
    for _ in range(20):
        losses = random.normal(size=(5, 4))
        found = _falling(losses)
        sums = [losses[pick, np.arange(4)].sum() for pick in every]
        assert found.tolist() == every[int(np.argmin(sums))].tolist()
    assert _falling(np.zeros((21, 3))).tolist() == [20] * 3  # nothing is corrected
    assert _falling(np.r_[[[1.0, np.nan]], np.full((20, 2), np.inf)]).tolist() == [0, 0]


def test_what_is_within_a_standard_error_of_the_best_is_taken_from_blocks() -> None:
    random, count = np.random.default_rng(0), np.ones(400)
    truth = 1 + random.normal(size=400)
    losses = (SHARES[:, None] - truth) ** 2  # of shares (S, n)
    alone = _within_error(losses, count, np.arange(400))
    excess = losses - losses[-1]
    error = excess.std(axis=1, ddof=1) / 20
    assert alone == SHARES[np.flatnonzero(excess.mean(axis=1) <= error)[0]]
    assert 0.5 < alone < 1
    repeated = _within_error(np.repeat(losses, 5, axis=1), np.ones(2_000), np.repeat(np.arange(400), 5))
    assert repeated == alone  # neighbours that overlap are no further observations
    assert _within_error(np.repeat(losses, 5, axis=1), np.ones(2_000), np.arange(2_000)) > alone
    assert _within_error(losses, count, np.zeros(400)) == 0  # of one block nothing is known
    assert _within_error(np.zeros((21, 9)), np.ones(9), np.arange(9)) == 1


def test_a_network_keeps_the_share_with_the_smallest_loss_on_validation_windows() -> None:
    model = small("gru").set_params(max_epochs=6, anchor="last").fit(wave(240))
    share = model.network_.share.double().numpy()
    assert model.resolved_["share"] == pytest.approx(share.mean(), abs=1e-3)
    assert np.all(np.diff(share) <= 1e-6)
    trains = int(model.learned_rows()[0])
    cutoffs = np.arange(trains, 240 - 2)
    past = Context(model.panel_, np.zeros_like(cutoffs), cutoffs)
    truth = np.log(wave(240)[cutoffs[:, None] + np.arange(3)])
    losses = []
    for one in SHARES:
        model.network_.share.fill_(one)
        losses.append(np.abs(np.log(model.forecast(past, 3)[..., 0]) - truth).mean(axis=0))
    best = SHARES[_falling(np.array(losses))]
    assert np.all((best / 2 - 1e-6 <= share) & (share <= best + 1e-6))


def test_the_share_multiplies_corrections_of_levels_alone() -> None:
    loss = QuantileLoss([0.1, 0.5, 0.9])
    for settings in (
        {"loss": "normal"},
        {"loss": loss},
        {"anchor": (6, 12)},
        {"anchor": "none", "instance_norm": True},
    ):
        model = small("gru").set_params(max_epochs=3, **{"anchor": "last"} | settings).fit(wave(120))
        network, past = model.network_, torch.from_numpy(np.random.default_rng(0).normal(size=(4, 12, 1))).float()
        ends = []
        for share in (0.0, 0.5, 1.0):
            network.share.fill_(share)
            ends.append([network(past, add_anchor=added).detach() for added in (True, False)])
        for none, half, full in zip(*ends, strict=True):
            assert not torch.equal(none, full)
            assert torch.allclose(half[..., : network.levels], (none + full)[..., : network.levels] / 2, atol=1e-6)
            assert torch.equal(none[..., network.levels :], full[..., network.levels :])
        if "loss" in settings:
            network.share.fill_(0.3)
            found = model.predict(quantiles=(0.05, 0.1, 0.5, 0.9, 0.95))[..., 1:]
            assert np.all(np.diff(found, axis=-1) >= 0)


def test_an_untrained_network_and_one_without_validation_keep_all_and_older_models_load(tmp_path: Any) -> None:
    for settings in ({"max_epochs": 0}, {"validation": None}):
        model = small("gru").set_params(**settings).fit(wave(120))
        assert model.resolved_["share"] == 1
        assert torch.equal(model.network_.share, torch.ones(3))
    tuned = small("gru").set_params(max_epochs=4).fit(wave(120))
    tuned.network_.share.fill_(0.25)
    again = tuned.fine_tune(wave(120), max_epochs=0)
    assert not torch.equal(again.network_.share, tuned.network_.share)  # learned again
    save(tuned, tmp_path / "model")
    assert torch.equal(load(tmp_path / "model").network_.share, tuned.network_.share)
    plain, arrays = tuned.get_state()
    del arrays["network.share"], plain["resolved_"]["share"]
    tuned.set_state(plain, arrays)
    assert torch.equal(tuned.network_.share, torch.ones(3))


def test_a_board_states_that_a_network_fell_back_to_the_naive_forecast() -> None:
    walk = np.cumsum(np.random.default_rng(2).normal(size=150))
    idle = GRUForecaster(units=2, window=10, max_epochs=0)
    board = leaderboard({"idle": idle, "taught": small("gru")}, walk, horizon=2, origins=2, audit=None)
    notes = [note for note in board.notes if "idle" in note]
    assert len(notes) == 1
    assert notes[0].startswith(
        "idle: nothing better than the naive forecast was found: it is that (last); more history"
    )
