"""`.ts` and `.arff` files: what they hold comes whole, and each fault is named with its line and a remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tsforecast.catalog.recordings import Recordings, read_recordings
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError

HEADER = "# a comment\n@problemName taps\n@timeStamps false\n@missing true\n@univariate false\n@dimensions 2\n"
LABELLED = HEADER + "@equalLength false\n@classLabel true Up down\n@data\n"
BAG = (
    "% a comment\n@relation moves\n@attribute moves relational\n  @attribute t0 numeric\n  @attribute t1 numeric\n"
    "@end moves\n@attribute class {up,'go down'}\n@data\n"
)
FLAT = "@RELATION taps\n@ATTRIBUTE a0 NUMERIC\n@ATTRIBUTE a1 REAL\n@ATTRIBUTE a2 real\n@ATTRIBUTE class {1,2}\n@DATA\n"


def read(folder: Path, text: str | bytes, name: str = "taps.ts") -> Recordings:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_recordings(path)


def shown(found: Recordings) -> list[list[list[float]]]:
    """The numbers, with -1 for those that are missing."""
    return [np.nan_to_num(one, nan=-1.0).tolist() for one in found.values]


def test_channels_of_unequal_length_come_with_labels_as_they_are_written(tmp_path: Path) -> None:
    found = read(tmp_path, LABELLED + "1,2,3:4,?,6:Up\n\n7,8:9,10:down\n")
    assert shown(found) == [[[1, 4], [2, -1], [3, 6]], [[7, 9], [8, 10]]]
    assert (found.ids, found.labels, found.parts) == (("001", "002"), ("Up", "down"), ())
    frame, roles = found.table(["x", "y"])
    assert frame["recording"].to_list() == ["001"] * 3 + ["002"] * 2
    assert frame["y"].fill_nan(None).to_list() == [4, None, 6, 9, 10]
    assert roles == {"time": False, "id": "recording", "target": ["x", "y"], "static": ["label"]}


def test_one_channel_target_numbers_and_no_labels_are_read(tmp_path: Path) -> None:
    numbers = read(tmp_path, "@univariate true\n@targetLabel true\n@data\n1,2:0.5\n3,4,5:-2e3\n")
    assert numbers.labels == (0.5, -2000.0)
    assert [one.shape for one in numbers.values] == [(2, 1), (3, 1)]
    bare = read(tmp_path, "﻿@classLabel false\r\n@data\r\n1,2:3,4\r\n".encode())  # with the mark of UTF-8
    assert (bare.labels, shown(bare)) == ((), [[[1, 3], [2, 4]]])


def test_both_parts_are_read_together_unless_one_is_wanted_alone(tmp_path: Path) -> None:
    for part, line in (("TRAIN", "1:2:Up"), ("TEST", "3:4:down\n5:6:Up")):
        (tmp_path / f"taps_{part}.ts").write_text(LABELLED + line)
    for name in ("taps_TRAIN.ts", "taps_TEST.ts"):
        both = read_recordings(tmp_path / name)
        assert (both.ids, both.parts) == (("train/001", "test/001", "test/002"), ("train", "test", "test"))
    alone = read_recordings(tmp_path / "taps_TEST.ts", both=False)
    assert (alone.ids, alone.parts, alone.labels) == (("001", "002"), (), ("down", "Up"))
    (tmp_path / "taps_TEST.ts").unlink()
    assert read_recordings(tmp_path / "taps_TRAIN.ts").parts == ()


def test_a_bag_of_channels_and_a_flat_list_are_read_from_arff(tmp_path: Path) -> None:
    bag = read(tmp_path, BAG + "'1,2\\n3,4',up\n\"5,6\\n7,8\",'go down'\n", "moves.arff")
    assert shown(bag) == [[[1, 3], [2, 4]], [[5, 7], [6, 8]]]
    assert bag.labels == ("up", "go down")
    flat = read(tmp_path, FLAT + "1,2,3,1\n4,?,6,2\n7,8,?,1\n", "taps.arff")
    assert shown(flat) == [[[1], [2], [3]], [[4], [-1], [6]], [[7], [8]]]  # padded at the end alone
    assert flat.labels == ("1", "2", "1")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            LABELLED + "1,2:3,4:Up\n5,6:7",
            "taps.ts, line 11: a recording must have 2 channels and a label, with colons between them: it has 1 colon; "
            "it may be cut short: get it again",
        ),
        (
            LABELLED + "1,2:3,4:up\n",
            "taps.ts, line 10: the label must be one of @classLabel: got 'up'; did you mean 'Up'?",
        ),
        (
            LABELLED + "1,2:3,4:\n",
            "line 10: the label must be one of @classLabel: it is empty; choose from 'Up', 'down'",
        ),
        (
            LABELLED + "1,2,3:4,5:Up\n",
            "line 10: channels of a recording must have as many steps: channel 1 has 3 steps, channel 2 has 2; it may "
            "be cut short: get it again",
        ),
        (
            LABELLED + "1,2:3,x:Up\n",
            "line 10: a recording must hold numbers with commas between them, and ? where one is missing: number 2 of "
            "channel 2 is 'x'",
        ),
        (
            LABELLED + "1,2:3,inf:Up\n",
            "line 10: numbers must be finite: one is infinite; write ? where a number is missing",
        ),
        (
            LABELLED + "?,?:?,?:Up\n",
            "line 10: a recording must have a number: all of them are missing; remove the line",
        ),
        (
            "@classLabel true a b\n@data\n1,2:3,4:a\n1,2:a\n",
            "line 4: a recording must have as many channels as that of line 3, 2: it has 1; it may be cut short",
        ),
        (
            "@equalLength true\n@seriesLength 3\n@classLabel true a\n@data\n1,2,3:a\n1,2:a\n",
            "line 6: a recording must have the 3 steps of @seriesLength: it has 2; it may be cut short: get it again",
        ),
        ("@targetLabel true\n@data\n1,2:a\n", "line 3: the target must be a number: got 'a'"),
        (
            "@problemNam x\n@data\n1:a\n",
            "line 1: a line of the header must be one of the format: @problemNam; did you mean '@problemName'?",
        ),
        ("@missing perhaps\n@data\n1:a\n", "line 1: @missing must be true or false: got 'perhaps'"),
        ("@dimensions few\n@data\n1:a\n", "line 1: @dimensions must be a whole number: got 'few'"),
        (
            "@timeStamps true\n@data\n(0,1):a\n",
            "taps.ts must have steps in their order: @timeStamps is true; write the numbers without",
        ),
        ("1,2:a\n@data\n1:a\n", "line 1: a line before @data must begin with @ or #: got '1,2:a'"),
        ("1,2:a\n3,4:b\n", "taps.ts' must have a line @data before its recordings: it has none"),
        ("@missing true\n", "must have a line @data before its recordings: it has none"),
        ("", "must have a line @data before its recordings: it has none"),
        (LABELLED, "must have a recording after @data: it has none; get it again"),
    ],
)
def test_faults_of_ts_have_their_line_and_a_remedy(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path, text)
    assert sentence in str(refused.value)
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            FLAT + "1,2,3\n",
            "line 7: a recording must have the 4 attributes of the header, with commas: it has 3; it may be",
        ),
        (FLAT + "{0 1}\n", "line 7: a recording must have the 4 attributes of the header, with commas: it is sparse"),
        (FLAT + "1,2,3,4\n", "line 7: the label must be one of the header: got '4'; choose from '1', '2'"),
        (FLAT + "1,a,3,2\n", "number 2 of channel 1 is 'a'"),
        (
            BAG + "'1,2\\n3',up\n",
            "channels of a recording must have as many steps: channel 1 has 2 steps, channel 2 has 1",
        ),
        (
            "@relation a\n@attribut b real\n@data\n1\n",
            "a line of the header must be one of the format: got '@attribut b real'; did you mean '@attribute'?",
        ),
        (
            "@relation a\n@attribute b date\n@data\n1\n",
            "line 2: an attribute must have a name and a type (numeric, real, integer, relational or classes in "
            "braces): b date",
        ),
        (
            "@relation a\n@attribute a {x}\n@attribute b {y}\n@data\nx,y\n",
            "must have one attribute of classes, the label: it has 'a', 'b'; remove the others",
        ),
        ("@relation a\n", "must have a line @data before its recordings: it has none"),
    ],
)
def test_faults_of_arff_have_their_line_and_a_remedy(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path, text, "taps.arff")
    assert sentence in str(refused.value)


def test_a_file_of_mixed_encodings_is_refused_with_the_line(tmp_path: Path) -> None:
    mixed = (LABELLED + "1:2:Up\n").encode() + "3:4:dówn\n".encode("latin-1")
    with pytest.raises(
        DataError, match=r"must be text in UTF-8: line 11 holds bytes that are not; save it again in UTF-8"
    ):
        read(tmp_path, mixed)
    with pytest.raises(DataError, match=r"taps\.ts' must be a readable \.ts file: No such file"):
        read_recordings(tmp_path / "none" / "taps.ts")


def test_all_faults_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path, LABELLED + "1:2:Up\n3:x:Up\n5:6:left\n")
    assert [problem[:16] for problem in refused.value.problems] == ["taps.ts, line 11", "taps.ts, line 12"]


def test_the_fingerprint_of_labels_is_theirs_whatever_objects_hold_them() -> None:
    panel, labels = Panel.of(np.arange(12.0)), ["tap", "wave" * 3, "tap"]
    prints = {panel.fingerprint(np.array([f"{label}" for label in labels], dtype=object)) for _ in range(3)}
    assert prints == {panel.fingerprint(np.array(labels))}
    assert panel.fingerprint(np.array([1, 0], dtype=object)) == panel.fingerprint(np.array([1, 0]))
    some = [panel.fingerprint(np.array(each, dtype=object)) for each in (["a", None], ["a", "b"], ["b", None])]
    assert len({*prints, *some}) == 4


def test_a_panel_notes_steps_that_are_not_in_the_order_of_dates_or_are_there_twice() -> None:
    days = pd.date_range("2024-01-01", periods=6)
    table = pd.DataFrame({"id": ["a"] * 6 + ["b"] * 6, "day": [*days, *days[::-1]], "x": np.arange(12) ** 2})
    how = {"time": False, "id": "id", "target": "x"}
    dated, *notes = Panel.from_frame(table, **how).notes
    assert dated == "'day' holds times and was left out: rows are steps in their order"
    assert notes == [
        "rows are the steps of series: they are not in the order of 'day' in 1 of 2; pass time='day' and sort=True, or "
        "order them first"
    ]
    assert Panel.from_frame(table.sort_values(["day"]), **how).notes == (dated,)
    for twice in (pd.concat([table, table[6:]]), table.loc[[*range(6), *np.repeat(range(6, 12), 2)]]):
        assert Panel.from_frame(twice.drop(columns="day"), **how).notes == (
            "rows are the steps of series: 1 of 2 hold each row twice, 'b'; remove the copies, unless they were "
            "recorded so",
        )
    steady = pd.DataFrame({"id": ["a"] * 12, "x": [1, 2, 3] * 4})
    assert Panel.from_frame(steady, **how).notes == ()


def test_parts_of_different_channels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "taps_TRAIN.ts").write_text("@classLabel true a\n@data\n1:2:a\n")
    (tmp_path / "taps_TEST.ts").write_text("@classLabel true a\n@data\n1:a\n")
    with pytest.raises(DataError, match=r"as many channels: taps_TRAIN\.ts has 2 and taps_TEST\.ts has 1"):
        read_recordings(tmp_path / "taps_TRAIN.ts")
