"""The seal travels: rows are recognised in any form, every opening is counted, and nothing is lost unseen."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.helpers.commands import tsforecast as run
from tsforecast import MeanForecaster, Panel, backtest, leaderboard, seal
from tsforecast.errors import DataError, ParameterError
from tsforecast.evaluation.seal import Opening, changed, read_ledger
from tsforecast.files import OutputError

DAYS = pd.date_range("2024-01-01", periods=40, freq="D")
NOISE = np.random.default_rng(0).normal(size=(3, 40))
FRAME = pd.DataFrame(
    {"shop": np.repeat(["a", "b", "c"], 40), "day": np.tile(DAYS, 3), "sales": (20 + NOISE.cumsum(axis=1)).ravel()}
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Return the ledger of the last six days of three shops."""
    path = tmp_path / "sales.seal"
    assert seal(FRAME, test=6, ledger=path).opened == 0
    return path


def note_of(data: Any, ledger: Path, horizon: int = 6, **options: Any) -> str:
    board = leaderboard("mean", data, horizon, origins=1, audit=None, seal=ledger, **options)
    return next(note for note in board.notes if ledger.name in note)


@pytest.mark.long
def test_a_board_on_opened_rows_has_how_often_and_by_which_models(ledger: Path) -> None:
    assert note_of(FRAME, ledger).startswith(
        "18 of 18 sealed rows are in the test part (sales.seal), and this board counts as opening 1; the last 6 steps "
        "of 3 series, sealed on "
    )
    assert note_of(FRAME, ledger).endswith("were opened 1 time: " + time.strftime("%Y-%m-%d") + " mean")
    board = leaderboard(
        {"mine": MeanForecaster(), "other": MeanForecaster()}, FRAME, 6, origins=1, audit=None, seal=ledger
    )
    assert [each.by for each in read_ledger(ledger).openings] == [("mean",), ("mean",), ("mine", "other")]
    assert "opened 2 times" in board.to_markdown()
    assert "opened 2 times" in str(board.to_html())
    assert read_ledger(ledger).openings[0].versions["tsforecast"] != ""


def test_a_backtest_is_an_opening_as_well(ledger: Path) -> None:
    rows = backtest(MeanForecaster(), FRAME, 6, seal=ledger, name="mine", audit=None)
    assert read_ledger(ledger).openings[0].by == ("mine",)
    assert rows.attrs["seal"].startswith("18 of 18 sealed rows")


def wide(frame: pd.DataFrame) -> Panel:
    return Panel.from_wide(frame.pivot(index="day", columns="shop", values="sales").reset_index())


FORMS: dict[str, tuple[Callable[[pd.DataFrame], Any], int]] = {
    "the same": (lambda frame: frame, 18),
    "polars": (pl.from_pandas, 18),
    "in another order of series": (lambda frame: frame.sort_values("shop", ascending=False, kind="stable"), 18),
    "another order of columns and more of them": (
        lambda frame: Panel.from_frame(frame.assign(x=1.0)[["x", "sales", "day", "shop"]], target="sales", past="x"),
        18,
    ),
    "two of the series": (lambda frame: frame[frame["shop"] != "b"], 12),
    "single precision": (lambda frame: frame.astype({"sales": np.float32}), 18),
    "other names of columns": (lambda frame: frame.set_axis(["id", "ds", "y"], axis=1), 18),
    "other names of series": (lambda frame: frame.assign(shop="shop " + frame["shop"]), 18),
    "a column for each series": (wide, 18),
    "without its beginning": (lambda frame: frame[frame["day"] > DAYS[9]], 18),
    "without its last two days": (lambda frame: frame[frame["day"] < DAYS[38]], 12),
    "one number was corrected": (lambda frame: frame.assign(sales=frame["sales"].where(frame.index != 39, 0.0)), 17),
    "dates as text": (lambda frame: frame.assign(day=frame["day"].dt.strftime("%Y-%m-%d")), 18),
    "days in a zone": (lambda frame: frame.assign(day=frame["day"].dt.tz_localize("Europe/Berlin")), 18),
    "a series alone": (lambda frame: frame[frame["shop"] == "a"].set_index("day")["sales"], 6),
}


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_sealed_rows_are_recognised_in_any_form(form: str, ledger: Path) -> None:
    change, rows = FORMS[form]
    assert note_of(change(FRAME), ledger).startswith(f"{rows} of 18 sealed rows are in the test part")


