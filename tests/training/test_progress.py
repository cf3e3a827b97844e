"""Epochs are shown whole at a terminal, and logged elsewhere."""

from __future__ import annotations

import io
import logging

import pytest
import rich
from rich.console import Console

from tsforecast.training.history import Epoch, show_epochs

EPOCH = Epoch(100, 0.25, 0.5, 0.001, 1.2, skill=-0.105)


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> str:
    """Return what a fit of that epoch writes in 80 columns."""
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=terminal, force_jupyter=False, color_system=None)
    monkeypatch.setattr(rich, "_console", console)
    with show_epochs(1, 200, "Conv1DForecaster") as report:
        report(EPOCH)
    return text.getvalue()


def test_the_line_of_an_epoch_has_room_in_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, terminal=True)
    assert "epoch 100: train 0.2500, validation 0.5000, skill -10.5% ━━━━━" in text
    assert "…" not in text


def test_nothing_but_the_log_is_written_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="tsforecast"):
        assert shown(monkeypatch, terminal=False) == ""
    assert caplog.messages == ["Conv1DForecaster epoch 100: train 0.2500, validation 0.5000, skill -10.5%, rate 0.001"]
