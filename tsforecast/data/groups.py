"""Splitters that keep groups apart: what is learned from one group is tested on another.

They are scikit-learn's own, and take a panel as well as arrays with ``groups``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import model_selection

from tsforecast.data.panel import Panel
from tsforecast.errors import DataError


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
            When a panel has no group column, or too few groups.
        """
        if isinstance(X, Panel):
            if X.groups is None:
                raise DataError("a panel must have groups to be split by them: name the column with group=...")
            X, groups = np.zeros(len(X)), X.groups
        try:
            yield from super().split(X, y, groups)  # type: ignore[misc]
        except ValueError as error:
            count = 0 if groups is None else len(set(np.asarray(groups).tolist()))
            raise DataError(f"groups must be enough to be split: got {count}; {error}") from error


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
        super().__init__(n_groups=n_groups)

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
        super().__init__(n_splits=n_splits)

    def __repr__(self) -> str:
        return f"GroupKFold: {self.n_splits} parts with whole groups, each tested once"