def test_files_of_each_kind_have_the_same_rows(ledger: Path, tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    pl.read_csv(tmp_path / "a.csv", try_parse_dates=True).write_parquet(tmp_path / "a.parquet")
    again = [pd.read_csv(tmp_path / "a.csv"), pl.read_parquet(tmp_path / "a.parquet")]
    prints = {seal(each, test=6).fingerprint for each in [FRAME, *again]}
    assert prints == {read_ledger(ledger).fingerprint}


@pytest.mark.parametrize(
    ("form", "change"),
    {
        "other numbers": lambda frame: frame.assign(sales=frame["sales"] + 0.1),
        "other days": lambda frame: frame.assign(day=frame["day"] + pd.Timedelta(days=100)),
        "what lies before the seal": lambda frame: frame[frame["day"] < DAYS[34]],
        "zeros on the same days": lambda frame: frame.assign(sales=0.0, shop="z" + frame["shop"]),
    }.items(),
)
def test_a_board_on_other_rows_is_not_counted(form: str, change: Any, ledger: Path) -> None:
    before = ledger.read_bytes()
    assert note_of(change(FRAME), ledger) == (
        "none of the 18 rows that 'sales.seal' seals is in the test part: no opening is counted"
    )
    assert ledger.read_bytes() == before


def test_equal_numbers_of_another_series_are_no_sealed_rows(tmp_path: Path) -> None:
    zeros = FRAME.assign(sales=np.where(np.arange(120) % 40 < 30, FRAME["sales"], 0.0))
    seal(zeros[zeros["shop"] == "a"], test=6, ledger=tmp_path / "z.seal")
    assert note_of(zeros[zeros["shop"] == "b"], tmp_path / "z.seal").startswith("none of the 6 rows")


def test_rows_that_are_learned_from_alone_are_no_opening(ledger: Path) -> None:
    later = pd.date_range(DAYS[-1], periods=11, freq="D")[1:]
    more = pd.DataFrame(
        {"shop": np.repeat(["a", "b", "c"], 10), "day": np.tile(later, 3), "sales": 20.0 + np.arange(30)}
    )
    longer = pd.concat([FRAME, more]).sort_values(["shop", "day"], ignore_index=True)
    assert note_of(longer, ledger, horizon=6).startswith("none of the 18 rows")
    assert note_of(longer, ledger, horizon=12).startswith("6 of 18 sealed rows")


@pytest.mark.parametrize("data", [NOISE[0], NOISE.T, list(NOISE)], ids=["one array", "targets", "arrays"])
def test_arrays_without_times_are_recognised_by_place(data: Any, tmp_path: Path) -> None:
    sealed = seal(data, test=5, ledger=tmp_path / "x.seal")
    rows = read_ledger(tmp_path / "x.seal").rows
    assert rows == 5 * (1 if np.ndim(data) == 1 else 3)
    assert note_of(data, tmp_path / "x.seal", horizon=5).startswith(f"{rows} of {rows} sealed rows")
    assert sealed.opened == 1


def test_times_of_a_zone_are_the_same_in_utc(tmp_path: Path) -> None:
    hours = pd.date_range("2024-03-20", periods=400, freq="h", tz="Europe/Berlin").tz_convert("UTC")
    data = pd.DataFrame({"hour": hours, "load": np.random.default_rng(0).normal(size=400).cumsum()})
    seal(data, test=24, ledger=tmp_path / "x.seal")
    local = data.assign(hour=hours.tz_convert("Europe/Berlin"))
    assert note_of(local, tmp_path / "x.seal", horizon=24).startswith("24 of 24 sealed rows")


def test_rows_before_the_own_end_of_each_series_are_sealed(tmp_path: Path) -> None:
    parts = [FRAME[(FRAME["shop"] == shop) & (FRAME["day"] < DAYS[30 + 3 * at])] for at, shop in enumerate("abc")]
    sealed = seal(pd.concat(parts), test=5, ledger=tmp_path / "x.seal", align="end")
    assert sealed.train.lengths.tolist() == [25, 28, 31]
    found = note_of(pd.concat(parts), tmp_path / "x.seal", horizon=5, align="end")
    assert found.startswith("15 of 15 sealed rows")


def test_missing_numbers_are_rows_as_well(tmp_path: Path) -> None:
    gaps = FRAME.assign(sales=FRAME["sales"].where(FRAME.index % 40 != 37))
    panel = Panel.from_frame(gaps, nan_policy="mask")
    seal(panel, test=6, ledger=tmp_path / "x.seal")
    assert note_of(panel, tmp_path / "x.seal").startswith("18 of 18")


def test_the_whole_panel_by_hand_is_an_opening_too(ledger: Path) -> None:
    sealed = seal(FRAME, test=6, ledger=ledger)
    assert len(sealed.open().notes) == 1
    assert sealed.opened == 1
    assert "were opened 1 time: " + time.strftime("%Y-%m-%d") + " by hand" in note_of(FRAME, ledger)
    again = seal(FRAME, test=6, ledger=ledger)  # the ledger that is there goes on
    assert again.opened == 2


def test_a_ledger_of_other_rows_is_left_alone(ledger: Path) -> None:
    before = ledger.read_bytes()
    with pytest.raises(DataError, match=r"ledger must be new, or of the same test part: .*seals 18 other rows since"):
        seal(FRAME, test=7, ledger=ledger)
    assert ledger.read_bytes() == before


def _lines(text: str, change: Callable[[list[str]], list[str]]) -> str:
    return "".join(f"{line}\n" for line in change(text.splitlines()))


DAMAGES: dict[str, tuple[Callable[[str], str], str]] = {
    "an opening was removed": (lambda text: _lines(text, lambda ls: [ls[0], *ls[2:]]), "line 2 does not follow"),
    "the last opening was removed": (lambda text: _lines(text, lambda ls: [*ls[:2], ls[-1]]), "line 3 does not follow"),
    "the end was cut off": (lambda text: _lines(text, lambda ls: ls[:-1]), "its last line, which counts the openings"),
    "the end was cut within a line": (lambda text: text[:-20], "line 4 is none of its own"),
    "a model was renamed": (lambda text: text.replace('"mean"', '"gru"', 1), "line 2 does not follow"),
    "a number of rows was changed": (lambda text: text.replace('"rows": 18', '"rows": 1', 1), "line 2 does not follow"),
    "it is empty": (lambda text: "", "its last line, which counts the openings, is missing"),
    "it is text": (lambda text: "hello", "line 1 is none of its own"),
    "it is a list": (lambda text: "[1]\n[2]\n", "line 1 is none of its own"),
    "it is of a later version": (
        lambda text: text.replace('"seal": 1', '"seal": 9', 1),
        "it has the form 9 of another",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_ledger_is_refused_with_the_place(damage: str, ledger: Path) -> None:
    for _ in range(2):
        note_of(FRAME, ledger)
    change, sentence = DAMAGES[damage]
    text = change(ledger.read_text(encoding="utf-8"))
    assert text != ledger.read_text(encoding="utf-8")
    ledger.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as found:
        note_of(FRAME, ledger)
    assert sentence in str(found.value)
    assert "restore it from a copy" in str(found.value)
    assert ledger.read_text(encoding="utf-8") == text


def test_lines_with_a_valid_chain_and_other_fields_are_refused(ledger: Path) -> None:
    from tsforecast.evaluation.seal import _chained

    head = json.loads(ledger.read_text().splitlines()[0])
    del head["chain"]
    for lines, why in (
        ([{"seal": 1, "series": 3}, {"openings": 0}], "its lines lack some of their fields"),
        ([{**head, "series": []}, {"openings": 0}], "its lines lack some of their fields"),
        ([head, {"openings": 2}], "its last line counts 2 openings: there are 0"),
    ):
        made, chain = [], ""
        for line in lines:
            chain = _chained(chain, line)
            made.append(json.dumps({**line, "chain": chain}))
        ledger.write_text("\n".join(made))
        with pytest.raises(DataError, match=why):
            read_ledger(ledger)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be the ledger of a sealed test part: there is none; seal the data first"):
        note_of(FRAME, tmp_path / "none.seal")
    (tmp_path / "x.seal").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"x\.seal' must be the ledger"):
        note_of(FRAME, tmp_path / "x.seal")
    for path, got in {tmp_path: "is a folder", "": "got ''", 5: "got 5"}.items():
        with pytest.raises(ParameterError, match=f"seal must be the path of a ledger, such as 'sales.seal': .*{got}"):
            leaderboard("mean", FRAME, 6, seal=path)  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match="ledger must be the path of a ledger"):
            seal(FRAME, test=6, ledger=path)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="must be a place that can be written to"):
        seal(FRAME, test=6, ledger=tmp_path / "x.seal" / "y.seal")


