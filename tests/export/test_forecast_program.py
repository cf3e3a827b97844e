"""The programs beside exported files read CSV files as people have them, and end in one sentence where they cannot."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.exports import with_large_corrections
from tsforecast.data.panel import Panel
from tsforecast.export import forecast, predict
from tsforecast.forecasters.meta.ensemble import EnsembleForecaster
from tsforecast.forecasters.naive import DriftForecaster, NaiveForecaster
from tsforecast.forecasters.neural import GRUForecaster
from tsforecast.forecasters.windowed import AnchorForecaster
from tsforecast.sequences.neural import GRUClassifier

SMALL: dict[str, Any] = {"horizon": 4, "units": 4, "max_epochs": 1, "random_state": 0}
ROLES: dict[str, Any] = {"past": ["open", "code"], "future": ["price", "kind"], "static": ["size"]}
NAMES = ["sales", "sales_lo80", "sales_hi80"]


def shops(names: str = "ab", steps: int = 60) -> pd.DataFrame:
    """Series with numbers, a text that is empty on most days, true and false, and codes that are whole numbers."""
    rng = np.random.default_rng(0)
    every = {"shop": np.repeat([*names], steps), "day": [*pd.date_range("2024-01-01", periods=steps)] * len(names)}
    count = steps * len(names)
    frame = pd.DataFrame(every).assign(price=rng.normal(8, 1, count).round(2), size=2.0)
    frame = frame.assign(
        kind=rng.choice(["", "sale"], count), open=rng.random(count) < 0.5, code=rng.integers(1, 4, count)
    )
    return frame.assign(
        sales=(20 + 5 * (frame["kind"] == "sale") + 3 * frame["open"] + rng.normal(size=count)).round(2)
    )


def parts(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows so far, and what is known of the four steps to come."""
    last = sorted(frame["day"].unique())[-5]
    return frame[frame["day"] <= last], frame[frame["day"] > last][["shop", "day", "price", "kind"]]


KNOWN, COMING = parts(shops())


@pytest.fixture(scope="module", name="exported")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[GRUForecaster, Path]:
    model = GRUForecaster(**SMALL, window=14)
    panel = Panel.from_frame(KNOWN, id="shop", time="day", target="sales", categories="code", **ROLES)
    with_large_corrections(model.fit(panel))
    return model, model.export(tmp_path_factory.mktemp("files") / "m.onnx", interval=0.8)


