"""The command line works on real files, and answers mistakes with one message and exit code 2."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tests.helpers.commands import in_a_process, tsforecast
from tests.helpers.forecasters import ROW_COLUMNS, wave
from tests.helpers.movements import named_movements
from tsforecast import GRUForecaster, NaiveForecaster, Panel, compare_classifiers, load
from tsforecast.cli.app import app, main
from tsforecast.estimators.registry import MODEL_NAMES
from tsforecast.evaluation.metrics import RANKING
from tsforecast.files import OutputError
from tsforecast.networks.losses import LOSSES
from tsforecast.sequences.baselines import NearestNeighborClassifier


@pytest.fixture
def shops(tmp_path: Path) -> Path:
    """A file of two shops and 120 days."""
    days = pd.date_range("2024-01-01", periods=120)
    parts = [pd.DataFrame({"day": days, "shop": name, "sales": wave(120, i), "n": i}) for i, name in enumerate("ab")]
    path = tmp_path / "shops.csv"
    pd.concat(parts).to_csv(path, index=False)
    return path


def test_datasets_lists_every_card() -> None:
    result = tsforecast("datasets")
    assert result.returncode == 0
    for name in ("co2-weekly", "sunspots-yearly", "elnino-monthly", "m4-hourly"):
        assert name in result.stdout


def test_a_dataset_s_card_is_shown_whole_at_any_width() -> None:
    for width in (50, 100):
        result = tsforecast("datasets", "show", "m4-hourly", width=width)
        assert result.returncode == 0, result.stderr
        for word in ("licence", "protocol", "quirks", "m4_hourly/Hourly-train.csv"):
            assert word in result.stdout.replace("\n", "").replace(" ", "") or word in result.stdout
        assert max(map(len, result.stdout.splitlines())) <= width


@pytest.mark.long
def test_a_dataset_is_downloaded_into_the_cache_from_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    import tsforecast.catalog.loaders as catalog

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    served = tmp_path / "served"
    served.mkdir()
    (served / "air.csv").write_text("Month,#Passengers\n" + "\n".join(f"1949-{m:02d},{100 + m}" for m in range(1, 13)))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        real = catalog.card("air-passengers")
        url = f"http://127.0.0.1:{server.server_port}/air.csv"
        file = dataclasses.replace(real.files[0], url=url, sha256=None)
        monkeypatch.setattr(catalog, "card", lambda name: dataclasses.replace(real, files=(file,)))
        monkeypatch.setenv("TSFORECAST_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("TSFORECAST_DATA", raising=False)
        result = CliRunner().invoke(app, ["datasets", "download", "air-passengers"])
        server.shutdown()
    assert result.exit_code == 0, result.output
    assert "air-passengers is here. Panel: 1 series x 12 steps" in result.output
    assert (tmp_path / "cache" / file.path).exists()


@pytest.mark.process
def test_a_leaderboard_of_an_embedded_dataset_prints_writes_and_says_who_wins(tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = in_a_process("leaderboard", "sunspots-yearly", "--models", "mean,gru", "--epochs", "2", "--out", out)
    assert result.returncode == 0, result.stderr
    for name in ("naive", "seasonal-naive", "drift", "mean", "gru"):
        assert name in result.stdout
    assert "is the reference: the best naive forecast here" in result.stdout
    written = ["forecasts.png", "leaderboard.md", "report.html", "rows.parquet"]
    assert sorted(path.name for path in out.iterdir()) == written
    assert [path.name for path in tmp_path.iterdir()] == ["results"]  # nothing is left of single fits
    assert (out / "forecasts.png").read_bytes().startswith(b"\x89PNG")
    assert "| model" in (out / "leaderboard.md").read_text()
    rows = pl.read_parquet(out / "rows.parquet")
    assert tuple(rows.columns) == ROW_COLUMNS
    assert rows["model"].n_unique() == 5


@pytest.mark.thorough
def test_recordings_of_people_are_tested_on_people_left_out_from_cutoffs_with_enough_past(tmp_path: Path) -> None:
    lengths, file = (4, 9, 15), tmp_path / "recordings.csv"
    parts = [
        pd.DataFrame({"name": f"{who}{n}", "who": who, "x": wave(n, ord(who)), "y": wave(n, ord(who) + 1)})
        for who in "abcde"
        for n in lengths
    ]
    pd.concat(parts).to_csv(file, index=False)
    columns = ("--target", "x,y", "--id", "name", "--group", "who", "--horizon", "2", "--min-past", "5")
    cutoffs = ("--origins", "9", "--step", "1", "--metric", "mae", "--out", tmp_path / "results")
    model = ("--models", "reduction", "--window", "5")
    result = tsforecast("leaderboard", file, *columns, *cutoffs, *model)
    assert result.returncode == 0, result.stderr
    said = " ".join(result.stdout.split())
    assert (
        "Note: 5 of 15 series are shorter than min_past + gap + horizon = 5 + 0 + 2 = 7 steps and are left out" in said
    )
    assert "Leak audit of all models: passed (data)" in said
    rows = pl.read_parquet(tmp_path / "results" / "rows.parquet").filter(pl.col("model") == "reduction")
    assert dict(rows.group_by("group").len().iter_rows()) == dict.fromkeys("abcde", (3 + 9) * 2 * 2)
    result = tsforecast("audit", file, *columns, "--model", "reduction", "--window", "5", "--level", "data")
    assert result.returncode == 0, result.stdout
    assert "the group that is tested" in " ".join(result.stdout.split())


@pytest.mark.thorough
def test_a_report_is_drawn_again_from_rows_and_several_are_merged(tmp_path: Path) -> None:
    for models in ("mean", "theta"):
        report, out = tmp_path / f"{models}.json", tmp_path / models
        words = ("--models", models, "--report", report, "--out", out, "--seeds", "2", "--jobs", "1")
        result = tsforecast("leaderboard", "sunspots-yearly", *words)
        assert result.returncode == 0, result.stderr
        assert json.loads(report.read_text())["table"][0]["model"] in (models, "naive", "seasonal-naive", "drift")
    assert "will be replaced" not in result.stderr
    fewer = tsforecast("leaderboard", "sunspots-yearly", "--models", "drift", "--out", tmp_path / "theta")
    assert (
        f"'{tmp_path / 'theta'}' has rows of theta as well, which will be replaced; to keep them name" in fewer.stderr
    )
    assert tsforecast("leaderboard", "sunspots-yearly", *words).returncode == 0
    both = tmp_path / "both.parquet"
    result = tsforecast("report", tmp_path / "mean", tmp_path / "theta" / "rows.parquet", "--out", both, width=160)
    assert result.returncode == 0, result.stderr
    assert "1 series x 309 steps" in result.stdout
    assert {"mean", "theta", "naive", "seasonal-naive", "drift"} == set(pl.read_parquet(both)["model"])
    for name in ("page.html", "page.md"):
        result = tsforecast("report", both, "--out", tmp_path / name, "--title", "Both", "--metric", "rmse")
        assert result.returncode == 0, result.stderr
        assert "inconclusive" in (tmp_path / name).read_text()
    assert (tmp_path / "page.md").read_text().startswith("# Both\n\ntheta is not shown to beat ")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.long
def test_a_comparison_of_classifiers_is_reported_as_well(tmp_path: Path) -> None:
    compare_classifiers(NearestNeighborClassifier(), *named_movements()).to_parquet(tmp_path / "rows.parquet")
    for name, begin in {"a.html": "<!doctype html>", "a.md": "# Mine\n\n48 recordings", "a.json": "{"}.items():
        result = tsforecast("report", tmp_path, "--out", tmp_path / name, "--title", "Mine")
        assert result.returncode == 0, result.stderr
        assert (tmp_path / name).read_text().startswith(begin)
        assert "leave-users-out: users it has not seen" in result.stdout
    result = tsforecast("report", tmp_path, "--out", tmp_path / "b.html", "--metric", "mae")
    assert "--metric must be left out for a comparison of classifiers" in result.stderr


def test_what_cannot_be_reported_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    result = tsforecast("leaderboard", "sunspots-yearly", "--report", "page.pdf")
    assert result.returncode == 2
    assert "a report must end in .html, .md or .json: got 'page.pdf'" in " ".join(result.stderr.split())
    result = tsforecast("report", tmp_path, "--out", tmp_path / "page.html")
    assert result.returncode == 2
    assert "must be a Parquet file of rows: there is none" in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_fails_is_on_the_board_and_in_the_exit_code(tmp_path: Path) -> None:
    pd.DataFrame({"day": pd.date_range("2024-01-01", periods=20), "y": wave(20)}).to_csv(
        tmp_path / "few.csv", index=False
    )
    words = ("--models", "mean,gru", "--horizon", "3", "--origins", "5")
    result = tsforecast("leaderboard", tmp_path / "few.csv", *words)
    assert result.returncode == 1, result.stderr
    assert "gru failed: window + horizon must fit in the training part" in " ".join(result.stdout.split())
    assert "│ mean " in result.stdout


def test_a_file_of_the_users_own_is_fitted_saved_and_forecast(shops: Path, tmp_path: Path) -> None:
    columns = ("--time", "day", "--target", "sales", "--id", "shop")
    fitted = tsforecast(
        "fit", shops, *columns, "--model", "seasonal-naive", "--horizon", "7", "--out", tmp_path / "model"
    )
    assert fitted.returncode == 0, fitted.stderr
    printed = tsforecast("predict", tmp_path / "model")
    lines = printed.stdout.splitlines()
    data = pd.read_csv(shops)
    assert lines[0] == ",".join(name for name in data.columns if name != "n")
    assert len(lines) == 15
    assert float(lines[1].split(",")[2]) == data.loc[113, "sales"]

    longer = tmp_path / "longer.parquet"
    frame = pl.read_csv(shops, try_parse_dates=True)
    frame.filter(pl.col("day") < pl.date(2024, 4, 1)).write_parquet(longer)
    written = tsforecast(
        "predict", tmp_path / "model", "--data", longer, "--horizon", "3", "--out", tmp_path / "next.csv"
    )
    assert written.returncode == 0, written.stderr
    assert pd.read_csv(tmp_path / "next.csv")["day"].tolist() == ["2024-04-01", "2024-04-02", "2024-04-03"] * 2


@pytest.mark.parametrize("origins", ["2", "auto"])
def test_a_network_is_fitted_with_as_many_blocks_that_validate_as_are_asked_for(
    shops: Path, tmp_path: Path, origins: str
) -> None:
    columns = ("--time", "day", "--target", "sales", "--id", "shop", "--horizon", "3", "--out", tmp_path / "m")
    more = ("--validation-origins", origins)
    fitted = tsforecast("fit", shops, *columns, "--model", "gru", "--epochs", "1", *more)
    assert fitted.returncode == 0, fitted.stderr
    assert load(tmp_path / "m").validation_origins == (2 if origins == "2" else "auto")
    refused = tsforecast("fit", shops, *columns, "--model", "drift", *more)
    assert "--validation-origins must be left out: drift has no such setting" in refused.stderr
    of_labels = tsforecast("fit", shops, "--label", "shop", "--out", tmp_path / "m", *more)
    assert "--validation-origins must be left out with --label: it belongs to forecasts" in of_labels.stderr


def test_a_leaderboard_of_a_parquet_file_needs_no_columns_named_when_they_are_plain(
    shops: Path, tmp_path: Path
) -> None:
    path = tmp_path / "shops.parquet"
    pl.read_csv(shops, try_parse_dates=True).drop("n").write_parquet(path)
    result = tsforecast("leaderboard", path, "--horizon", "7", "--origins", "3", "--models", "mean")
    assert result.returncode == 0, result.stderr
    assert "2 series, 1 target, 3 cutoffs, horizon 7" in result.stdout


@pytest.mark.thorough
def test_all_models_stand_on_one_board_with_their_audit(shops: Path) -> None:
    words = ("--models", "all", "--epochs", "1", "--horizon", "7", "--time", "day", "--id", "shop", "--target", "sales")
    result = tsforecast("leaderboard", shops, *words, "--past", "n", "--audit", "none", width=160)
    assert result.returncode == 0, result.stderr
    for name in MODEL_NAMES:
        assert f"│ {name} " in result.stdout
    assert "Leak audit of all models: not run" in result.stdout
    result = tsforecast("leaderboard", "co2-weekly", "--models", "mean", "--audit", "fit")
    assert "Leak audit of all models: passed (fit)" in " ".join(result.stdout.split())
    result = tsforecast("leaderboard", "co2-weekly", "--models", "mean", "--audit", "full")
    assert "--audit must be one of 'data', 'fit', 'none': got 'full'" in result.stderr


def test_an_audit_shows_each_probe_and_ends_with_1_where_something_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    result = tsforecast("audit", "co2-weekly", "--model", "drift", "--cutoffs", "1")
    assert result.returncode == 0, result.stderr
    assert "rows after the cutoff: infinities" in result.stdout
    assert "passed: nothing moved in 7 perturbations (level fit; exact" in " ".join(result.stdout.split())
    peeks = lambda self, past, horizon: past._panel.values[-1] * np.ones((len(past), horizon, 1))  # noqa: E731
    monkeypatch.setattr("tsforecast.forecasters.naive.DriftForecaster.forecast", peeks)
    found = CliRunner().invoke(app, ["audit", "co2-weekly", "--model", "drift", "--cutoffs", "1"])
    assert found.exit_code == 1
    assert "LEAK: something moved in" in " ".join(found.output.split())
    assert "An audit cannot detect: state that a global or a file keeps" in " ".join(found.output.split())
    monkeypatch.setattr("tsforecast.leakage.audit.in_a_new_process", lambda run: lambda data: run(data))
    found = CliRunner().invoke(app, ["audit", "co2-weekly", "--model", "mean", "--cutoffs", "1", "--isolated"])
    assert "An audit cannot detect: globals from before" in " ".join(found.output.split())


def test_a_narrow_terminal_gets_fewer_columns_and_whole_names() -> None:
    result = tsforecast("leaderboard", "sunspots-yearly", "--models", "window-average", width=45)
    assert "window-average" in result.stdout
    assert "left out for width" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 45


def spoiled(shops: Path, how: str) -> list[str | Path]:
    """Return the words of a command that must fail."""
    columns = ["--time", "day", "--target", "sales", "--id", "shop"]
    frame = pd.read_csv(shops)
    if how == "empty":
        shops.write_text("day,shop,sales\n")
    elif how == "no bytes":
        shops.write_bytes(b"")
    elif how == "nan":
        frame.loc[5, "sales"] = np.nan
    elif how == "text":
        frame = frame.astype({"sales": object})
        frame.loc[5, "sales"] = "much"
    elif how == "unsorted":
        frame = frame.iloc[::-1]
    elif how == "duplicate":
        frame.loc[5, "day"] = frame.loc[4, "day"]
    elif how == "gap":
        frame = frame.drop(index=[5, 6])
    if how not in ("empty", "no bytes"):
        frame.to_csv(shops, index=False)
    others: dict[str, list[str | Path]] = {
        "unknown dataset": ["co2-wekly"],
        "unknown file": ["nowhere.csv"],
        "nearly a file": ["shop.csv"],
        "no number": ["co2-weekly", "--horizon", "soon"],
        "spaces": ["co2-weekly", "--models", "gru", "mean"],
        "spaces before": ["--models", "gru", "mean", "co2-weekly"],
        "a word too many": ["co2-weekly", "mean"],
        "unknown column": [shops, "--target", "sale"],
        "unknown model": [shops, *columns, "--models", "grru"],
        "other suffix": [Path(__file__)],
        "horizon 0": [shops, *columns, "--horizon", "0"],
        "origins 0": ["sunspots-yearly", "--origins", "0"],
        "step 0": ["sunspots-yearly", "--step", "0"],
        "no model": ["sunspots-yearly", "--models", " , "],
        "capitals": ["sunspots-yearly", "--models", "GRUU"],
        "which target": [shops, "--time", "day"],
        "too long": [shops, *columns, "--horizon", "200"],
        "cleaning": [shops, *columns, "--duplicates", "foo", "--nan", "zero"],
        "frequency": [shops, *columns, "--frequency", "X"],
        "window": [shops, *columns, "--horizon", "7", "--origins", "1", "--models", "gru", "--window", "100"],
        "dataset with columns": ["co2-weekly", "--target", "co2"],
        "out is a file": ["sunspots-yearly", "--models", "mean", "--out", shops],
    }
    if how == "unknown card":
        return ["datasets", "show", "m4-hourli"]
    if how == "no command":
        return ["leaderbord", shops]
    if how == "no out":
        return ["fit", shops]
    return ["leaderboard", *others.get(how, [shops, *columns])]


@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "the file must have rows: it has none"),
        ("no bytes", "must be a readable CSV table"),
        ("nan", "column 'sales' must be complete: series 'a' has 1 NaN, first at line 7 (2024-01-06); pass --nan"),
        ("text", "column 'sales' must hold numbers: line 7 holds 'much'"),
        ("unsorted", "time stamps must go forward: 2 of 2 series break this at 238 places (99.2% of the rows)"),
        ("duplicate", "each time stamp must occur once: series 'a' breaks this at 1 place, first at line 7"),
        ("gap", "time stamps must have no gaps: series 'a' breaks this at 1 place (2 stamps missing), first at line 7"),
        ("unknown dataset", "dataset 'co2-wekly' does not exist; did you mean 'co2-weekly'?"),
        ("unknown file", "file 'nowhere.csv' does not exist; check the name and the folder, which is '"),
        ("nearly a file", "file 'shop.csv' does not exist; did you mean 'shops.csv'?"),
        ("no command", "Error: no such command 'leaderbord'; did you mean 'leaderboard'?\n"),
        ("no number", "Error: --horizon must be a whole number: got 'soon'"),
        ("no out", "Error: missing option '--out'; tsforecast fit --help lists the options\n"),
        (
            "spaces",
            "Error: names must have commas between them, and no spaces: got --models gru mean; "
            "write --models gru,mean\n",
        ),
        ("spaces before", "got --models gru mean; write --models gru,mean\n"),
        ("a word too many", "Error: 'mean' is one argument too many for tsforecast leaderboard; tsforecast"),
        ("unknown column", "target column 'sale' does not exist; did you mean 'sales'?"),
        ("unknown model", "model 'grru' does not exist; did you mean 'gru'?"),
        ("other suffix", "a file must end in .csv, .csv.gz, .xlsx, .parquet or .tsf"),
        ("horizon 0", "--horizon must be a whole number >= 1: got 0"),
        ("origins 0", "origins must be a whole number >= 1: got 0"),
        ("step 0", "--step must be a whole number >= 1: got 0\n"),
        ("no model", "at least one model must be named: got ' , '; choose from naive, seasonal-naive"),
        ("capitals", "model 'GRUU' does not exist; did you mean 'gru'?"),
        (
            "which target",
            "'sales', 'n' hold numbers; name one with --target sales, or several with --target sales,n",
        ),
        ("too long", "they need 201 steps, the data have 120; use --horizon <= 119\n"),
        (
            "cleaning",
            "2 problems:\n  - --nan must be one of 'forward_fill', 'mask', 'drop_series': got 'zero'\n"
            "  - --duplicates must be one of 'first', 'last': got 'foo'\n",
        ),
        ("frequency", "--frequency 'X' is not known; choose from 'ns'"),
        (
            "window",
            "needs 100 + 7 = 107 steps, series 'a' has 96 (113 less 17 for validation); "
            "so does 1 other series; use --window <= 89\n",
        ),
        ("dataset with columns", "dataset 'co2-weekly' has its own columns"),
        ("unknown card", "dataset 'm4-hourli' does not exist; did you mean 'm4-hourly'?"),
        ("out is a file", "must be a folder: it is a file, which stays as it is; name another place"),
    ],
)
def test_a_mistake_gets_one_message_and_exit_code_2_and_writes_nothing(
    how: str, message: str, shops: Path, tmp_path: Path
) -> None:
    words = spoiled(shops, how)
    before = sorted(tmp_path.rglob("*"))
    result = tsforecast(*words, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr + result.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_columns_known_ahead_are_given_for_the_steps_to_forecast(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=123).strftime("%d.%m.%Y")
    frame = pd.DataFrame({"day": days, "sales": wave(123), "open": 1.0})
    frame.iloc[:120].to_csv(tmp_path / "data.csv", index=False, sep=";", decimal=",")
    frame.iloc[120:].drop(columns="sales").to_csv(tmp_path / "next.csv", index=False)
    written = ("--date-format", "%d.%m.%Y")
    fitted = tsforecast(
        "fit", tmp_path / "data.csv", *written, "--future", "open", "--model", "gru", "--horizon", "3",
        "--epochs", "1", "--out", tmp_path / "model",
    )  # fmt: skip
    assert fitted.returncode == 0, fitted.stderr
    command = f"tsforecast predict {tmp_path / 'model'} --future FILE\nFILE must hold 'day', 'open' for the 3 steps"
    assert f"forecast with: {command} after each series" in fitted.stdout
    result = tsforecast("predict", tmp_path / "model", "--future", tmp_path / "next.csv")  # dates as in the fitted file
    assert [line.split(";")[0] for line in result.stdout.splitlines()] == [
        "day", "30.04.2024", "01.05.2024", "02.05.2024",
    ]  # fmt: skip
    missing = tsforecast("predict", tmp_path / "model")
    assert "nothing was given; pass --future FILE, with rows from 2024-04-30 to 2024-05-02" in missing.stderr


@pytest.mark.long
def test_a_fit_that_found_nothing_better_than_naive_says_so(tmp_path: Path) -> None:
    walk = np.cumsum(np.random.default_rng(3).normal(size=150))
    pd.DataFrame({"y": walk}).to_csv(tmp_path / "walk.csv", index=False)
    result = tsforecast("fit", tmp_path / "walk.csv", "--horizon", "5", "--out", tmp_path / "model")
    assert "nothing better than the naive forecast was found: it is that (last)" in result.stdout


@pytest.mark.thorough
def test_the_report_of_a_search_is_drawn_while_it_runs_and_without_its_data(tmp_path: Path) -> None:
    from tests.helpers.searches import searched

    searched(tmp_path / "kept", trials=25, over=False)
    result = tsforecast("tune-report", tmp_path / "kept", "--out", tmp_path / "a.html", "--title", "Mine")
    assert result.returncode == 0, result.stderr
    assert "<h1>Mine</h1>" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Best skill +" in result.stdout
    assert f"wrote {tmp_path / 'a.html'}" in result.stdout
    command = ["tune-report", str(tmp_path / "kept"), "--out"]
    assert CliRunner().invoke(app, [*command, str(tmp_path / "a.json")]).exit_code == 0
    told = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert list(told) == ["headline", "optimism", "trials", "importance", "specification"]
    none = CliRunner().invoke(app, ["tune-report", str(tmp_path), "--out", str(tmp_path / "b.html")])
    assert str(none.exception) == (
        f"{str(tmp_path)!r} must hold a search: it has no search.json; name the folder that a search wrote"
    )
    other = CliRunner().invoke(app, [*command, "b.md"])
    assert str(other.exception) == "a report must end in .html or .json: got 'b.md'"


def test_the_version_is_told() -> None:
    from tsforecast import __version__

    assert tsforecast("--version").stdout == f"tsforecast {__version__}\n"


@pytest.mark.parametrize("command", ["leaderboard", "fit", "predict"])
def test_the_help_says_what_is_done_by_default(command: str) -> None:
    text = tsforecast(command, "--help", width=200).stdout
    assert "Steps to forecast. [default: (the " in text
    assert " ." not in text.replace(" ...", "")


@pytest.mark.parametrize("words", [(), ("leaderboard",), ("benchmark",), ("datasets",), ("datasets", "show")])
def test_the_help_shows_no_type_after_a_flag(words: tuple[str, ...]) -> None:
    text = tsforecast(*words, "--help").stdout
    assert "--help " in text
    assert "bool" not in text


def test_commands_are_listed_in_the_order_in_which_a_newcomer_needs_them() -> None:
    listed = [
        line.split()[1] for line in tsforecast("--help", width=200).stdout.split("Commands")[1].splitlines()[1:-2]
    ]
    assert listed[:8] == ["datasets", "init", "check", "plan", "leaderboard", "classify", "report", "fit"]
    page = (Path(__file__).parents[1] / "docs/how-to/command-line.md").read_text()
    introduced = page.split("## A project")[0].splitlines()
    commands = dict.fromkeys(line.split()[1] for line in introduced if line.startswith("tsforecast "))
    assert [name for name in listed if name in commands] == list(commands)


def test_a_card_with_one_cutoff_speaks_of_one() -> None:
    shown = tsforecast("datasets", "show", "m4-hourly").stdout
    assert "horizon 48, 1 cutoff " in shown


def test_an_unusable_place_for_the_result_is_refused_before_any_model_runs(
    shops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tsforecast.estimators.registry as registry
    import tsforecast.evaluation.leaderboard as evaluation

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model ran")

    monkeypatch.setattr(evaluation, "leaderboard", never)
    monkeypatch.setattr(registry.estimator_class("NaiveForecaster"), "fit", never)
    for command in (["leaderboard", "sunspots-yearly"], ["fit", "sunspots-yearly", "--model", "naive"]):
        for out in (shops, shops / "results"):
            result = CliRunner().invoke(app, [*command, "--out", str(out)])
            assert isinstance(result.exception, OutputError), result.exception


@pytest.mark.process
def test_predict_refuses_a_folder_that_is_no_model(tmp_path: Path) -> None:
    result = in_a_process("predict", tmp_path)
    assert result.returncode == 2
    assert "must be a folder that tsforecast saved: it has no model.json" in result.stderr


def test_the_way_dates_are_written_is_remembered_with_the_model_and_what_is_said_comes_first(tmp_path: Path) -> None:
    def file(name: str, form: str, rows: int) -> Path:
        days = pd.date_range("2024-01-01", periods=rows).strftime(form)
        pd.DataFrame({"day": days, "sales": wave(rows)}).to_csv(tmp_path / name, index=False)
        return tmp_path / name

    def first_day(*words: str | Path) -> str:
        result = tsforecast("predict", tmp_path / "model", "--data", *words)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()[1].split(",")[0]

    fit = ("--model", "naive", "--horizon", "2", "--out", tmp_path / "model")
    tsforecast("fit", file("dots.csv", "%d.%m.%Y", 40), "--date-format", "%d.%m.%Y", *fit)
    assert first_day(file("more.csv", "%d.%m.%Y", 50)) == "20.02.2024"
    assert first_day(file("iso.csv", "%Y-%m-%d", 50)) == "2024-02-20"
    assert first_day(file("slash.csv", "%m/%d/%Y", 50), "--date-format", "%m/%d/%Y") == "02/20/2024"
    wrong = tsforecast("predict", tmp_path / "model", "--data", file("slash.csv", "%m/%d/%Y", 50))
    assert "time column 'day' must hold dates like '%d.%m.%Y': line 2 holds '01/01/2024'" in wrong.stderr
    tsforecast("fit", tmp_path / "iso.csv", *fit)  # in place of the older model, and of its dates
    assert tsforecast("predict", tmp_path / "model", "--data", tmp_path / "more.csv").returncode == 2


def test_a_mistake_in_a_file_to_go_on_from_or_of_columns_ahead_has_the_line_of_that_file(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=40)
    frame = pd.DataFrame({"day": days, "sales": wave(40), "open": 1.0})
    panel = Panel.from_frame(frame, target="sales", future="open")
    GRUForecaster(horizon=1, max_epochs=1, random_state=0).fit(panel).save(tmp_path / "model")
    data, ahead = tmp_path / "data.csv", tmp_path / "ahead.csv"
    frame.to_csv(data, index=False)
    for lines, sentence in {
        "day,open\n2024-02-10,\n": "1 NaN or infinite value, first at line 2 (2024-02-10); replace them by numbers",
        "day,opening\n2024-02-10,1\n": "future column 'open' does not exist; did you mean 'opening'?",
        "day\n2024-02-10\n": "future column 'open' does not exist; add it\n",
    }.items():
        ahead.write_text(lines)
        assert sentence in tsforecast("predict", tmp_path / "model", "--data", data, "--future", ahead).stderr
    ahead.write_text("day,open\n2024-02-10,much\n")
    wrong = tsforecast("predict", tmp_path / "model", "--data", data, "--future", ahead)
    assert "column 'open' must hold numbers: line 2 holds 'much'" in wrong.stderr
    frame.assign(sales=frame["sales"].astype(object).where(frame.index != 7, "row 3")).to_csv(data, index=False)
    wrong = tsforecast("predict", tmp_path / "model", "--data", data, "--future", ahead)
    assert "column 'sales' must hold numbers: line 9 holds 'row 3'" in wrong.stderr
    frame.assign(sales=frame["sales"].where(frame.index != 7)).to_parquet(tmp_path / "data.parquet")
    wrong = tsforecast("predict", tmp_path / "model", "--data", tmp_path / "data.parquet", "--future", ahead)
    assert "1 NaN, first at row 7 (2024-01-08)" in wrong.stderr


def test_lines_are_counted_as_an_editor_does_where_cells_go_over_several(tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    file.write_text('day;"a\nnote";sales\n2024-01-01;"one\ntwo";1\n2024-01-02;;much\n')
    assert file.read_text().splitlines()[4] == "2024-01-02;;much"
    wrong = tsforecast("fit", file, "--target", "sales", "--out", tmp_path / "model")
    assert "column 'sales' must hold numbers: line 5 holds 'much'" in wrong.stderr


FITTED_IN_PYTHON = {
    "frame": lambda frame: frame,
    "index": lambda frame: frame.set_index("day"),
    "index without a name": lambda frame: frame.set_index("day").rename_axis(None),
    "periods": lambda frame: frame.set_index("day").to_period(),
    "series": lambda frame: frame.set_index("day")["sales"],
    "polars": pl.from_pandas,
    "arrow": pa.Table.from_pandas,
}


@pytest.mark.parametrize("form", FITTED_IN_PYTHON)
def test_a_model_that_was_fitted_in_python_forecasts_a_table_like_its_data(form: str, tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=40, name="day")
    data = FITTED_IN_PYTHON[form](pd.DataFrame({"day": days, "sales": wave(40)}))
    NaiveForecaster(horizon=2).fit(data).save(tmp_path / "model")
    result = tsforecast("predict", tmp_path / "model")
    assert result.returncode == 0, result.stderr
    rows = [line.rsplit(",", 1) for line in result.stdout.splitlines()]
    assert rows[0] == ["time" if form == "index without a name" else "day", "sales"]
    assert [row[0] for row in rows[1:]] == ["2024-02-10", "2024-02-11"]
    unnamed = NaiveForecaster(horizon=2).fit(pd.DataFrame({"sales": wave(40)}))
    unnamed.save(tmp_path / "model")
    assert tsforecast("predict", tmp_path / "model").stdout.splitlines()[0] == "sales"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (wave(30), "y\n{0}\n{0}\n"),
        (np.stack([wave(30), wave(30, 1)], axis=1), "y0,y1\n{0},{1}\n{0},{1}\n"),
        ([wave(20), wave(30)], "series,y\n0,{2}\n0,{2}\n1,{0}\n1,{0}\n"),
        (np.stack([wave(30), wave(30, 1)])[..., None], "series,y\n0,{0}\n0,{0}\n1,{1}\n1,{1}\n"),
    ],
)
def test_a_model_that_was_fitted_on_arrays_forecasts_a_table(data: Any, told: str, tmp_path: Path) -> None:
    NaiveForecaster(horizon=2).fit(data).save(tmp_path / "model")
    result = tsforecast("predict", tmp_path / "model")
    assert result.stdout == told.format(wave(30)[-1], wave(30, 1)[-1], wave(20)[-1])


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "list", "text"])
def test_a_note_of_dates_that_is_not_what_fit_wrote_is_refused(what: str, tmp_path: Path) -> None:
    NaiveForecaster(horizon=2).fit(
        pd.DataFrame({"day": pd.date_range("2024-01-01", periods=20), "y": np.arange(20.0)})
    ).save(tmp_path / "model")
    note = tmp_path / "model/reading.json"
    if what == "link":
        (tmp_path / "outside.json").write_text('{"date_format": "%d.%m.%Y"}')
        note.symlink_to(tmp_path / "outside.json")
    elif what == "pipe":
        os.mkfifo(note)
    elif what == "folder":
        note.mkdir()
    else:
        note.write_text({"list": "[]", "text": "{"}[what])
    said = tsforecast("predict", tmp_path / "model")
    assert said.returncode == 2
    why = "it does not" if what in ("list", "text") else "must be a file that lies in the folder, and no link out of it"
    assert "must hold how dates are written" in said.stderr
    assert f"{why}; give it with --date-format" in " ".join(said.stderr.split())


def test_remedies_of_predict_name_what_it_can_be_told(tmp_path: Path) -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=20), "y": np.arange(20.0)})
    NaiveForecaster(horizon=2).fit(frame).save(tmp_path / "model")
    frame.drop(index=5).to_csv(tmp_path / "gap.csv", index=False)
    said = " ".join(tsforecast("predict", tmp_path / "model", "--data", tmp_path / "gap.csv").stderr.split())
    assert "fit the model with --fill-gaps to insert them" in said
    NaiveForecaster(horizon=2).fit(np.arange(20.0)).save(tmp_path / "array")
    said = " ".join(tsforecast("predict", tmp_path / "array", "--data", tmp_path / "gap.csv").stderr.split())
    assert "--data must be left out: the model in" in said


def test_forecasts_from_ready_made_windows_have_a_column_for_each_step(tmp_path: Path) -> None:
    X = pd.DataFrame(np.arange(40.0).reshape(10, 4), columns=list("abcd"))
    NaiveForecaster().fit(X, np.arange(20.0).reshape(10, 2)).save(tmp_path / "model")
    X[:2].to_csv(tmp_path / "windows.csv", index=False)
    result = tsforecast("predict", tmp_path / "model", "--data", tmp_path / "windows.csv")
    assert result.stdout == "forecast 1,forecast 2\n3.0,3.0\n7.0,7.0\n"


@pytest.mark.parametrize(
    ("step", "written", "words"),
    [
        ("D", "%Y-%m-%d", ()),
        ("D", "%Y-%m-%d %H:%M", ()),
        ("h", "%Y-%m-%dT%H:%M:%S", ()),
        ("h", "%Y-%m-%d %H:%MZ", ()),
        ("h", "%Y-%m-%d %H:%M:%S+00:00", ()),
        ("500ms", "%Y-%m-%d %H:%M:%S.%f", ()),
        ("D", "%d.%m.%Y", ("--date-format", "%d.%m.%Y")),
    ],
)
def test_forecasts_write_dates_as_the_file_that_they_go_on_from(
    step: str, written: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    stamps = pd.date_range("2024-01-01", periods=50, freq=step)
    values = wave(50)
    NaiveForecaster(horizon=2).fit(pd.DataFrame({"sales": values}, index=stamps)).save(tmp_path / "model")
    frame = pd.DataFrame({"when": stamps.strftime(written), "sales": values})
    frame.iloc[:48].to_csv(tmp_path / "data.csv", index=False)
    result = tsforecast("predict", tmp_path / "model", "--data", tmp_path / "data.csv", *words)
    assert result.returncode == 0, result.stderr
    table = [line.split(",")[0] for line in result.stdout.splitlines()]
    assert table == ["when", *frame["when"].iloc[48:]]


def test_stamps_of_a_model_without_a_file_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    hours = pd.date_range("2024-01-01", periods=40, freq="h", tz="Europe/Berlin", name="at")
    NaiveForecaster(horizon=1).fit(pd.Series(wave(40), index=hours, name="load")).save(tmp_path / "model")
    assert tsforecast("predict", tmp_path / "model").stdout.splitlines()[1].startswith("2024-01-02 16:00:00+01:00,")
    (tmp_path / "model/reading.json").write_text('{"date_format": "%d.%m.%Y %#z"}')  # can be read, but not written
    assert tsforecast("predict", tmp_path / "model").stdout.splitlines()[1].startswith("2024-01-02 16:00:00+01:00,")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_codes_in_names_of_series_are_shown_at_a_terminal_and_kept_in_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"shop": "[red]\x1b[31m", "sales": wave(20)})
    NaiveForecaster(horizon=1).fit(Panel.from_frame(frame, id="shop", target="sales")).save(tmp_path / "model")
    assert tsforecast("predict", tmp_path / "model").stdout.splitlines()[1].startswith("[red]\x1b[31m,")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "argv", ["tsforecast", "predict", str(tmp_path / "model")])
    with pytest.raises(SystemExit):
        main()
    assert terminal.getvalue().splitlines()[1].startswith(r"[red]\x1b[31m,")


@pytest.mark.thorough
def test_a_leaderboard_ranks_by_distributions_and_a_report_by_another_metric(tmp_path: Path) -> None:
    words = ("leaderboard", "sunspots-yearly", "--models", "mean", "--audit", "none", "--origins", "5", "--out")
    ranked = tsforecast(*words, tmp_path / "crps", "--metric", "crps", width=200)
    assert ranked.returncode == 0, ranked.stderr
    assert ranked.stdout.splitlines()[2].split()[1:8:2] == ["model", "CRPS", "MASE", "skill"]
    assert "within 80%" in ranked.stdout
    assert "\nIntervals:\n  seasonal-naive: inconclusive at 80 % (" in ranked.stdout
    crps = pl.read_parquet(tmp_path / "crps" / "rows.parquet")["crps"]
    assert crps.is_not_null().all()
    again = tsforecast("report", tmp_path / "crps", "--metric", "wql", "--out", tmp_path / "report.md")
    assert again.returncode == 0, again.stderr
    assert "WQL" in again.stdout.splitlines()[2]
    beside = tsforecast(*words, tmp_path / "mase", "--distributions", width=200)
    assert beside.stdout.splitlines()[2].split()[1:6:2] == ["model", "MASE", "skill"]
    assert "within 80%" in beside.stdout
    assert pl.read_parquet(tmp_path / "mase" / "rows.parquet")["crps"].equals(crps)
    assert ">Forecast</h2>" not in (tmp_path / "mase" / "report.html").read_text()
    plain = tsforecast(*words, tmp_path / "plain", "--forecast", width=200)
    assert ">Forecast</h2>" in (tmp_path / "plain" / "report.html").read_text()
    assert "within 80%" not in plain.stdout
    assert "Intervals:" not in plain.stdout


def test_a_metric_that_does_not_exist_is_refused_and_the_help_lists_all() -> None:
    wrong = tsforecast("leaderboard", "sunspots-yearly", "--metric", "crp")
    listed = ", ".join(map(repr, RANKING))
    assert wrong.stderr == f"Error: --metric must be one of {listed}: got 'crp'; did you mean 'crps'?\n"
    for command in ("leaderboard", "plan"):
        lines = tsforecast(command, "--help", width=400).stdout.splitlines()
        (line,) = (line for line in lines if "Ranks the models" in line)
        assert [word for word in re.findall("[a-z]+", line) if word in RANKING] == [
            *RANKING,
            "mase",
        ]  # which is the default


@pytest.mark.long
def test_networks_are_trained_by_the_loss_that_is_named(tmp_path: Path) -> None:
    words = ("fit", "sunspots-yearly", "--epochs", "1", "--loss", "huber", "--out", tmp_path / "model")
    assert tsforecast(*words).returncode == 0
    assert load(tmp_path / "model").loss == "huber"
    board = tsforecast("leaderboard", "sunspots-yearly", "--models", "gru", "--epochs", "1", "--loss", "mse")
    assert board.returncode == 0, board.stderr
    said = tsforecast("fit", "sunspots-yearly", "--model", "theta", "--loss", "mae", "--out", tmp_path / "none")
    assert said.stderr == "Error: --loss must be left out: theta has no such setting\n"


@pytest.mark.parametrize("words", [("leaderboard", "--models"), ("audit", "--model"), ("tune",)])
def test_a_loss_that_does_not_exist_is_refused_with_the_nearest(words: tuple[str, ...]) -> None:
    command, *model = words
    said = tsforecast(command, "sunspots-yearly", *(word for name in model for word in (name, "gru")), "--loss", "hubr")
    assert said.returncode == 2
    assert "--loss must be one of 'mae', 'mse', 'huber', " in said.stderr
    assert ": got 'hubr'; did you mean 'huber'?" in said.stderr
    assert said.stderr.count("\n") == 1


def test_a_search_by_distributions_needs_a_loss_that_has_one() -> None:
    said = tsforecast("tune", "sunspots-yearly", "--metric", "crps")
    assert said.stderr == (
        "Error: --metric ranks distributions, which a network of point forecasts does not learn: got 'crps'; train "
        "with --loss normal or that of another distribution\n"
    )


@pytest.mark.parametrize("command", ["fit", "leaderboard", "audit", "tune"])
def test_the_help_lists_the_losses(command: str) -> None:
    text = tsforecast(command, "--help", width=400).stdout
    assert f"Loss of the networks: {', '.join(LOSSES)}." in text


def test_columns_ahead_for_a_model_that_reads_none_are_refused_in_words_of_the_command_line(
    shops: Path, tmp_path: Path
) -> None:
    columns = ("--time", "day", "--target", "sales", "--id", "shop")
    fitted = tsforecast("fit", shops, *columns, "--model", "naive", "--out", tmp_path / "model")
    assert "--future" not in fitted.stdout
    result = tsforecast("predict", tmp_path / "model", "--future", shops)
    assert result.returncode == 2
    assert result.stderr == (
        f"Error: --future must be left out: the model in {str(tmp_path / 'model')!r} reads no columns known ahead; to "
        "give it some, name them when it is fitted, with tsforecast fit --future COLUMNS\n"
    )


@pytest.mark.thorough
def test_a_leaderboard_is_not_written_among_files_of_others(tmp_path: Path) -> None:
    out = tmp_path / "results"
    out.mkdir()
    (out / "rows.parquet").write_text("mine")
    words = ("leaderboard", "sunspots-yearly", "--models", "mean", "--out", out)
    refused = tsforecast(*words)
    assert refused.returncode == 2
    assert "must be new or empty, or hold an older leaderboard.md: it holds 1 other entries" in refused.stderr
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("rows.parquet", "mine")]
    (out / "rows.parquet").unlink()
    for _ in ("empty", "an earlier leaderboard"):
        assert tsforecast(*words).returncode == 0
    assert len(list(out.iterdir())) == 4


@pytest.mark.long
def test_an_interrupted_fit_says_so_in_a_sentence_and_saves_the_best_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tsforecast.cli import app as cli
    from tsforecast.training import loop

    def stop(*arguments: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "run_epoch", stop)
    out = str(tmp_path / "model")
    monkeypatch.setattr(sys, "argv", ["tsforecast", "fit", "sunspots-yearly", "--horizon", "2", "--out", out])
    with pytest.warns() as others, pytest.raises(SystemExit) as left:  # noqa: PT012, PT031
        __import__("warnings").warn("pytest wants one", UserWarning, stacklevel=1)
        cli.main()
    assert not left.value.code
    assert len(others) == 1
    assert capsys.readouterr().err == (
        "Warning: training was interrupted in epoch 1: the weights of epoch 0, the best so far, are kept\n"
    )
    assert (tmp_path / "model" / "model.json").exists()