def test_the_rows_before_the_sealed_ones_are_those_of_the_seal(ledger: Path) -> None:
    sealed, known = seal(FRAME, test=6, ledger=ledger), read_ledger(ledger)
    assert known.before(Panel.of(FRAME)).fingerprint() == sealed.train.fingerprint()
    newcomer = FRAME[FRAME["shop"] == "a"].assign(shop="z")
    assert known.before(Panel.of(pd.concat([FRAME, newcomer]))).lengths.tolist() == [34] * 4
    with pytest.raises(DataError, match="can stay closed: series 'a' has no row at 2024-02-04T00:00:00"):
        known.before(sealed.train)
    with pytest.raises(DataError, match="can stay closed: no series has the name 'a'"):
        known.before(Panel.of(FRAME.assign(shop="x" + FRAME["shop"])))
    numbers = NOISE.cumsum(axis=1)[..., None]
    own = seal(numbers, test=9, ledger=ledger.with_name("n.seal"))
    assert read_ledger(ledger.with_name("n.seal")).before(Panel.of(numbers)).lengths.tolist() == [31] * 3
    assert own.opened == 0


def test_a_ledger_that_was_moved_or_linked_counts_on(ledger: Path, tmp_path: Path) -> None:
    note_of(FRAME, ledger)
    moved = ledger.rename(tmp_path / "elsewhere.seal")
    link = tmp_path / "link.seal"
    link.symlink_to(moved)
    assert "opening 2" in note_of(FRAME, link)
    assert link.is_symlink()
    assert len(read_ledger(moved).openings) == 2


