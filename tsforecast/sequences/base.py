"""Base of estimators of recordings: how sequences, users and scales are read, whatever is learned of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsforecast.checks import whole
from tsforecast.data import samples
from tsforecast.data.panel import Panel
from tsforecast.data.scaling import Scaling, ScalingRecipe
from tsforecast.data.series import Roles
from tsforecast.errors import DataError, ParameterError, counted, raise_any
from tsforecast.estimators.base import Estimator
from tsforecast.events import observed
from tsforecast.saving.folder import GOLDEN_INPUTS, GOLDEN_OUTPUTS

Floats = NDArray[np.float64]
GOLDEN_STEPS = 24  # of the golden waves, unless sequences have one length


class SequenceEstimator(Estimator):
    """Base of everything that is fitted on recordings with a truth for each.

    Subclasses read the truth in `_read_truth`, implement `_fit` and `_answers`, and list problems with their parameters
    in `_problems`.

    Attributes
    ----------
    channels_ : int
        Numbers in a step (C).
    columns_ : tuple of str or None
        Their names, where they came in a panel or in frames: columns of others are put into this order.
    n_features_in_ : int
        Steps of each recording (T), where they came as one array: then all others must have as many.
    """

    channels_: int
    columns_: tuple[str, ...] | None
    scaler: Any  # of an estimator that scales, with what it learned
    scaling_: Scaling
    scaled_on_: dict[str, Any]
    _fitted_attribute, _fit_call = "channels_", "fit(X, y)"
    # Where scikit-learn routes metadata, a search or a vote hands the groups on: whole groups validate there as well.
    __metadata_request__fit = {"groups": True}  # noqa: RUF012

    def fit(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Self:
        """Learn from recordings and the truth about each.

        Parameters
        ----------
        X : list of (T, C) or (T,) arrays, array of shape (N, T, C) or (N, T), or Panel
            Recordings; with T alone they have one channel.
        y : array of shape (N,), or str
            A label, or number, for each; of a panel also the name of the static column that holds it.
        groups : array of shape (N,), optional
            Person or thing that each recording is of. Whole groups validate, where any do; a panel brings its own.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            When parameters cannot work; all of them are listed.
        DataError
            When the data cannot be used; every problem is listed.
        """
        panel, truth, sides = self._checked(X, y, groups)
        with observed(self, panel):
            self._fit(panel, truth, sides)
            self.channels_ = panel.values.shape[1]
        return self

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may expect of `fit`."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _checked(
        self, X: Any, y: Any, groups: Any, reset: bool = True, head: str = "new"
    ) -> tuple[Panel, NDArray[Any], NDArray[Any] | None]:
        """Check parameters and read the data of `fit`; the truth becomes numbers.

        Without `reset` recordings must be like those that were fitted, and with the `head` kept their truth, too.
        """
        raise_any(self._problems(), ParameterError)
        panel = self._read(X, reset=reset)
        given = self._given(X, y, panel)
        truth, learned, problems = self._coded(given, head)
        sides, wrong = groups_of(panel, groups)
        raise_any(problems + wrong)
        self.__dict__.pop("channels_", None)  # not fitted until it is again
        self.__dict__.update(learned)
        self.fitted_on_ = learned_from(panel, given)
        if sides is not None:
            self.fitted_on_["groups"] = len(set(map(str, sides.tolist())))
        return panel, truth, sides

    def _given(self, X: Any, y: Any, panel: Panel) -> NDArray[Any]:
        """Return the truth as it was given, one row for each recording, or for each step; DataError."""
        raise NotImplementedError(f"{type(self).__name__} must read the truth")

    def _coded(self, given: NDArray[Any], head: str) -> tuple[NDArray[Any], dict[str, Any], list[str]]:
        """Return the truth in numbers, the fitted attributes that follow from it, such as classes, and problems."""
        raise NotImplementedError(f"{type(self).__name__} must code the truth")

    def _read(self, X: Any, reset: bool) -> Panel:
        """Read sequences; rows of one array with the checks, and the messages, of scikit-learn."""
        samples.require_form(X)
        named = isinstance(X, Panel) or (samples.is_ragged(X) and samples.column_names(X) is not None)
        if samples.is_ragged(X) or (isinstance(X, (list, tuple)) and not X):
            if reset:
                self._forget_array()
            panel = samples.read(X)
        else:
            if not reset:
                self._refuse_single(X)
            rows = self._read_array(X, reset, ensure_all_finite=False)
            if rows.ndim > 3:
                raise DataError(f"X must be {samples.FORMS}: got shape {rows.shape}")
            panel = samples.read(list(rows))
        channels, columns = panel.values.shape[1], panel.roles.varying if named else None
        if reset:
            self.columns_ = columns
        elif columns and self.columns_ and columns != self.columns_:
            if sorted(columns) != sorted(self.columns_):
                raise DataError(f"X must have the columns that were fitted, {self.columns_}: got {columns}")
            order = [columns.index(name) for name in self.columns_]
            roles = Roles(self.columns_, group=panel.roles.group)
            panel = replace(panel, values=np.take(panel.values, order, axis=1), roles=roles)
        if not reset and hasattr(self, "channels_") and channels != self.channels_:
            raise DataError(f"X must have the {self.channels_} channels that were fitted: got {channels}")
        return panel

    def _refuse_single(self, X: Any) -> None:
        """Refuse one recording, (T, C), that was given without its list, and would be read as T recordings."""
        shape = tuple(getattr(X, "shape", ()))
        if not hasattr(self, "n_features_in_") and len(shape) == 2 and shape[1] == getattr(self, "channels_", None):
            raise DataError(
                f"X must be {samples.FORMS}: got one array of shape {shape}, with the {counted(shape[1], 'channel')} "
                "that were fitted; if it is a single recording, pass [X]"
            )

    def predicted(self, X: Any) -> tuple[Panel, Floats]:
        """Return recordings, as `predict` takes them, as a panel, and the answers for them; see `_answers`.

        Raises
        ------
        NotFittedError, DataError
        """
        self.check_fitted()
        panel = self._read(X, reset=False)
        return panel, self._answers(panel)

    def export(self, file: str | Path) -> Path:
        """Write one file that predicts anywhere: a graph from raw recordings to probabilities, or numbers.

        Scales, network and temperature are in the graph. It takes recordings of any lengths at once, as an array
        (N, T, C) whose rows end after `lengths`, (N,), and repeats `predict_proba`, or `predict`, to 1e-5. A file
        ``.onnx`` runs with onnxruntime and numpy alone; next to it, a short program `predict.py` reads a CSV file. A
        file ``.pt2`` is the same graph for `torch.export.load`. Channels, classes and a golden pair are in the file.

        Parameters
        ----------
        file : path
            Ends in ``.onnx`` or ``.pt2``. An older file is replaced once the new one is whole.

        Returns
        -------
        path
            Of the file.

        Raises
        ------
        NotFittedError, OutputError
        ParameterError
            Where the model, or a part of it such as a scaler of your own, has no graph, before anything is written.

        Examples
        --------
        >>> import tempfile
        >>> from tsforecast.sequences.neural import GRUClassifier
        >>> waves = [np.sin(np.arange(12) * (1 + i % 2)) for i in range(8)]
        >>> model = GRUClassifier(units=4, max_epochs=1, features=0, random_state=0).fit(waves, ["slow", "fast"] * 4)
        >>> with tempfile.TemporaryDirectory() as place:
        ...     model.export(f"{place}/waves.onnx").name
        'waves.onnx'
        """
        self.check_fitted()
        from tsforecast.export.file import require_file, write
        from tsforecast.export.recordings import exported  # loads torch

        target = require_file(Path(file), "recordings")
        return write(exported(self, target.suffix), target)

    def golden(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the prediction for two waves of the size of the fitted recordings; see `Estimator.golden`."""
        steps = getattr(self, "n_features_in_", None) or GOLDEN_STEPS
        time, phases = np.linspace(0, 2 * np.pi, steps)[:, None], np.arange(self.channels_)
        waves = np.stack([np.sin(time + phases), np.cos(3 * time - phases)])  # (2, T, C)
        if hasattr(self, "scaling_"):
            waves = np.stack([self.scaling_.inverse(wave, 0) for wave in waves])
        return {}, {GOLDEN_INPUTS: waves, GOLDEN_OUTPUTS: self.golden_outputs({}, {GOLDEN_INPUTS: waves})}

    def golden_outputs(self, question: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Floats:
        """Return the answers for the golden waves, (2, ...); see `Estimator.golden_outputs`."""
        with np.errstate(all="ignore"):
            return self._answers(samples.read(list(arrays[GOLDEN_INPUTS])))

    def _scale(self, panel: Panel, labels: NDArray[Any]) -> None:
        """Learn scales, one for each channel, on the sequences that train."""
        recipe = ScalingRecipe(None, self.scaler, per_series=False)
        self.scaling_ = recipe.fit(panel.values, panel.offsets[[0, -1]], panel.n_targets)
        self.scaled_on_ = learned_from(panel, labels)

    def get_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the fitted state; see `Estimator.get_state`."""
        plain, arrays = super().get_state()
        scaling = plain.pop("scaling_", None)
        return plain, arrays | (scaling.numbers() if scaling else {})

    def set_state(self, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore the fitted state; see `Estimator.set_state`."""
        if whole("channels_", plain["channels_"], 1):
            raise ValueError(f"recordings must have channels: got {plain['channels_']!r}")
        super().set_state(plain, arrays)
        if hasattr(self, "scaler"):
            self.scaling_ = Scaling.from_numbers(arrays, False, 1, self.channels_, self.channels_)

    def _fit(self, panel: Panel, truth: NDArray[Any], groups: NDArray[Any] | None) -> None:
        """Learn from recordings and the truth in numbers."""
        raise NotImplementedError(f"{type(self).__name__} must implement _fit")

    def _answers(self, panel: Panel) -> Floats:
        """Return an answer for each recording, (N, ...), or for each step, (rows, ...): probabilities or numbers."""
        raise NotImplementedError(f"{type(self).__name__} must implement _answers")


def learned_from(panel: Panel, truth: NDArray[Any]) -> dict[str, Any]:
    """Return a summary of recordings: their number, lengths and fingerprint."""
    return panel.origin(np.asarray(truth)) | {"lengths": [int(panel.lengths.min()), int(panel.lengths.max())]}


def groups_of(panel: Panel, groups: Any) -> tuple[NDArray[Any] | None, list[str]]:
    """Return the group of each sequence, a panel's own unless given, and problems of those."""
    found = panel.groups if groups is None else np.asarray(groups)
    if found is None:
        return None, []
    if found.shape != (len(panel),):
        return found, [f"groups must be one for each recording, ({len(panel)},): got shape {found.shape}"]
    unknown = missing(found)
    if not unknown:
        return found, []
    return found, [
        f"groups must have the user of each recording: {len(unknown)} of {len(found)} are missing, the first at "
        f"position {unknown[0]}; name these users, or leave their recordings out"
    ]


def missing(values: NDArray[Any]) -> list[int]:
    """Return the positions of None, NaN and the missing values of pandas."""
    import pandas as pd

    return np.flatnonzero(np.asarray(pd.isna(values), dtype=np.bool_)).tolist()
