"""The sealed test part: nobody sees it before it is opened, and every opening is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from tsforecast.checks import share_or_count
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, raise_any


class SealedPanel:
    """A panel without its last steps, and those under a seal.

    What takes data (`fit`, `leaderboard`, a search) sees `train` alone. `open` gives the whole panel, with a note of
    how often it was opened, that a leaderboard repeats: a test part that was looked at many times proves little.

    Parameters
    ----------
    panel : Panel
    test : int or float
        Steps, or share of the steps, at the end of the clock that all series share.

    Attributes
    ----------
    train : Panel
        The rows before the test part.
    test : int
        Steps of the test part.
    opened : int
        How often it was opened.
    fingerprint : str
        SHA-256 of ids and numbers of the test part.

    Raises
    ------
    ParameterError, DataError

    Examples
    --------
    >>> sealed = Panel.of([float(step) for step in range(10)]).seal(test=3)
    >>> sealed.train.lengths.tolist(), sealed.opened
    ([7], 0)
    >>> sealed.open().notes[0][:48]
    'test part (the last 3 steps) opened 1 time; sha2'
    """

    def __init__(self, panel: Panel, test: int | float) -> None:
        raise_any(share_or_count("test", test), ParameterError)
        self.test = max(1, round(test * panel.clock_end)) if isinstance(test, float) else int(test)
        if self.test >= panel.clock_end:
            raise DataError(
                f"the test part must leave steps to learn from: takes {self.test} of {panel.clock_end}; use test < "
                f"{panel.clock_end}"
            )
        seen = panel.seen(panel.clock_end - self.test)
        self.train = panel.until(seen)
        self.opened = 0
        tail = panel.between(seen, panel.lengths)
        self.fingerprint = hashlib.sha256(repr(tail.ids.tolist()).encode() + tail.values.tobytes()).hexdigest()
        self._open: Callable[[], Panel] = lambda: panel  # a function: no attribute leads to the rows by accident

    def open(self) -> Panel:
        """Return the whole panel, and count that."""
        self.opened += 1
        times = "1 time" if self.opened == 1 else f"{self.opened} times"
        note = f"test part (the last {self.test} steps) opened {times}; sha256 {self.fingerprint[:12]}"
        whole = self._open()
        return replace(whole, notes=(*whole.notes, note))

    def __repr__(self) -> str:
        return (
            f"SealedPanel: {len(self.train)} series, the last {self.test} steps sealed (sha256 "
            f"{self.fingerprint[:12]}), opened {self.opened} times"
        )