def test_a_comparison_that_breaks_off_is_counted(ledger: Path) -> None:
    def broken(context: Any, horizon: int) -> Any:
        raise ValueError("no")

    with pytest.raises(Exception, match="no"):
        leaderboard(broken, FRAME, 6, origins=1, audit=None, seal=ledger)
    assert [each.by for each in read_ledger(ledger).openings] == [("broken",)]


def test_a_mistaken_call_is_not_counted(ledger: Path) -> None:
    with pytest.raises(DataError):
        leaderboard("mean", FRAME, 60, origins=1, seal=ledger)
    assert read_ledger(ledger).openings == ()


WRITER = """
import sys
from tsforecast.evaluation.seal import Opening, changed
for number in range(int(sys.argv[2])):
    opening = Opening("2024-01-01", (sys.argv[3],), number, {})
    changed(sys.argv[1], lambda known: known.opened_by(opening))
    print(number, flush=True)
"""


@pytest.mark.process
def test_two_processes_at_once_lose_no_opening(ledger: Path) -> None:
    words = [sys.executable, "-c", WRITER, str(ledger), "15"]
    both = [subprocess.Popen([*words, name], stdout=subprocess.DEVNULL) for name in ("one", "two")]
    assert [each.wait() for each in both] == [0, 0]
    openings = read_ledger(ledger).openings
    for name in ("one", "two"):
        assert [each.rows for each in openings if each.by == (name,)] == list(range(15))


@pytest.mark.process
def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_ledger(ledger: Path) -> None:
    for rounds in range(3):
        words = [sys.executable, "-c", WRITER, str(ledger), "100000", "killed"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(5 + rounds)]
            writer.kill()
        assert len(read_ledger(ledger).openings) >= len(told)
    changed(ledger, lambda known: known.opened_by(Opening("2024-01-01", ("next",), 1, {})))  # type: ignore[union-attr]
    assert read_ledger(ledger).openings[-1].by == ("next",)


@pytest.mark.long
def test_the_command_line_seals_a_file_and_finds_its_ledger(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "shops.csv", index=False)
    made = run("seal", str(tmp_path / "shops.csv"), "--test", "6")
    assert made.returncode == 0, made.stderr
    assert "the last 6 steps of 3 series" in " ".join(made.stdout.split())
    words = ("leaderboard", str(tmp_path / "shops.csv"), "--models", "mean", "--horizon", "6", "--audit", "none")
    board = run(*words, "--origins", "1")
    assert board.returncode == 0, board.stderr
    assert "18 of 18 sealed rows are in the test part (shops.csv.seal)" in " ".join(board.stdout.split())
    closed = run(*words, "--origins", "1", "--closed", "--out", str(tmp_path / "out"))
    assert closed.returncode == 0, closed.stderr
    rows = pd.read_parquet(tmp_path / "out" / "rows.parquet")
    assert rows["time"].max() == DAYS[33]  # the last day before the seal
    assert len(read_ledger(tmp_path / "shops.csv.seal").openings) == 1
    (tmp_path / "shops.csv.seal").rename(tmp_path / "away.seal")
    unsealed = run(*words, "--closed")
    assert (unsealed.returncode, "there is none; seal the data first" in unsealed.stderr) == (2, True)
    assert "sealed rows" not in " ".join(run(*words, "--origins", "1").stdout.split())
    again = run(*words, "--origins", "1", "--seal", str(tmp_path / "away.seal"))
    assert "counts as opening 2" in " ".join(again.stdout.split())
    state = run("seal", str(tmp_path / "shops.csv"), "--test", "6", "--out", str(tmp_path / "away.seal"))
    assert "were opened 2 times" in " ".join(state.stdout.split())
    for words_, sentence in {
        ("--test", "0"): "--test must be a share in (0, 1)",
        ("--test", "6", "--out", str(tmp_path)): "--out must be the path of a ledger",
        ("--test", "7", "--out", str(tmp_path / "away.seal")): "--out must be new, or of the same test part",
    }.items():
        refused = run("seal", str(tmp_path / "shops.csv"), *words_)
        assert (refused.returncode, sentence in " ".join(refused.stderr.split())) == (2, True), refused.stderr
    wrong = run(*words, "--seal", str(tmp_path / "none.seal"))
    assert wrong.returncode == 2
    assert "there is none" in wrong.stderr
