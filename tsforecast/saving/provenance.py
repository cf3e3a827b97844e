"""Where a fitted model comes from: which data, which part of them taught it, what its scales were learned from."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from tsforecast.classifiers.base import Classifier
from tsforecast.data.fingerprint import span
from tsforecast.evaluation.record import machine, scaling_words
from tsforecast.forecasters.base import Forecaster


def provenance(model: Forecaster | Classifier) -> dict[str, Any]:
    """Return where a model comes from.

    Returns
    -------
    dict
        ``data``: what was fitted, with its SHA-256, and in a sentence. ``split``: what was learned from, and what chose
        the epoch, as spans of series; or how many windows, recordings or groups chose it. ``scaling``: how, and what
        that was learned from. ``made`` and ``machine``.
    """
    series = isinstance(model, Forecaster) and not model.panel_.ready
    taught = model.members_[0] if len(model.members_) == 1 else model  # a search is its best estimator
    return {
        "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine(),
        "data": model.fitted_on_ | ({"panel": repr(model.panel_).removeprefix("Panel: ")} if series else {}),
        "split": _split(taught) if series else {"validated": getattr(taught, "resolved_", {}).get("validation", 0)},
        "scaling": {
            "steps": scaling_words(taught.get_params(deep=False) | getattr(taught, "resolved_", {})) or "none",
            "learned_from": _scaled_on(taught),
        },
    }


def _split(model: Any) -> dict[str, Any]:
    panel, seen = model.panel_, model.learned_rows()
    return {"trained": span(panel, np.zeros_like(seen), seen), "validated": span(panel, seen, panel.lengths)}


def _scaled_on(model: Any) -> dict[str, Any]:
    """Return what scales were learned from; nothing where there are none."""
    found: dict[str, Any] = model.inputs_.origin if hasattr(model, "inputs_") else getattr(model, "scaled_on_", {})
    return found
