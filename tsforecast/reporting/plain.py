"""A leaderboard as plain data, for other programs."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tsforecast.evaluation.views import KEYS

if TYPE_CHECKING:
    from tsforecast.evaluation.board import Leaderboard


def json_report(board: Leaderboard) -> str:
    """Return table, verdicts, views and record as JSON; what is no number is null.

    Examples
    --------
    >>> from tsforecast.evaluation.leaderboard import leaderboard
    >>> told = json.loads(json_report(leaderboard([], np.arange(20.0), horizon=2, origins=3)))
    >>> list(told)
    ['metric', 'reference', 'basis', 'proof', 'notes', 'table', 'verdicts', 'errors', 'win_rates', 'ranks', 'record']
    >>> told["errors"]["step"]["naive"]
    {'1': 1.0, '2': 2.0}
    """
    record = board.record.plain() if board.record else None
    told = {
        "metric": board.metric,
        "reference": board.reference,
        "basis": board.basis,
        "proof": board.proof,
        "notes": board.notes,
        "table": board.table.to_dict("records"),
        "verdicts": list(board.verdicts.values()),
        "errors": {key: board.by(key).to_dict() for key in KEYS if _has(board.rows, key)},
        "win_rates": board.win_rates.to_dict(),
        "ranks": board.ranks,
        "record": record and {name: value for name, value in record.items() if name != "past"},
    }
    return json.dumps(plain_data(told), indent=2, ensure_ascii=False, allow_nan=False)


def _has(rows: pd.DataFrame, key: str) -> bool:
    return key in rows and bool(rows[key].notna().any())


def plain_data(value: Any) -> Any:
    """Return a value as JSON holds it: text for keys and stamps, null for NaN and infinities."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, pd.Series):
        value = value.to_dict()
    if isinstance(value, dict):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_data(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
