"""What a search shows: its report, a plot of its trials, and facts in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsforecast.errors import ParameterError
from tsforecast.files import write_or_return
from tsforecast.reporting.plots import axes_of
from tsforecast.search.storage import read_search


class SearchViews:
    """Base of searches."""

    def report(self: Any, path: str | Path | None = None, title: str | None = None) -> str | None:
        """Write the report to a file, or return it: one page of HTML that needs no network.

        Parameters
        ----------
        path : path, optional
        title : str, optional

        Raises
        ------
        NotFittedError, OutputError
        """
        from tsforecast.search.report import html_search

        self.check_fitted()
        if not hasattr(self, "folder_"):
            raise ParameterError(
                "the report of a search is drawn from its folder, which is not part of a saved search: use tsforecast "
                "tune-report DIR, or read trials_"
            )
        return write_or_return(html_search(read_search(self.folder_), title), path)

    def plot(self: Any, ax: Any = None) -> Any:
        """Draw the score of each trial in order of their start, and the best so far as a line.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            New ones unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        NotFittedError
        ParameterError
            When fewer than two trials have a score.
        """
        from tsforecast.search.figures import progress
        from tsforecast.search.results import scored

        self.check_fitted()
        if (count := len(scored(self.trials_))) < 2:
            raise ParameterError(f"a plot of a search must have two trials with a score: got {count}; raise trials")
        axes = axes_of(ax)
        progress(self.trials_, self.reference_, axes=axes)
        axes.legend(frameon=False)
        return axes

    def card(self: Any) -> dict[str, object]:
        """Return facts of a search by name: its best settings and trials, and the model that was fitted with them."""
        from tsforecast.search.results import scored

        best = ", ".join(f"{name} {value}" for name, value in self.best_params_.items())
        trials = f"{len(scored(self.trials_))} of {len(self.trials_) - 1} have a score"
        score = {"best score": f"{self.best_score_:.1%} on validation"} if hasattr(self, "best_score_") else {}
        facts: dict[str, object] = super().card()  # type: ignore[misc]
        return facts | {"best settings": best, "trials": trials} | score
