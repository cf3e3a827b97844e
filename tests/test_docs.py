"""The pages of docs run: their Python as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("covariates", "holiday"),
        ("distributions", "sales_lo80"),
        ("naive", "ThetaForecaster"),
        ("how-to/your-model", "same_weekdays"),
        ("how-to/exchange", "farm"),
        ("activities", "12 recordings of 6 users"),
        ("how-to/recordings", "majority 33.3%, p < 0.001"),
        ("how-to/other-libraries", "["),
        ("how-to/targets", "Conv1DRegressor True"),
        ("metrics", "wape"),
        ("speed", "on"),
        ("streaming", "Decision(label="),
        ("classification", "macro_f1"),
        ("contamination", "seems to remember"),
        ("gallery/README", "LEAK (procedure)\npassed (procedure)"),
    ],
)
def test_the_python_of_a_page_runs(
    page: str, printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)), {})
    assert printed in capsys.readouterr().out