@pytest.fixture(name="run")
def running(
    exported: tuple[GRUForecaster, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[pd.DataFrame, str]]:
    def run(known: Any, coming: Any = COMING, dates: str | None = None) -> tuple[pd.DataFrame, str]:
        places = []
        for name, table in (("known.csv", known), ("coming.csv", coming)):
            if isinstance(table, pd.DataFrame):
                table.to_csv(tmp_path / name, index=False)
            elif table is not None:
                (tmp_path / name).write_bytes(table)
            places.append(None if table is None else str(tmp_path / name))
        try:
            forecast.main(str(exported[1]), str(places[0]), places[1], dates)
        except SystemExit as end:
            assert capsys.readouterr().out == ""  # nothing is half written
            return pd.DataFrame(), str(end).replace(f"{tmp_path}/", "")
        out, err = capsys.readouterr()
        return pd.read_csv(io.StringIO(out)), err

    return run


def require_same(found: pd.DataFrame, truth: pd.DataFrame) -> None:
    assert found["shop"].tolist() == truth["shop"].tolist()
    np.testing.assert_allclose(found[NAMES], truth[NAMES], atol=1e-4)


def as_semicolons(frame: pd.DataFrame) -> bytes:
    """Return a file with decimal commas, days first, blanks in its header and an empty line with its separators."""
    days = frame.assign(day=frame["day"].dt.strftime("%d.%m.%Y"))
    head, rest = days.to_csv(index=False, sep=";", decimal=",").split("\n", 1)
    return "\n".join([head.replace(";", "; "), rest + ";" * head.count(";"), ""]).encode("utf-8-sig")


@pytest.mark.long
def test_files_in_other_forms_have_the_same_forecasts(exported: tuple[GRUForecaster, Path], run: Any) -> None:
    truth = exported[0].predict(future=COMING, interval=0.8)
    backwards = KNOWN[KNOWN.columns[::-1]].assign(more="x")
    for known, coming, dates in (
        (KNOWN, COMING, None),
        (backwards, COMING[COMING.columns[::-1]], None),
        (KNOWN.assign(code=KNOWN["code"].astype(float)), COMING, None),
        (KNOWN.assign(day=KNOWN["day"].dt.strftime("%Y/%m/%d ")), COMING, None),
        (KNOWN.assign(day=KNOWN["day"].dt.strftime("%Y-%m-%dT00:00Z")), COMING, None),
        (KNOWN.to_csv(index=False, sep="\t").encode(), COMING, None),
        (as_semicolons(KNOWN), as_semicolons(COMING), "%d.%m.%Y"),
    ):
        found, notes = run(known, coming, dates)
        require_same(found, truth)
        assert notes == ""
    assert found["day"].tolist() == truth["day"].dt.strftime("%d.%m.%Y").tolist()


def changed(column: str, value: Any, frame: pd.DataFrame = KNOWN) -> pd.DataFrame:
    """Return rows whose third one has another cell."""
    found = frame.astype({column: object}).reset_index(drop=True)
    found.loc[2, column] = value
    return found


@pytest.mark.parametrize(
    ("known", "coming", "sentence"),
    [
        (KNOWN.drop(columns="size"), COMING, "known.csv must have the columns .*: it lacks size; it has shop, day, "),
        (KNOWN.rename(columns=str.upper), COMING, "it lacks shop, day, sales, .*; it has SHOP, DAY"),
        (b"# of today\nshop,day\n", COMING, "it lacks .*; it has # of today"),
        (b"", COMING, "known.csv must have the columns .*; it is empty"),
        (KNOWN[:0], COMING, "known.csv must have rows: it has none"),
        ("day,sales\n1,ä".encode("latin-1"), COMING, "known.csv must be text in UTF-8: .* at byte 12; save it as CSV"),
        (
            changed("day", "31/01/2024"),
            COMING,
            "line 4 of known.csv must have a date like 2024-01-31 in 'day': got '31/",
        ),
        (
            changed("day", "20240103"),
            COMING,
            "line 4 of known.csv must have a date .*; name their form, such as --dates",
        ),
        (changed("day", ""), COMING, "line 4 of known.csv must have a date like 2024-01-31 in 'day': got ''$"),
        (changed("day", "2024-01-02"), COMING, "2024-01-02 in line 4 of known.csv is in line 3 of known.csv as well"),
        (
            changed("day", "2024-01-03 05:00"),
            COMING,
            "different steps of D: 2024-01-03 05:00 in line 4 .* does not follow",
        ),
        (changed("shop", ""), COMING, "line 4 of known.csv must name its series in 'shop'"),
        (
            changed("sales", "1,234.5"),
            COMING,
            "line 4 of known.csv must have a number in 'sales', such as 1234.5: got '1,2",
        ),
        (changed("sales", "inf"), COMING, "line 4 of known.csv must have a number in 'sales'"),
        (
            changed("size", 3),
            COMING,
            "line 4 of known.csv must have '2.0' in 'size', as line 2 of known.csv: it is static",
        ),
        (
            KNOWN,
            None,
            "'a' must have price, kind for 4 steps to come: name a second file that has them, from 2024-02-26",
        ),
        (KNOWN, COMING.assign(shop="A"), "the second file has none of them, from 2024-02-26 on"),
        (KNOWN, changed("price", "", COMING), "the second file lacks 1 of them, the first at 2024-02-28"),
        (KNOWN, COMING.drop(columns="day"), "coming.csv must have the columns shop, day, price, kind: it lacks day"),
        (KNOWN.groupby("shop").tail(9), COMING, "a series must have at least 14 rows: 'a' has 9; give more of them"),
    ],
)
def test_a_file_that_does_not_do_ends_in_one_sentence(known: Any, coming: Any, sentence: str, run: Any) -> None:
    found, end = run(known, coming)
    assert found.empty
    assert pd.Series([end]).str.contains(sentence).all(), end


def test_numbers_that_are_missing_and_series_that_are_short_are_noted(
    exported: tuple[GRUForecaster, Path], run: Any
) -> None:
    short = KNOWN[(KNOWN["shop"] == "a") | (KNOWN["day"] > "2024-02-20")]
    found, notes = run(short)
    with pytest.warns(UserWarning, match="1 of 2 series is shorter than the"):
        truth = exported[0].predict(short, future=COMING)
    np.testing.assert_allclose(found["sales"], truth["sales"], atol=1e-4)
    assert notes == "Note: 1 of 2 series have fewer than 14 rows, and are forecast by their last season: b\n"
    assert run(changed("sales", ""))[1].startswith("Note: 1 missing numbers are filled from those before them; predict")


@pytest.mark.long
def test_an_ensemble_takes_series_of_any_length_as_predict_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame, short = (KNOWN[KNOWN["day"] > day][["shop", "day", "sales"]] for day in ("2023-12-31", "2024-02-20"))
    members = [AnchorForecaster(horizon=4), DriftForecaster(horizon=4)]
    model = EnsembleForecaster(members).fit(Panel.from_frame(frame, id="shop", time="day", target="sales"))
    short.to_csv(tmp_path / "known.csv", index=False)
    forecast.main(str(model.export(tmp_path / "m.onnx")), str(tmp_path / "known.csv"))
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(found["sales"], model.predict(short)["sales"], atol=1e-4)


@pytest.mark.long
def test_a_single_series_without_a_name_has_the_scales_that_were_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=90), "sales": rng.normal(9, np.arange(1, 91) / 9)})
    model = with_large_corrections(GRUForecaster(**SMALL).fit(frame))
    frame.to_csv(tmp_path / "known.csv", index=False)
    forecast.main(str(model.export(tmp_path / "m.onnx")), str(tmp_path / "known.csv"))
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    np.testing.assert_allclose(found["sales"], model.predict()["sales"], atol=1e-4)


