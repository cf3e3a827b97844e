"""Forecasts with intervals on the command line: columns in the dialect of a file, and charts in a terminal."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers import losses
from tests.helpers.commands import tsforecast
from tests.helpers.forecasters import small, wave
from tsforecast import DriftForecaster, NaiveForecaster, Panel, load
from tsforecast.cli.app import main
from tsforecast.cli.console import as_polars
from tsforecast.cli.fan import CHARTS, fan
from tsforecast.data.context import Context

HORIZON = 5


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of two shops, whose file has semicolons, decimal commas and German dates."""
    folder = tmp_path_factory.mktemp("shops")
    days = pd.date_range("2024-01-01", periods=90).strftime("%d.%m.%Y")
    parts = [pd.DataFrame({"day": days, "shop": shop, "sales": wave(90, i).round(2)}) for i, shop in enumerate("ab")]
    pd.concat(parts).to_csv(folder / "shops.csv", index=False, sep=";", decimal=",", float_format="%.2f")
    columns = ("--date-format", "%d.%m.%Y", "--target", "sales", "--id", "shop")
    out = ("--model", "drift", "--horizon", str(HORIZON), "--out", folder / "model")
    assert tsforecast("fit", folder / "shops.csv", *columns, *out).returncode == 0
    return folder / "model"


