"""A monitor of losses is rarely wrong, however often one looks; it finds skill, and its loss; its state is JSON."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate

from tsforecast import DataError, Monitor
from tsforecast.evaluation import monitor as module
from tsforecast.evaluation.monitor import (
    PRIOR,
    block_lengths,
    confidence_sequence,
    log_e_values,
    log_evidence,
    measured,
)

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(name="bench")
def simulations(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("monitoring")


def streams(count: int, skill: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.gamma(9, 1 - skill, count), random.gamma(9, 1.0, count)


def ever_false(bench: Any, coefficient: float, kind: str = "normal", streams: int = 300, steps: int = 300) -> float:
    drawn = bench.differences(kind, coefficient, 1, steps, streams, seed=0)
    return float((bench.first_claims(*bench.losses(drawn))[0] <= steps).mean())


@pytest.mark.parametrize(
    ("coefficient", "kind"),
    [
        (0.8, "normal"),
        *(pytest.param(*case, marks=pytest.mark.thorough) for case in [(0.0, "t4"), (0.5, "volatile"), (0.8, "t4")]),
    ],
)
def test_a_model_without_skill_is_ever_claimed_to_differ_in_at_most_five_percent(
    bench: Any, coefficient: float, kind: str
) -> None:
    assert ever_false(bench, coefficient, kind) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_without_blocks_losses_with_memory_are_claimed_to_differ_far_more_often(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "block_lengths", lambda differences, count: np.ones(len(differences), dtype=int))
    assert ever_false(bench, 0.8) > 0.3


def test_the_simulation_of_many_streams_claims_what_a_monitor_claims_after_each_loss(bench: Any) -> None:
    own, other = bench.losses(bench.differences("t4", 0.5, 1, 80, 4, 2) + 4.0)
    when, better = bench.first_claims(own, other)
    for i in range(4):
        values = [np.exp(log_e_values(own[i, :n], other[i, :n], 0.0)[0]) for n in range(1, 81)]
        assert next((n for n, value in enumerate(values, 1) if value >= 20), 81) == when[i]
    assert better[when <= 80].all()
    assert (when <= 80).any()


def test_the_committed_rows_keep_what_is_promised() -> None:
    rows = [json.loads(line) for line in (BENCHMARKS / "results" / "monitoring.jsonl").read_text().splitlines()]
    false = [row for row in rows if row["measured"] == "ever false"]
    assert {(row["horizon"], row["coefficient"]) for row in false} >= {
        (h, r) for h in (1, 7, 24) for r in (0, 0.5, 0.8)
    }
    error = math.sqrt(0.05 * 0.95 / min(row["simulations"] for row in false))
    assert max(row["ever_false"] for row in false) <= 0.05 + 2 * error
    stays = [row for row in rows if "fallen" in row["measured"] and row["fell_after"] is None]
    assert max(row["found"] for row in stays) <= 0.05


@pytest.mark.thorough
def test_the_e_value_is_the_ratio_of_integrals_over_the_prior() -> None:
    sums = np.array([0.7, -0.2, 1.4, 0.9, 0.3])

    def likelihood(scale: float, ratio: float) -> float:  # of a normal stream; scale is the log of its deviation
        deviation = math.exp(scale)
        return math.exp(-((sums - ratio * deviation) ** 2).sum() / 2 / deviation**2 - len(sums) * scale)

    def weighed(scale: float, ratio: float) -> float:
        return likelihood(scale, ratio) * math.sqrt(PRIOR / 2 / math.pi) * math.exp(-PRIOR * ratio**2 / 2)

    above = integrate.dblquad(weighed, -2, 2, -3, 3, epsrel=1e-7)[0]
    below = integrate.quad(likelihood, -3, 3, args=(0.0,))[0]
    assert log_evidence(sums.sum(), (sums**2).sum(), len(sums), 1) == pytest.approx(math.log(above / below), rel=1e-6)


def test_the_ends_of_the_confidence_sequence_are_where_the_e_value_reaches_its_limit() -> None:
    own, other = streams(150, 0.2)
    for level in (0.05, 0.01):
        ends = confidence_sequence(own, other, level)
        assert np.exp(log_e_values(own, other, ends)) == pytest.approx([1 / level] * 2)
        assert np.exp(log_e_values(own, other, np.linspace(*ends, 9)[1:-1])).max() < 1 / level


def test_units_of_losses_do_not_matter() -> None:
    own, other = streams(100, 0.2)
    claims = []
    for unit in (1.0, 1e-9, 1e9):
        monitor = Monitor()
        monitor.update(unit * own, unit * other)
        claims.append(monitor.claim)
    assert claims[1].e_value == pytest.approx(claims[0].e_value)
    assert [claims[2].low, claims[2].high] == pytest.approx([claims[0].low, claims[0].high])


def test_memory_makes_blocks_longer_and_is_measured_anew_as_the_stream_grows() -> None:
    random = np.random.default_rng(0)
    white = random.standard_normal(400)
    slow = np.convolve(white, 0.8 ** np.arange(60))[:400]
    assert block_lengths(np.stack([white, slow]), 400).tolist() == [16, 64]  # 400 / 32, and 20 * 0.8 / (1 - 0.8²) = 44
    assert [measured(count) for count in (0, 7, 8, 9, 10, 12, 13, 16, 17)] == [0, 0, 8, 8, 10, 10, 13, 13, 17]


@pytest.mark.thorough
def test_losses_one_at_a_time_and_all_at_once_end_in_the_same_state() -> None:
    own, other = streams(120, 0.4)
    more = streams(120, 0.0, seed=1)
    own, other = np.concatenate([own, more[0]]), np.concatenate([other, more[1]])
    daily, once = Monitor(), Monitor()
    fell = [daily.update(*pair) for pair in zip(own, other, strict=True)]
    assert once.update(own, other)
    assert daily == once
    assert fell.index(True) < 208
    assert sum(fell) == 1
    assert 112 <= once.starts[1] <= 144
    assert once.before is not None
    assert once.before.outcome == "better"
    assert once.claim.outcome == "inconclusive"
    assert once.claim.count == 240 - once.starts[1]


@pytest.mark.parametrize(("skill", "outcome"), [(0.3, "better"), (-0.3, "worse"), (0.0, "inconclusive")])
def test_claims_in_words(skill: float, outcome: str) -> None:
    monitor = Monitor()
    assert not monitor.update(*streams(96, skill))
    claim = monitor.claim
    assert claim.outcome == outcome
    assert (claim.low > 0, claim.high < 0) == (outcome == "better", outcome == "worse")
    words = {"better": "gru is better than naive: ", "worse": "gru is worse than naive: "}
    sentence = claim.sentence("gru", "naive")
    assert sentence.startswith(words.get(outcome, "gru is inconclusive compared with naive: "))
    assert sentence.endswith(f" in 96 losses; e-value {claim.e_value:.3g}, and a claim needs 20")


def test_few_losses_equal_ones_and_none_claim_nothing() -> None:
    monitor = Monitor()
    assert (
        monitor.claim.sentence()
        == "the model is inconclusive compared with the reference: 0 losses; a claim needs at least 8"
    )
    monitor.update([1.0] * 7, [2.0] * 7)
    assert (monitor.claim.outcome, monitor.claim.e_value, monitor.claim.skill) == ("inconclusive", 1.0, 0.5)
    same = Monitor([1.0] * 99, [1.0] * 99)
    assert same.claim.outcome == "inconclusive"
    assert same.claim.e_value < 1
    flat = Monitor([0.0] * 50, [0.0] * 50)
    assert (flat.claim.outcome, math.isnan(flat.claim.skill)) == ("inconclusive", True)


@pytest.mark.parametrize(
    ("own", "other", "sentence"),
    [
        ([1.0, -1.0], [1.0, 1.0], "model_losses must be finite numbers >= 0: got -1.0 at position 1"),
        ([1.0], [np.nan], "reference_losses must be finite numbers >= 0: got nan at position 0"),
        ([1.0], [1.0, 2.0], "losses of model and reference must be as many, in one dimension: got [(1,), (2,)]"),
    ],
)
def test_losses_that_cannot_be_are_refused_and_none_is_taken(own: Any, other: Any, sentence: str) -> None:
    monitor = Monitor([1.0], [1.0])
    with pytest.raises(DataError) as error:
        monitor.update(own, other)
    assert str(error.value) == sentence
    assert monitor == Monitor([1.0], [1.0])


def test_a_state_is_read_as_it_was_written_and_another_one_is_refused(tmp_path: Path) -> None:
    monitor = Monitor()
    monitor.update(*streams(30, 0.1))
    monitor.to_json(tmp_path / "state.json")
    assert Monitor.from_json(tmp_path / "state.json") == monitor
    for text, why in [
        ('{"model_losses": [1.0, "a"]}', "model_losses.1: Input should be a valid number"),
        ('{"starts": [0, 3]}', "starts must rise from 0 to at most 0"),
        ("", "it: Invalid JSON"),
    ]:
        (tmp_path / "wrong.json").write_text(text)
        with pytest.raises(DataError) as error:
            Monitor.from_json(tmp_path / "wrong.json")
        assert why in str(error.value)
        assert "wrong.json" in str(error.value)
    with pytest.raises(DataError, match="No such file"):
        Monitor.from_json(tmp_path / "none.json")
    assert module.LEVEL == 0.05
