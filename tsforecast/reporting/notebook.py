"""Objects as HTML of a notebook: facts and a table in its own style, and whole pages in a frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from tsforecast.reporting.tables import Grid

CELL = "padding: 0.2em 0.8em 0.2em 0; text-align: left; vertical-align: top"
MOST = 12  # rows of a table in a notebook


@dataclass(frozen=True)
class Frame:
    """A page that a notebook shows in a frame of its own, so that neither changes the style of the other."""

    html: str
    height: int

    def _repr_html_(self) -> str:
        # Scripts of the page sort its tables; they reach nothing outside the frame.
        return (
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" title="report" '
            f'style="width: 100%; height: {self.height}px; border: 0"></iframe>'
        )


class Framed:
    """Base of results that have a page: `show` in a notebook."""

    def show(self: Any, height: int = 700) -> Frame:
        """Show the report in a notebook, in a frame so many pixels high.

        Examples
        --------
        >>> import numpy as np
        >>> from tsforecast import leaderboard
        >>> leaderboard(["mean"], np.arange(20.0), horizon=2, origins=3).show(400)._repr_html_()[:7]
        '<iframe'
        """
        return Frame(self.to_html(), height)


def facts_html(title: str, facts: Iterable[tuple[str, object]], grid: Grid | None = None) -> str:
    """Return a title, named facts, and the first rows of a table, as HTML without scripts; data are escaped."""
    rows = [f'<tr><th style="{CELL}">{escape(name)}</th><td style="{CELL}">{escape(fact)}</td></tr>'
            for name, fact in facts]  # fmt: skip
    parts = [f"<strong>{escape(title)}</strong>", f"<table>{''.join(rows)}</table>" if rows else ""]
    if grid is not None and grid.rows:
        heads = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in grid.columns)
        cells = [[f'<td style="{CELL}">{escape(cell)}</td>' for cell in row] for row in grid.rows[:MOST]]
        lines = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
        more = len(grid.rows) - MOST + grid.more
        parts += [f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"]
        parts += [f"<p>{more} more rows are not listed.</p>"] if more > 0 else []
    return Markup(f'<div style="overflow-x: auto">{"".join(parts)}</div>')


class FittedCard:
    """Base of estimators: in a notebook a fitted one lists the data, the choices and the training behind it."""

    def _repr_html_(self: Any) -> str:
        if not hasattr(self, self._fitted_attribute):
            found: str = super()._repr_html_()  # type: ignore[misc]  # the diagram of scikit-learn
            return found
        return facts_html(f"{type(self).__name__}, fitted", self.card().items())

    def _repr_mimebundle_(self: Any, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def card(self: Any) -> dict[str, object]:
        """Return facts of a fitted model by name: its data, what "auto" became, and its training."""
        given = getattr(self, "fitted_on_", {})  # a search of classifiers has those of its best one
        data = {name: value for name, value in given.items() if name != "sha256" and value is not None}
        facts: dict[str, object] = {"settings": " ".join(repr(self).split())}
        if data:
            facts["data"] = ", ".join(f"{name} {_plain(value)}" for name, value in data.items())
        if chosen := getattr(self, "resolved_", None):
            facts["chosen"] = ", ".join(f"{name} {_plain(value)}" for name, value in chosen.items())
        if history := getattr(self, "history_", None):
            from tsforecast.reporting.figures import percent

            scored = [epoch for epoch in history if epoch.valid_loss is not None]
            best = min(scored, key=lambda epoch: epoch.valid_loss) if scored else history[-1]
            facts["training"] = f"{history[-1].number} epochs, {sum(epoch.seconds for epoch in history):.1f} s"
            if best.skill is not None:
                other = (
                    "the naive forecast"
                    if hasattr(self, "horizon_")
                    else "an answer that is the same for all recordings"
                )
                removed = percent(round(best.skill, 3))
                facts["validation"] = f"{removed} of the loss of {other} removed in epoch {best.number}"
        return facts


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " to ".join(map(str, value)) if isinstance(value, list) and len(value) == 2 else str(value)
