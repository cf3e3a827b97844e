"""Keep models in the format of today: `python -m tests.golden.keep_models`, once for each version of the format."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers.models import CLASSIFIERS, fitted, said
from tsforecast.estimators.persistence import save
from tsforecast.saving.migrations import VERSION

HOME = Path(__file__).parent / "models"

if __name__ == "__main__":
    for name in ("seasonal-naive", "arima", "ets", "reduction", "windows", "gru", "ensemble", *CLASSIFIERS):
        model, place = fitted(name), HOME / f"v{VERSION}" / name
        save(model, place)
        place.with_suffix(".json").write_text(json.dumps(said(model).tolist()) + "\n")
