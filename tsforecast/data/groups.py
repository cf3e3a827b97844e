"""Splitters that keep groups apart: what is learned from one group is tested on another.

They are scikit-learn's own, and take a panel as well as arrays with ``groups``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import model_selection

from tsforecast.checks import whole
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError, ParameterError, raise_any


class _PanelGroups:
    """Take the groups, and the positions to split, from a panel."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield train and test positions: of the series of a panel, or of the rows of an array.

        Parameters
        ----------
        X : Panel or array
        y : ignored
        groups : array of shape (rows,)
            Group of each row of an array; a panel brings its own.

        Raises
        ------
        DataError
            When there are no groups, or too few.
        """
        rows, groups = self._checked(X, groups)
        yield from super().split(rows, y, groups)  # type: ignore[misc]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return how many pairs `split` yields for the same data."""
        rows, groups = self._checked(X, groups)
        return int(super().get_n_splits(rows, y, groups))  # type: ignore[misc]

    def _checked(self, X: Any, groups: Any) -> tuple[Any, NDArray[Any]]:
        """Return something with one row for each group label, and the labels."""
        if isinstance(X, Panel):
            if X.groups is None:
                raise DataError("a panel must have groups to be split by them: name the column with group=...")
            X, groups = np.zeros(len(X)), X.groups
        if groups is None:
            raise DataError("rows must have groups to be split by them: pass groups=..., one label for each row")
        labels = np.asarray(groups)
        found, least = len(set(labels.tolist())), self._least()
        if found < least:
            raise DataError(f"{self!r} needs at least {least} groups: the data have {found}")
        return X, labels

    def _least(self) -> int:
        raise NotImplementedError


class LeaveGroupsOut(_PanelGroups, model_selection.LeavePGroupsOut):  # type: ignore[misc]
    """Test on each group, or each combination of `n_groups` groups, and learn from all others.

    Examples
    --------
    >>> users = ["ann", "ann", "bob", "cem"]
    >>> for train, test in LeaveGroupsOut().split(range(4), groups=users):
    ...     print(train.tolist(), test.tolist())
    [2, 3] [0, 1]
    [0, 1, 3] [2]
    [0, 1, 2] [3]
    >>> LeaveGroupsOut()
    LeaveGroupsOut: 1 group tested at a time
    """

    def __init__(self, n_groups: int = 1) -> None:
        raise_any(whole("n_groups", n_groups, 1), ParameterError)
        super().__init__(n_groups=n_groups)

    def _least(self) -> int:
        return int(self.n_groups) + 1  # one of them to learn from

    def __repr__(self) -> str:
        word = "group" if self.n_groups == 1 else "groups"
        return f"LeaveGroupsOut: {self.n_groups} {word} tested at a time"


class GroupKFold(_PanelGroups, model_selection.GroupKFold):  # type: ignore[misc]
    """Test on `n_splits` parts of about equal size, each with whole groups.

    Examples
    --------
    >>> for train, test in GroupKFold(2).split(range(4), groups=["ann", "ann", "bob", "cem"]):
    ...     print(train.tolist(), test.tolist())
    [2, 3] [0, 1]
    [0, 1] [2, 3]
    """

    def __init__(self, n_splits: int = 5) -> None:
        raise_any(whole("n_splits", n_splits, 2), ParameterError)
        super().__init__(n_splits=n_splits)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of parts; with data also make sure that there are as many groups."""
        if X is not None or groups is not None:
            self._checked(X, groups)
        return int(self.n_splits)

    def _least(self) -> int:
        return int(self.n_splits)

    def __repr__(self) -> str:
        return f"GroupKFold: {self.n_splits} parts with whole groups, each tested once"


def sides(
    panel: Panel, groups: LeaveGroupsOut | GroupKFold | None = None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return pairs of the series to learn from and the series to test on: apart where the panel has groups."""
    if panel.groups is None and groups is None:
        everyone = np.arange(len(panel))
        return [(everyone, everyone)]
    return list((groups or LeaveGroupsOut()).split(panel))