class Terminal(io.StringIO):
    """Output that is shown at once, in the letters of an encoding."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


def shown(patch: pytest.MonkeyPatch, *words: str | Path, encoding: str = "utf-8") -> list[str]:
    """Return the lines that a command writes to a terminal."""
    terminal = Terminal(encoding)
    patch.setattr(sys, "stdout", terminal)
    patch.setattr(sys, "argv", ["tsforecast", *map(str, words)])
    with pytest.raises(SystemExit):
        main()
    return terminal.getvalue().splitlines()


def test_intervals_and_quantiles_are_columns_in_the_dialect_of_the_file(shops: Path, tmp_path: Path) -> None:
    out = tmp_path / "next.csv"
    words = ("predict", shops, "--interval", "80,.5", "--quantiles", ".1,0.975", "--out", out)
    assert tsforecast(*words).stdout.startswith("10 forecasts in ")
    first = out.read_text().splitlines()[1].split(";")
    assert first[0] == "31.03.2024"
    assert all("," in cell and len(cell.split(",")[1]) <= 5 for cell in first[2:])  # three decimals more than read
    written = pd.read_csv(out, sep=";", decimal=",")
    names = ("sales", "sales_q0.1", "sales_q0.975", "sales_lo80", "sales_hi80", "sales_lo50", "sales_hi50")
    assert tuple(written.columns) == ("day", "shop", *names)
    expected = load(shops).predict(quantiles=[0.1, 0.975], interval=[0.8, 0.5])
    for name in names:
        assert written[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=1e-5)
    assert (written["sales_lo80"] < written["sales_lo50"]).all()


@pytest.mark.long
def test_a_network_is_fitted_by_its_likelihood_and_predicts_its_own_intervals(tmp_path: Path) -> None:
    words = ("--epochs", "2", "--loss", "student-t", "--horizon", "6", "--out", tmp_path / "model")
    fitted = tsforecast("fit", "sunspots-yearly", *words)
    assert fitted.stdout.endswith(f"forecast with: tsforecast predict {tmp_path / 'model'} --interval 80\n")
    model = load(tmp_path / "model")
    printed = pd.read_csv(io.StringIO(tsforecast("predict", tmp_path / "model", "--interval", "95").stdout))
    ends = model.distribution(Context.at_end(model.panel_), 6).quantiles([0.025, 0.975])[0, :, 0]
    assert model.learns_distribution
    assert printed[["sunspots_lo95", "sunspots_hi95"]].to_numpy() == pytest.approx(ends, abs=1e-3)


@pytest.mark.long
def test_a_loss_of_ones_own_is_imported_with_consent_alone(tmp_path: Path) -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=120), "y": wave(120)})
    small("gru").set_params(loss=losses.Gumbel(), max_epochs=0).fit(frame).save(tmp_path / "model")
    path = "tests.helpers.losses.Gumbel"
    for command in ("predict", "monitor"):
        refused = tsforecast(command, tmp_path / "model")
        assert refused.stderr.endswith(f"and is not imported; if it is yours, load the model with --trust {path}\n")
        assert refused.returncode == 2
    words = ("predict", tmp_path / "model", "--trust", f"shop.losses.Other,{path}")
    assert tsforecast(*words).stdout == tsforecast(*words[:2], "--trust", "shop.Loss", "--trust", path).stdout
    assert tsforecast(*words).stdout.startswith("day,y\n2024-04-30,")
    frame[-9:].to_csv(tmp_path / "days.csv", index=False)
    seen = tsforecast("monitor", tmp_path / "model", "--data", tmp_path / "days.csv", "--trust", path)
    assert seen.stdout.startswith("no loss yet")


def test_intervals_and_quantiles_that_are_asked_for_one_by_one_are_all_written(shops: Path) -> None:
    once = tsforecast("predict", shops, "--interval", "80,50", "--quantiles", "0.1,0.3").stdout
    words = ("--interval", "80", "--interval", "50", "--quantiles", "0.1", "--quantiles", "0.3")
    assert tsforecast("predict", shops, *words).stdout == once


@pytest.mark.parametrize("same", ["0.8", "80%", " 80 ", ".80", "80,0.8"])
def test_percent_and_shares_of_intervals_are_the_same(shops: Path, same: str) -> None:
    assert (
        tsforecast("predict", shops, "--interval", same).stdout
        == tsforecast("predict", shops, "--interval", "80").stdout
    )


def test_a_row_for_each_quantile_is_written_on_request(shops: Path) -> None:
    lines = tsforecast("predict", shops, "--interval", "80", "--tidy").stdout.splitlines()
    assert lines[0] == "day;shop;sales;quantile"
    assert len(lines) == 1 + 2 * 2 * HORIZON
    assert {line.split(";")[3] for line in lines[1:]} == {"0,1", "0,9"}
    words = ("--interval", "80", "--quantiles", "0.25", "--tidy")
    assert len(tsforecast("predict", shops, *words).stdout.splitlines()) == 1 + 3 * 2 * HORIZON


@pytest.mark.parametrize("wrong", ["1", "0", "100", "0,8", "eighty", "", "80,", "-5", "nan", "180%"])
def test_an_interval_that_is_neither_percent_nor_share_is_refused_in_a_sentence(shops: Path, wrong: str) -> None:
    refused = tsforecast("predict", shops, f"--interval={wrong}")
    assert refused.returncode == 2
    assert refused.stderr == (
        "Error: --interval must be a share of outcomes: in percent, above 1 and below 100, or between 0 and 1: got "
        f"{wrong!r}; write 80 or 0.8, several with commas and decimals with a point\n"
    )


def test_levels_beyond_0_and_1_and_a_form_of_nothing_are_refused(shops: Path) -> None:
    refused = tsforecast("predict", shops, "--quantiles", "10,50")
    assert refused.stderr.startswith("Error: --quantiles must be between 0 and 1: got '10,50'; write .1,.5,.9,")
    refused = tsforecast("predict", shops, "--tidy")
    assert refused.stderr.startswith("Error: --tidy must be left out without --interval or --quantiles")


def test_a_model_of_windows_has_no_intervals(tmp_path: Path) -> None:
    X = pd.DataFrame(np.arange(40.0).reshape(10, 4), columns=list("abcd"))
    NaiveForecaster().fit(X, np.arange(20.0).reshape(10, 2)).save(tmp_path / "model")
    X[:2].to_csv(tmp_path / "windows.csv", index=False)
    refused = tsforecast("predict", tmp_path / "model", "--data", tmp_path / "windows.csv", "--interval", "80")
    assert "--interval must be left out for a model of windows: the command line writes points" in refused.stderr


def test_paths_are_drawn_in_the_dialect_of_the_file(shops: Path, tmp_path: Path) -> None:
    out = tmp_path / "paths.csv"
    words = ("predict", shops, "--paths", "30", "--out", out)
    assert tsforecast(*words).stdout.startswith(f"{30 * 2 * HORIZON} numbers of paths in ")
    assert re.match(r"31\.03\.2024;a;-?\d+,\d{1,5};0$", out.read_text().splitlines()[1])
    written = pd.read_csv(out, sep=";", decimal=",")
    expected = as_polars(load(shops).sample(30, random_state=0)).to_pandas()
    assert sorted(set(written["path"])) == list(range(30))
    by = ["path", "shop"]
    sums, drawn = (frame.groupby(by, observed=True)["sales"].sum() for frame in (written, expected))
    assert sums.to_numpy() == pytest.approx(drawn.to_numpy(), abs=1e-4)
    again = tsforecast("predict", shops, "--paths", "30").stdout
    assert again == out.read_text()
    assert tsforecast("predict", shops, "--paths", "30", "--seed", "1").stdout != again


def test_what_does_not_go_with_paths_is_refused(shops: Path) -> None:
    refused = tsforecast("predict", shops, "--paths", "9", "--interval", "80")
    assert refused.stderr.startswith("Error: --interval must be left out with --paths: ")
    refused = tsforecast("predict", shops, "--seed", "9")
    assert refused.stderr == "Error: --seed must be left out without --paths: a forecast has nothing at random\n"
    refused = tsforecast("predict", shops, "--paths", "0")
    assert refused.stderr.startswith("Error: --paths must be a whole number >= 1: got 0")


def test_a_series_without_a_name_has_columns_with_one(tmp_path: Path) -> None:
    model = DriftForecaster(horizon=2).fit(pd.Series(wave(60)))
    assert list(model.predict(interval=0.8).columns) == ["y", "y_lo80", "y_hi80"]
    model.save(tmp_path / "model")
    assert tsforecast("predict", tmp_path / "model", "--interval", "80").stdout.startswith("y,y_lo80,y_hi80\n")
    assert model.predict().name is None


def test_a_chart_stands_under_the_table_in_a_terminal_alone(shops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = tsforecast("predict", shops, "--interval", "80,50").stdout.splitlines()
    assert len(piped) == 1 + 2 * HORIZON
    lines = shown(monkeypatch, "predict", shops, "--interval", "80,50")
    assert lines[: len(piped)] == piped
    chart = lines[len(piped) :]
    assert [chart[1], chart[14]] == ["a, sales", "b, sales"]
    assert chart[-1] == "• seen   o forecast   ░ 80 % interval   ▒ 50 % interval"
    assert max(map(len, chart)) == 80
    assert "\x1b" not in "".join(chart)  # colours of a terminal
    assert chart[12].split() == ["2024-03-07", "2024-03-31", "2024-04-04"]  # 24 days before the first forecast
    assert all(mark in "".join(chart[2:11]) for mark in "•o░▒")
    for words in (("--quantiles", ".1,.9"), ("--interval", "80", "--tidy"), ()):
        assert not any("│" in line for line in shown(monkeypatch, "predict", shops, *words))


def test_a_terminal_without_such_letters_gets_others(shops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, "predict", shops, "--interval", "80", encoding="ascii")
    assert lines[-1] == "* seen   o forecast   . 80 % interval"
    assert "".join(lines).isascii()


def test_a_chart_has_the_past_the_point_and_the_interval_at_their_heights() -> None:
    past, ahead = np.array([0.0, 0.0, 8.0, 8.0]), np.array([4.0, 4.0])
    lines = fan(past, ahead, [(ahead - 4, ahead + 4), (ahead - 1, ahead + 1)], width=4 + 12)
    rows = [line[4:] for line in lines[:-1]]
    assert [line[:4] for line in lines[:-1]] == ["8 │ ", *["  │ "] * 7, "0 │ "]
    assert [row[-4:] for row in rows] == ["░░░░"] * 3 + ["▒▒▒▒", "oooo", "▒▒▒▒"] + ["░░░░"] * 3
    assert rows[0][:8] == "     •••"
    assert rows[-1][:8] == "•••     "
    assert lines[-1] == "  └─────────┴───"
    assert lines[-1].index("┴") == 4 + 8  # under the first column of the forecast


def test_a_chart_leaves_gaps_where_numbers_are_missing_and_survives_constants() -> None:
    nothing, one = np.array([np.nan] * 3), np.array([5.0])
    assert not any(set(line) & set("•o░") for line in fan(nothing, nothing, [(nothing, nothing)])[:-1])
    flat = fan(np.full(3, 5.0), one, [(one, one)], width=20)
    assert flat[0].startswith("5 │ •••")
    past = np.array([1.0, 1.0, np.nan, np.nan, np.nan, 1.0, 1.0])
    assert " " in fan(past, one, [], width=40)[-2].split("│ ")[1].strip()
    beyond = fan(np.array([1.0, np.inf, 2.0]), one, [], width=20)
    assert beyond[0].startswith("5 │ ")


def test_charts_are_of_the_series_that_are_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = pd.date_range("2024-01-01", periods=90)
    parts = [pd.DataFrame({"day": days, "shop": f"shop {i}", "sales": 1000.0 * i + wave(90, i)}) for i in range(8)]
    frame = pd.concat([parts[0][:40], *parts[1:]])  # the first one ended long ago
    DriftForecaster(horizon=3).fit(Panel.from_frame(frame, id="shop", target="sales")).save(tmp_path / "model")
    lines = shown(monkeypatch, "predict", tmp_path / "model", "--interval", "80", "--ended", "drop")
    titles = [at for at, line in enumerate(lines) if line.endswith(", sales")]
    assert [lines[at] for at in titles] == [f"shop {i}, sales" for i in range(1, 1 + CHARTS)]
    assert [float(lines[at + 1].split("│")[0]) // 1000 for at in titles] == list(range(1, 1 + CHARTS))
    assert lines[-1] == "1 more are not drawn"


@pytest.mark.parametrize("form", ["wide", "arrays"])
def test_charts_of_models_that_were_fitted_in_python(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = pd.date_range("2024-01-01", periods=60)
    wide = pd.DataFrame({"a": wave(60), "b": 1000 + wave(60, 1)}, index=days)
    data = Panel.from_wide(wide) if form == "wide" else [column.to_numpy() for _, column in wide.items()]
    DriftForecaster(horizon=3).fit(data).save(tmp_path / "model")
    lines = shown(monkeypatch, "predict", tmp_path / "model", "--interval", "80")
    first, second = (lines.index(title) for title in (("a", "b") if form == "wide" else ("0, y", "1, y")))
    assert float(lines[first + 1].split("│")[0]) < 500 < float(lines[second + 1].split("│")[0])


def test_forecasts_of_many_series_go_to_a_folder(shops: Path, tmp_path: Path) -> None:
    folder = tmp_path / "forecasts"
    told = tsforecast("predict", shops, "--out", f"{folder}/", "--interval", "80")
    assert told.stdout == f"forecasts in Parquet files in {folder}\n"
    wanted = load(shops).predict(interval=0.8)
    assert np.array_equal(pd.read_parquet(folder)["sales_lo80"], as_polars(wanted)["sales_lo80"])
    told = tsforecast("predict", shops, "--out", folder, "--horizon", "2")
    assert "must be new, or hold forecasts of the same model, data and options" in told.stderr
    told = tsforecast("predict", shops, "--out", folder, "--paths", "2")
    assert "--paths must be left out with a folder of forecasts: paths go to a file that ends in .csv" in told.stderr


def test_a_picture_of_the_forecasts_is_written_or_refused(shops: Path, tmp_path: Path) -> None:
    done = tsforecast(
        "predict", shops, "--interval", "50,90", "--plot", tmp_path / "next.svg", "--out", tmp_path / "a.csv"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"picture in {tmp_path / 'next.svg'}\n")
    text = (tmp_path / "next.svg").read_text()
    assert all(word in text for word in (">a<", ">b<", ">sales<", "50, 90% intervals"))
    for words in (("--plot", tmp_path / "next.gif"), ("--plot", tmp_path / "n.png", "--paths", "3")):
        refused = tsforecast("predict", shops, *words)
        assert refused.returncode == 2, words
    assert "a picture must end in .png, .svg or .pdf" in tsforecast("predict", shops, "--plot", "x.gif").stderr