def test_stamps_with_an_offset_are_written_in_utc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = pd.date_range("2024-01-01", periods=30, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"at": times, "sales": np.arange(30.0)})
    model = NaiveForecaster(horizon=3).fit(frame)
    frame.to_csv(tmp_path / "known.csv", index=False)
    forecast.main(str(model.export(tmp_path / "m.onnx")), str(tmp_path / "known.csv"))
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))["at"]
    assert found[0] == "2024-01-02 05:00:00+00:00"
    assert pd.to_datetime(found).tolist() == model.predict()["at"].dt.tz_convert("UTC").tolist()


@pytest.mark.long
def test_a_file_that_is_no_graph_of_that_kind_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    waves = [np.sin(np.arange(12) * (1 + i % 2)) for i in range(8)]
    moves = (
        GRUClassifier(units=4, max_epochs=1, features=0).fit(waves, ["slow", "fast"] * 4).export(tmp_path / "w.onnx")
    )
    numbers = NaiveForecaster(horizon=2).fit(np.arange(9.0)).export(tmp_path / "n.onnx")
    for main, files in ((forecast.main, ("text.onnx", moves)), (predict.main, ("text.onnx", numbers, "none.onnx"))):
        for file in files:
            with pytest.raises(SystemExit, match=r"onnx must be a .* that tsforecast exported as \.onnx: "):
                main(str(tmp_path / file), "any.csv")
    with pytest.raises(SystemExit, match=r"absent.csv must be a CSV file that can be read: No such file"):
        predict.main(str(moves), "absent.csv")
    (tmp_path / "waves.csv").write_text("move,channel_0\na,1\nb,2\n")
    with pytest.raises(SystemExit, match=r"must have the column 'moves', which names the recordings: it has move, ch"):
        predict.main(str(moves), str(tmp_path / "waves.csv"), "moves")
