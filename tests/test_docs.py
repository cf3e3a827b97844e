"""The pages of docs run: their Python as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tsforecast
from tests.helpers.cluster import cluster_of

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.long
def run_python_of(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)), {})


@pytest.mark.long
@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("how-to/data", "Panel: 2 series x 500 steps, target 'sales', frequency D, season 7"),
        ("how-to/messy-data", "stamps"),
        ("how-to/horizon-cutoffs-window", "reference"),
        ("how-to/plan", "gru"),
        ("how-to/compare", "seasonal-naive"),
        ("how-to/monitor", "gru is better than naive"),
        ("how-to/not-better", "No model is shown to beat the last value"),
        ("how-to/unequal-lengths", "]\n["),
        ("how-to/scikit-learn", "window"),
        ("how-to/fine-tune", "best_epoch"),
        ("how-to/resume", "sales"),
        ("how-to/save", "sales"),
        ("how-to/own-loss", "Asymmetric(under=4.0)"),
        ("how-to/gpu", "at most 2 epochs"),
        pytest.param("how-to/mlflow", "sales", marks=pytest.mark.mlflow),
        ("concepts/naive-first", "seasonal 36 12"),
        ("concepts/leaderboard", "reduction"),
        ("concepts/audit", "LEAK"),
        ("concepts/leave-users-out", "users on both sides"),
        ("concepts/losses", "["),
        ("concepts/training", "highest rate after 30 steps of 100: 1.0"),
        ("how-to/covariates", "holiday"),
        ("concepts/distributions", "sales_lo80"),
        ("concepts/aggregation", "ThetaForecaster"),
        ("how-to/your-model", "same_weekdays"),
        ("how-to/exchange", "farm"),
        ("how-to/export", "(1, 7, 1) (1, 7, 1, 2)"),
        ("how-to/serving", "422 target column 'sales' does not exist; add it"),
        ("how-to/activities", "12 recordings of 6 users"),
        ("how-to/recordings", "majority 33.3%, p < 0.001"),
        ("how-to/other-libraries", "["),
        ("how-to/records", "line 2 must follow from line 1"),
        ("how-to/plots", "sales (EUR) ['actual', 'forecast']"),
        ("how-to/scenario", "sales_difference_lo80"),
        ("how-to/anomalies", "collective"),
        ("how-to/update", "True\n40 new rows of 1 of 1 series, up to 2025-04-04; training"),
        ("how-to/targets", "Conv1DRegressor True"),
        ("how-to/hierarchies", "Hierarchy: total 1, region 2, kind 2, shop 8\nTrue\n"),
        ("reference/metrics", "wape"),
        ("benchmarks/speed", "on"),
        ("how-to/streaming", "Decision(label="),
        ("how-to/classification", "macro_f1"),
        ("concepts/contamination", "seems to remember"),
        ("gallery/leaks", "LEAK (procedure)\npassed (procedure)"),
    ],
)
def test_the_python_of_a_page_runs(
    page: str, printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_python_of(page)
    assert printed in capsys.readouterr().out


def test_the_python_of_the_page_on_tuning_runs(
    only_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_python_of("how-to/tuning")
    assert "best_epoch" in capsys.readouterr().out


@pytest.mark.cluster
def test_the_python_of_the_page_on_scale_runs_on_a_cluster(only_ray: None, tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "scale.md").read_text(encoding="utf-8")
    with cluster_of((2,)) as nodes:
        script = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
        assert script.count('"auto"') == 3
        places = {name: str(tmp_path / name) for name in ("TSFORECAST_CACHE", "XDG_DATA_HOME")}
        done = subprocess.run(
            [sys.executable, "-c", script.replace('"auto"', repr(nodes.address))],
            cwd=tmp_path,
            env=os.environ | places | {"PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    rows, board, tried, trained = done.stdout.splitlines()[:4]
    assert rows == str(30 * 6)
    assert {"theta", "gru"} < set(re.findall("[a-z-]+", board))
    assert (tried, trained) == ("tried 2", "trained for 2 epochs")
    assert (tmp_path / "bucket" / "sales" / "search.json").exists()


SITE = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))


def pages_of(nav: object) -> set[str]:
    """Return the pages of a menu, at any depth."""
    if isinstance(nav, str):
        return {nav}
    return set().union(*map(pages_of, nav.values() if isinstance(nav, dict) else nav))


def test_every_page_is_in_the_menu_of_the_site() -> None:
    made = {"reference/cli.md", "reference/messages.md", "index.md", "changelog.md", "security.md", "contributing.md"}
    written = {str(path.relative_to(DOCS)) for kind in ("*.md", "*.ipynb") for path in DOCS.rglob(kind)}
    assert pages_of(SITE["nav"]) - made == written


def test_every_public_name_is_on_a_page_of_the_reference() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    assert set(re.findall(r"^::: tsforecast\.(\w+)$", pages, flags=re.MULTILINE)) == {*tsforecast.__all__} - {
        "__version__"
    }


def test_every_page_with_python_is_run() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    for path in DOCS.rglob("*.md"):
        if "```python" in path.read_text(encoding="utf-8"):
            assert f'"{path.relative_to(DOCS).with_suffix("")}"' in here.replace(
                '"how-to" / "scale.md"', '"how-to/scale"'
            )


def headings(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as the site has them."""
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", plain, flags=re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles}


def test_links_of_the_pages_lead_to_files_and_headings_that_are_there() -> None:
    made = {DOCS / "reference" / "cli.md", DOCS / "reference" / "messages.md"}
    broken = []
    for page in [*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            place, _, anchor = link.partition("#")
            target = (page.parent / place).resolve() if place else page
            if "://" in link or target in made:
                continue
            if not target.exists() or (anchor and anchor not in headings(target.read_text(encoding="utf-8"))):
                broken.append(f"{page.relative_to(DOCS.parent)}: {link}")
    assert broken == []


@pytest.mark.slow
@pytest.mark.process
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(words, cwd=DOCS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tsforecast leaderboard" in (tmp_path / "reference/cli.html").read_text(encoding="utf-8")
    assert "must be True or False" in (tmp_path / "reference/messages.html").read_text(encoding="utf-8")
