"""Recordings on the command line: a table, a folder, a zip, `.ts`, or a dataset, compared, fitted, and predicted."""

from __future__ import annotations

import io
import json
import re
import shlex
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tsforecast import ClassifierComparison, GRUClassifier, MajorityClassifier, NearestNeighborClassifier, load
from tsforecast.cli import data as places_of_data
from tsforecast.cli.options import DataOptions, RecordingOptions
from tsforecast.cli.recordings import read_recordings

USERS, GESTURES = ("ann", "bob", "cem"), ("tap", "wave")
FAST = ("--models", "nearest-neighbor")
NAMED = ("--label", "gesture", "--group", "user")


def movement(user: int, gesture: int, number: int) -> pd.DataFrame:
    """A recording with a clock, two channels and the number of its repetition."""
    steps = np.arange(12 + user + number)
    wave = np.sin(steps * (0.4 + gesture)) + 0.01 * number + 0.02 * user
    channels = {"x": wave.round(4), "y": (wave * gesture + steps % 2).round(4)}
    return pd.DataFrame({"t": steps / 10, **channels, "nr": number})


def movements() -> dict[str, pd.DataFrame]:
    """All recordings, by the place of each."""
    return {
        f"{user}/{gesture}/{number:02d}": movement(u, g, number)
        for u, user in enumerate(USERS)
        for g, gesture in enumerate(GESTURES)
        for number in (1, 2)
    }


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same recordings as a folder of files, a zip of it, and a table."""
    root = tmp_path_factory.mktemp("places")
    parts = []
    with zipfile.ZipFile(root / "moves.zip", "w") as archive:
        for place, frame in movements().items():
            file = root / "moves" / f"{place}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            frame.to_csv(file, index=False)
            archive.write(file, f"recorded/{place}.csv")
            user, gesture, _ = place.split("/")
            parts.append(frame.assign(user=user, gesture=gesture))
        archive.writestr("__MACOSX/recorded/._01.csv", b"\0")
        archive.writestr("readme.txt", "how they were recorded")
    pd.concat(parts).to_csv(root / "moves.csv", index=False)
    return root


def accuracies(result: ClassifierComparison) -> dict[str, float]:
    return dict(zip(result.table["model"], result.table["accuracy"], strict=True))


def zipped(folder: Path, members: dict[str, bytes | str], **how: int) -> Path:
    path = folder / "moves.zip"
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


@pytest.mark.long
def test_a_folder_a_zip_and_a_table_are_the_same_recordings(places: Path, tmp_path: Path) -> None:
    rows = []
    for name, columns in (("moves", ()), ("moves.zip", ()), ("moves.csv", ("--id", "user,gesture,nr"))):
        result = tsforecast("classify", places / name, *NAMED, *columns, *FAST, "--out", tmp_path / name)
        assert result.returncode == 0, result.stderr
        assert "12 recordings of 3 users, 2 classes." in result.stdout
        assert "leave-users-out: users it has not seen" in result.stdout
        assert "'t' grows within every recording and is left out; --target names the channels to read" in result.stderr
        if name != "moves.csv":  # where it is a part of the id
            assert "'nr' stays the same within every recording and is left out" in result.stderr
        rows.append(ClassifierComparison.from_parquet(tmp_path / name).rows.drop(columns=["recording"]))
        assert accuracies(ClassifierComparison.from_parquet(tmp_path / name)) == {
            "nearest-neighbor": 1.0,
            "majority": 0.5,
        }
        written = {path.name for path in (tmp_path / name).iterdir()}
        assert written == {"classification.md", "report.html", "rows.parquet"}
    seconds = ["fit_seconds", "predict_seconds"]
    for other in rows[1:]:
        pd.testing.assert_frame_equal(rows[0].drop(columns=seconds), other.drop(columns=seconds))
    drawn = tsforecast("report", tmp_path / "moves", "--out", tmp_path / "again.md")
    assert drawn.returncode == 0, drawn.stderr
    assert "nearest-neighbor" in (tmp_path / "again.md").read_text()
    heading = (tmp_path / "moves" / "classification.md").read_text().splitlines()[0]
    assert heading == f"# {places / 'moves'}: gesture"
    assert (tmp_path / "again.md").read_text().splitlines()[0] == heading


def test_a_narrow_terminal_lists_the_columns_that_do_not_fit(places: Path) -> None:
    result = tsforecast("classify", places / "moves", *NAMED, *FAST, width=40)
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 40
    assert "(left out for width: 95% interval," in result.stdout


@pytest.mark.long
def test_places_are_described_by_fields_and_a_part_among_them_is_the_split(places: Path, tmp_path: Path) -> None:
    for place, frame in movements().items():
        user, gesture, number = place.split("/")
        part = "test" if user == "cem" else "train"
        file = tmp_path / "split" / part / f"{user}-{gesture}-{number}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(file, index=False)
    where = ("--files", "{part}/{user}-{gesture}-*.csv", "--label", "gesture", "--target", "x,y")
    result = tsforecast("classify", tmp_path / "split", *where, *FAST)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # the channels are named
    assert "4 recordings, 2 classes.\ngiven: the split that came with the recordings" in result.stdout
    both = tsforecast(
        "classify", tmp_path / "split", *where, *FAST, "--group", "user", "--protocol", "leave-users-out,random"
    )
    assert both.returncode == 0, both.stderr
    assert "leave-users-out: users it has not seen" in both.stdout
    assert "The optimism of the random split" in both.stdout
    fitted = tsforecast("fit", tmp_path / "split", *where, "--model", "nearest-neighbor", "--out", tmp_path / "model")
    assert "fitted nearest-neighbor on 8 recordings, 2 classes" in fitted.stdout
    assert "4 recordings of part 'test' were not learned from" in fitted.stderr


@pytest.mark.long
def test_a_fitted_classifier_predicts_new_files_a_single_one_and_a_table(places: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    fitted = tsforecast("fit", places / "moves", *NAMED, "--model", "gru", "--epochs", "2", "--out", model)
    assert fitted.returncode == 0, fitted.stderr
    assert "fitted gru on 12 recordings of 3 users, 2 classes" in fitted.stdout
    assert f"tsforecast predict {model} NEW" in fitted.stdout
    shown = tsforecast("inspect", model).stdout
    assert "2: 'tap', 'wave'" in shown
    assert "2 channels 'x', 'y'" in shown

    known = tsforecast("predict", model, places / "moves.zip", "--out", tmp_path / "known.csv")
    assert known.returncode == 0, known.stderr
    assert "of 12 recordings got the label in column 'gesture'" in known.stderr
    assert "Note: 12 of 12 recordings were learned from: how well they are recognised is no estimate" in known.stderr
    table = pd.read_csv(tmp_path / "known.csv")
    assert table.columns.tolist() == ["recording", "gesture", "gesture=tap", "gesture=wave"]
    assert table["recording"].tolist() == [f"recorded/{place}" for place in movements()]
    frames = [frame[["x", "y"]].to_numpy() for frame in movements().values()]
    expected = load(model).predict_proba(frames)
    np.testing.assert_allclose(table[["gesture=tap", "gesture=wave"]], expected, atol=1e-6)
    assert (table["gesture"] == np.array(GESTURES)[expected.argmax(axis=1)]).all()

    new = tmp_path / "new"
    new.mkdir()
    movement(1, 1, 1)[["y", "nr", "x"]].to_csv(new / "one.csv", index=False)  # columns in another order
    result = tsforecast("predict", model, new / "one.csv")
    assert "Note: 1 of 1 recording was learned from" in result.stderr
    alone = pd.read_csv(io.StringIO(result.stdout))
    (movement(1, 1, 1)[["x", "y"]] * 1.01).to_csv(new / "two.csv", index=False)
    assert "learned from" not in tsforecast("predict", model, new / "two.csv").stderr
    (new / "two.csv").unlink()
    folder = pd.read_csv(io.StringIO(tsforecast("predict", model, new).stdout))
    pd.testing.assert_frame_equal(alone, folder)
    assert alone["recording"].tolist() == ["one"]
    same = table.set_index("recording").loc["recorded/bob/wave/01", "gesture=tap"]
    assert alone["gesture=tap"].item() == pytest.approx(same, abs=1e-6)

    rows = tsforecast("predict", model, places / "moves.csv", "--id", "user,gesture,nr")
    assert rows.returncode == 0, rows.stderr
    assert len(rows.stdout.splitlines()) == 13
    wrong = tsforecast("predict", model, places / "moves.csv")
    assert (
        "column 'gesture' must be constant in each recording: 'moves' has 'tap' and 'wave'; name recordings with --id"
        in wrong.stderr
    )


def test_a_classifier_from_python_predicts_on_the_command_line(places: Path, tmp_path: Path) -> None:
    frames = [frame[["x", "y"]].to_numpy() for frame in movements().values()]
    labels = [place.split("/")[1] for place in movements()]
    NearestNeighborClassifier().fit(frames, labels).save(tmp_path / "model")
    table = pd.read_csv(places / "moves.csv")[["user", "gesture", "nr", "x", "y"]].rename(columns={"gesture": "truth"})
    table.to_csv(tmp_path / "new.csv", index=False)
    result = tsforecast("predict", tmp_path / "model", tmp_path / "new.csv", "--id", "user,truth,nr")
    assert result.returncode == 0, result.stderr
    assert [line.split(",")[1] for line in result.stdout.splitlines()[1:]] == labels
    movement(1, 1, 1)[["x", "y"]].to_csv(tmp_path / "two.csv", index=False)
    alone = tsforecast("predict", tmp_path / "model", tmp_path / "two.csv").stdout
    assert alone.splitlines()[1].startswith("two,wave,")


def test_a_clock_or_a_fact_is_a_channel_where_the_arrays_that_were_fitted_had_as_many(
    places: Path, tmp_path: Path
) -> None:
    frames = [frame[["t", "x", "y", "nr"]].to_numpy() for frame in movements().values()]
    labels = [place.split("/")[1] for place in movements()]
    NearestNeighborClassifier().fit(frames, labels).save(tmp_path / "model")
    table = pd.concat(frame.assign(id=place) for place, frame in movements().items())
    table.to_csv(tmp_path / "new.csv", index=False)
    result = tsforecast("predict", tmp_path / "model", tmp_path / "new.csv", "--id", "id")
    assert result.returncode == 0, result.stderr
    assert "left out" not in result.stderr
    assert [line.split(",")[1] for line in result.stdout.splitlines()[1:]] == labels


def test_one_recording_of_one_user_is_counted_as_one(tmp_path: Path) -> None:
    for name, user in (("ann/tap/1.csv", "ann"), ("ann/wave/2.csv", "ann"), ("bob/wave/1.csv", "bob")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(f"x,y\n{len(user)},2\n3,{len(name)}\n2,2\n")
    words = ("fit", tmp_path / "in", *NAMED, "--model", "majority", "--out", tmp_path / "m")
    assert "on 3 recordings of 2 users, 2 classes" in tsforecast(*words).stdout
    (tmp_path / "in" / "bob" / "wave" / "1.csv").unlink()
    assert "on 2 recordings of 1 user, 2 classes" in tsforecast(*words).stdout
    assert "2 recordings of 3 steps, 6 in all, of 1 group " in tsforecast("inspect", tmp_path / "m").stdout
    alone = tsforecast("predict", tmp_path / "m", tmp_path / "in" / "ann" / "tap", "--out", tmp_path / "out.csv")
    assert "1 label in " in alone.stdout


@pytest.mark.long
def test_labels_of_steps_several_labels_and_classes_in_order_are_written_as_python_predicts_them(
    places: Path, tmp_path: Path
) -> None:
    frames = [frame[["x", "y"]].to_numpy() for frame in movements().values()]
    quick = {"units": 4, "max_epochs": 2, "validation": None, "random_state": 0}
    steps = GRUClassifier(output="step", **quick).fit(frames, [np.where(one[:, 0] > 0, "up", "down") for one in frames])
    steps.save(tmp_path / "steps")
    table = tsforecast("predict", tmp_path / "steps", places / "moves.csv", "--id", "user,gesture,nr")
    assert table.returncode == 0, table.stderr
    read = pd.read_csv(io.StringIO(table.stdout))
    assert read.columns.tolist() == ["recording", "step", "label", "label=down", "label=up"]
    assert read["label"].tolist() == np.concatenate(steps.predict(frames)).tolist()
    assert read["step"].tolist() == [step for one in frames for step in range(len(one))]

    several = pd.DataFrame({"long": [i % 4 != 0 for i in range(12)], "odd": [i % 3 != 0 for i in range(12)]}).astype(
        int
    )
    MajorityClassifier().fit(frames, several).save(tmp_path / "several")
    rows = tsforecast("predict", tmp_path / "several", places / "moves.csv", "--id", "user,gesture,nr").stdout
    assert rows.splitlines()[0] == "recording,label,label=long,label=odd"
    assert rows.splitlines()[1] == "ann/tap/1,long;odd,0.75,0.666667"

    places_of = [("low", "mid", "high")[i % 3] for i in range(12)]
    ordered = GRUClassifier(ordinal=["low", "mid", "high"], **quick).fit(frames, places_of)
    ordered.save(tmp_path / "ordered")
    lines = tsforecast(
        "predict", tmp_path / "ordered", places / "moves.csv", "--id", "user,gesture,nr"
    ).stdout.splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ordered.predict(frames).tolist()


def test_both_parts_of_a_ts_dataset_are_compared_and_the_test_part_is_not_learned(tmp_path: Path) -> None:
    for part, lines in (("TRAIN", "1,2,3:up\n2,3,4:up\n3,2,1:down\n4,3,2:down\n"), ("TEST", "5,6,7:up\n6,5,4:down\n")):
        (tmp_path / f"moves_{part}.ts").write_text(f"@univariate true\n@classLabel true up down\n@data\n{lines}")
    compared = tsforecast("classify", tmp_path / "moves_TRAIN.ts", *FAST)
    assert "2 recordings, 2 classes.\ngiven: the split that came with the recordings" in compared.stdout
    fitted = tsforecast(
        "fit", tmp_path / "moves_TRAIN.ts", "--label", "way", "--model", "majority", "--out", tmp_path / "m"
    )
    assert "fitted majority on 4 recordings, 2 classes" in fitted.stdout
    predicted = tsforecast("predict", tmp_path / "m", tmp_path / "moves_TEST.ts")
    assert predicted.stdout.splitlines() == ["recording,way,way=down,way=up", "001,down,0.5,0.5", "002,down,0.5,0.5"]
    assert "50.0% of 2 recordings got the label in column 'way'" in predicted.stderr
    (tmp_path / "one").mkdir()
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"moves_{part}.ts").rename(tmp_path / "one" / f"moves_{part}.ts")
    assert tsforecast("classify", tmp_path / "one", *FAST).stdout.splitlines()[1:] == compared.stdout.splitlines()[1:]
    packed = zipped(tmp_path, {f"a/{path.name}": path.read_bytes() for path in (tmp_path / "one").iterdir()})
    assert tsforecast("classify", packed, *FAST).stdout.splitlines()[1:] == compared.stdout.splitlines()[1:]


@pytest.mark.usefixtures("data_folder")
@pytest.mark.filterwarnings("ignore:recordings 'U02/13/20'")
def test_a_dataset_is_named_where_a_path_may_stand(tmp_path: Path) -> None:
    result = tsforecast("classify", "basic-motions", *FAST)
    assert "basic-motions: label\n40 recordings, 4 classes.\ngiven:" in result.stdout
    assert "90.0%" in result.stdout
    model = ("--label", "label", "--model", "nearest-neighbor", "--out", tmp_path / "m")
    assert "on 40 recordings, 4 classes" in tsforecast("fit", "basic-motions", *model).stdout
    repeated = tsforecast("classify", "smartwatch-gestures", *NAMED, "--models", "majority")
    assert "3251 recordings of 8 users, 20 classes." in repeated.stdout


@pytest.mark.long
def test_an_interrupted_comparison_resumes_from_its_folder(places: Path, tmp_path: Path) -> None:
    words = ("classify", places / "moves", *NAMED, *FAST, "--seeds", "2", "--report", tmp_path / "page.html")
    result = tsforecast(*words, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "page.html"]  # nothing unfinished is left
    again = tsforecast(*words, "--out", tmp_path / "out")  # in place of the older one
    assert again.returncode == 0
    assert "will be replaced" not in again.stderr
    fewer = tsforecast("classify", places / "moves", *NAMED, "--models", "majority", "--out", tmp_path / "out")
    assert (
        f"Note: '{tmp_path / 'out'}' has rows of nearest-neighbor as well, which will be replaced; to keep them name "
        "another --out: tsforecast report merges both" in fewer.stderr
    )
    assert "Accuracy of nearest-neighbor is 100.0% on each user." in (tmp_path / "page.html").read_text()


@pytest.mark.long
def test_the_commands_of_the_page_on_recordings_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "recordings.md").read_text(encoding="utf-8")
    exec("".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)), {})
    lines = "".join(re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)).splitlines()
    results = [tsforecast(*shlex.split(line)[1:]) for line in lines]
    assert [result.returncode for result in results] == [0] * 10, [result.stderr for result in results]
    assert "majority 33.3%, p < 0.001" in results[0].stdout
    assert "The optimism of the random split" in results[1].stdout
    assert results[5].stdout.splitlines()[0] == "recording,gesture,gesture=circle,gesture=tap,gesture=wave"
    assert "54 labels in labels.csv" in results[6].stdout
    assert "12 recordings of 6 users" in results[7].stdout
    assert results[9].stdout.startswith("recording,step,activity,activity=rest,activity=run,activity=walk\n")


Make = Callable[[Path], Path]


def one_file(text: str, name: str = "ann/tap/01.csv") -> Make:
    def make(folder: Path) -> Path:
        for place, body in (("bob/wave/01.csv", "x,y\n1,2\n3,1\n2,2\n"), (name, text)):
            (folder / "in" / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / "in" / place).write_bytes(body.encode("latin-1"))
        return folder / "in"

    return make


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            one_file("x\n1\n2\n"),
            "file 'bob/wave/01.csv' must have the columns of 'ann/tap/01.csv': it has 'y' as well; name",
        ),
        (
            one_file("x,y,z\n1,2,3\n2,1,1\n"),
            "file 'bob/wave/01.csv' must have the columns of 'ann/tap/01.csv': it lacks 'z'",
        ),
        (one_file("x,y\n"), "must have rows|file 'ann/tap/01.csv' must have a row: it has none; remove it"),
        (one_file("0.5,1.5\n0.25,2.5\n"), "ann/tap/01.csv' must hold the names of its columns: it holds '0.5', '1.5'"),
        (one_file("x,y\n1,2\n3,oops\n"), "line 3 of 'ann/tap/01.csv'"),
        (one_file("x,y\n1,2\n3,\n"), "line 3 of 'ann/tap/01.csv'|NaN"),
        (one_file("x,y\n1,2\n3,1,9\n"), "ann/tap/01.csv"),
        (
            lambda folder: folder,
            "must hold files of recordings (.csv, .csv.gz, .xlsx, .parquet, .ts or .arff): it has nothing",
        ),
        (lambda folder: zipped(folder, {}), "moves.zip' must hold files of recordings (.csv, .csv.gz"),
        (
            lambda folder: zipped(folder, {"in.zip": "PK"}),
            "it holds another zip, 'in.zip'; unpack it, and name that one",
        ),
        (
            lambda folder: zipped(folder, {"a/../../evil.csv": "x\n1\n"}),
            "moves.zip' must hold files below its own folder: it has 'a/../../evil.csv'; pack it again",
        ),
        (lambda folder: zipped(folder, {"/etc/evil.csv": "x\n1\n"}), "below its own folder: it has '/etc/evil.csv'"),
        (lambda folder: zipped(folder, {"C:\\evil.csv": "x\n1\n"}), "must hold files below its own folder: it has 'C:"),
        (
            lambda folder: zipped(folder, {"a.csv": "x,y\n" + "1,2\n" * 3000}, compression=zipfile.ZIP_DEFLATED),
            "must unpack to 0.0 GB at most: it holds 0.0 GB, of which 'a.csv' is 0.0; unpack it by hand",
        ),
        (
            lambda folder: zipped(folder, {"a.csv": "x,y\n1,2\n3,1\n"}),
            "moves.zip' must lie at '{user}/{gesture}/*': none of 1 file does, such as 'a.csv'; describe",
        ),
        (lambda folder: zipped(folder, {"ann/tap/1.csv": "x,y\n1,2\n3,oops\n4,4\n"}), "line 3 of 'ann/tap/1.csv'"),
        (
            lambda folder: zipped(folder, {"A_TRAIN.ts": "", "B_TRAIN.ts": ""}),
            "moves.zip' must hold one dataset of .ts files: it has 'A', 'B'; name a file",
        ),
    ],
)  # fmt: skip
def test_a_bad_folder_or_zip_is_refused_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make, sentence: str
) -> None:
    monkeypatch.setattr(places_of_data, "MOST_BYTES", 10_000)
    here = Path.cwd()
    result = tsforecast("classify", make(tmp_path), *NAMED, *FAST)
    assert result.returncode == 2, result.stdout
    assert any(each in result.stderr for each in sentence.split("|")), result.stderr
    assert "Traceback" not in result.stderr
    assert Path.cwd() == here
    assert not (tmp_path.parent / "evil.csv").exists()


def test_a_damaged_or_locked_zip_is_refused(places: Path, tmp_path: Path) -> None:
    raw = (places / "moves.zip").read_bytes()
    for body, words in ((raw[:200], "whole zip archive"), (raw.replace(b"wave", b"WAVE", 1), "whole zip archive")):
        (tmp_path / "cut.zip").write_bytes(body)
        result = tsforecast("classify", tmp_path / "cut.zip", *NAMED, *FAST)
        assert words in result.stderr
        assert result.returncode == 2
    path = zipped(tmp_path, {"a/b/1.csv": "x\n1\n"})
    locked = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.find(mark) + at] |= 1
    path.write_bytes(locked)
    assert "must have no password: it has one; unpack it" in tsforecast("classify", path, *NAMED, *FAST).stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("classify", "moves"), "--label must name the column, or the field of --files, with the class: it is missing"),
        (
            ("classify", "moves", "--label", "user", "--group", "user"),
            "--label must be another column than the group: got 'user'",
        ),
        (
            ("classify", "moves.csv", "--label", "gestur", "--id", "user,gesture,nr"),
            "column 'gestur' does not exist; did you mean 'gesture'?",
        ),
        (
            ("classify", "moves.csv", "--label", "gesture"),
            "a table of recordings must have a column that names them|must be constant in each recording",
        ),
        (
            ("classify", "moves", *NAMED, "--files", "{user}/{user}/*"),
            "with fields in braces, each once, such as {user}/{gesture}/*.csv: got",
        ),
        (
            ("classify", "moves", "--label", "gesture", "--files", "{user}/*/*"),
            "column 'gesture' does not exist; name a column, or the field of a folder with --files '{gesture}/*'",
        ),
        (
            ("classify", "moves", *NAMED, "--models", "rockt"),
            "classifier 'rockt' does not exist; did you mean 'rocket'?",
        ),
        (("classify", "moves", *NAMED, "--models", ","), "at least one model must be named: choose from majority"),
        (
            ("classify", "moves", *NAMED, "--models", "majority", "--epochs", "3"),
            "--epochs must be left out: majority has no such setting",
        ),
        (
            ("classify", "moves", *NAMED, "--protocol", "leave-user-out"),
            "--protocol must be given, leave-users-out, random, or the last two: got 'leave-user-out'; did you mean",
        ),
        (
            ("classify", "moves", *NAMED, "--protocol", "given"),
            "--protocol given needs a column or field 'part' that holds 'train' and 'test'",
        ),
        (("classify", "co2-weekly"), "dataset 'co2-weekly' must have labels: its card names none"),
        (
            ("classify", "smartwatch-gestures", "--group", "gesture"),
            "dataset 'smartwatch-gestures' has its own columns and cleaning",
        ),
        (("classify", "nowhere", "--label", "x"), "'nowhere' must be a file, a folder or a dataset"),
        (("classify", "nowhere.zip", "--label", "x"), "file 'nowhere.zip' does not exist"),
        (
            ("fit", "moves", *NAMED, "--horizon", "3", "--out", "m"),
            "--horizon must be left out with --label: it belongs to forecasts",
        ),
        (
            ("fit", "moves", *NAMED, "--model", "gru,lstm", "--out", "m"),
            "--model takes one name: got gru,lstm; classify compares several",
        ),
        (("predict", "kept"), "recordings to classify must be named: tsforecast predict MODEL NEW"),
        (
            ("predict", "kept", "moves", "--horizon", "3"),
            "--horizon must be left out for a classifier: it belongs to forecasts",
        ),
        (
            ("predict", "kept", "moves", "--data", "moves.csv"),
            "data must be named once: got 'moves' and --data 'moves.csv'",
        ),
        (
            ("predict", "odd", "moves"),
            "recordings.json' must hold how recordings were read: it does not; fit the model again",
        ),
        (("predict", "kept", "no-y.csv"), "target column 'y' does not exist"),
    ],
)  # fmt: skip
def test_mistakes_get_one_sentence(places: Path, words: tuple[str, ...], sentence: str) -> None:
    for name in ("kept", "odd"):
        if not (places / name).exists():
            tsforecast("fit", "moves", *NAMED, "--model", "majority", "--out", name, cwd=places)
    (places / "odd" / "recordings.json").write_text(json.dumps({"label": 3, "reading": []}))
    (places / "no-y.csv").write_text("x,z\n1,2\n2,3\n")
    result = tsforecast(*words, cwd=places)
    assert result.returncode == 2, result.stdout
    assert any(each in result.stderr for each in sentence.split("|")), result.stderr


def test_nan_of_recordings_has_remedies_that_the_command_has(tmp_path: Path) -> None:
    held = {f"{user}/{way}/1.csv": "x,y\n1,1\n4,2\n2,1\n" for user in ("ann", "bob") for way in ("tap", "wave")}
    where = zipped(tmp_path, held)
    gap = tmp_path / "gap"
    gap.mkdir()
    tsforecast("fit", where, *NAMED, "--model", "majority", "--out", tmp_path / "m")
    (gap / "new.csv").write_text("x,y\n1,1\n,1\n3,1\n")
    refused = tsforecast("predict", tmp_path / "m", gap / "new.csv")
    assert "has 1 NaN, first at line 3 of 'new.csv'; fill them first, or fit the model with --nan forward_fill\n" in (
        refused.stderr
    )
    assert "all of it is repaired by a model that was fitted with --nan forward_fill\n" in refused.stderr
    masked = tsforecast("classify", where, *NAMED, *FAST, "--nan", "mask")
    assert "--nan mask must be left out for recordings: all steps are read; pass --nan forward_fill" in masked.stderr
    (gap / "ann").mkdir()
    (gap / "ann" / "a.csv").write_text("x,y\n1,1\n,1\n3,1\n")
    (gap / "ann" / "b.csv").write_text("x,y\n,1\n2,1\n3,1\n")
    new = ("classify", gap, "--label", "user", "--target", "x,y", "--files", "{user}/*", *FAST)
    assert "; fill them first, or pass --nan forward_fill\n" in tsforecast(*new).stderr
    filled = tsforecast(*new, "--nan", "forward_fill").stderr
    assert "first at line 2 of 'ann/b.csv'; cut such steps off, or pass --nan drop_series\n" in filled


@pytest.mark.parametrize("kind", ["ts", "arff"])
def test_missing_and_huge_numbers_of_an_archive_have_their_line_and_file(tmp_path: Path, kind: str) -> None:
    head = {
        "ts": "@univariate true\n@classLabel true up down\n\n@data\n",
        "arff": "@attribute a real\n@attribute b real\n@attribute way {up,down}\n@data\n",
    }[kind]
    sign = {"ts": ":", "arff": ","}[kind]
    rows = {"TRAIN": "1,2{0}up\n# 3,4\n2,1{0}down\n", "TEST": "1,2{0}up\n?,1{0}down\n1,2e200{0}up\n"}
    for part, lines in rows.items():
        (tmp_path / f"moves_{part}.{kind}").write_text(head + lines.format(sign))
    refused = tsforecast("classify", tmp_path / f"moves_TRAIN.{kind}", *FAST).stderr
    assert f"'test/002' has 1 NaN, first at line 6 of 'moves_TEST.{kind}'; fill them first, or pass --nan" in refused
    assert f"'test/003' has 1 larger number, first at line 7 of 'moves_TEST.{kind}'; replace them by NaN" in refused
    (tmp_path / f"moves_TEST.{kind}").write_text(head + rows["TEST"].format(sign).replace("2e200", "2"))
    refused = tsforecast("classify", tmp_path / f"moves_TRAIN.{kind}", *FAST).stderr
    command = refused.strip().splitlines()[-1].removeprefix("one command repairs all of it: tsforecast ")
    assert command.endswith("--nan forward_fill")
    filled = tsforecast(*shlex.split(command.replace("forward_fill", "drop_series")))
    assert filled.returncode == 0, filled.stderr


@pytest.mark.parametrize("command", ["fit", "tune"])
def test_help_names_the_places_of_recordings(command: str) -> None:
    shown = " ".join(tsforecast(command, "--help", width=300).stdout.split())
    assert "with --label a folder, zip, TS or ARFF file" in shown


def long_table(rows: Callable[[pd.DataFrame], pd.DataFrame], path: Path) -> tuple[str | Path, ...]:
    """Write a table of all movements with some of its rows, and return the words that compare them."""
    parts = [frame.assign(id=place, way=place.split("/")[1]) for place, frame in movements().items()]
    rows(pd.concat(parts, ignore_index=True).drop(columns="nr")).to_csv(path, index=False)
    return ("classify", path, "--label", "way", "--id", "id", *FAST)


@pytest.mark.long
@pytest.mark.parametrize("target", [None, "x,y"])
@pytest.mark.parametrize("clock", ["seconds", "numbers", "dates"])
def test_rows_that_were_shuffled_are_put_in_the_order_of_their_clock(
    tmp_path: Path, clock: str, target: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def timed(table: pd.DataFrame) -> pd.DataFrame:
        if clock == "dates":
            return table.assign(t=pd.Timestamp("2024-01-31") + pd.to_timedelta(table["t"], unit="s"))
        return table.assign(t=(table["t"] * 10).round().astype(int)) if clock == "numbers" else table

    def shuffled(table: pd.DataFrame) -> pd.DataFrame:
        return timed(table).sample(frac=1, random_state=0).sort_values("id", kind="stable")

    found, notes = [], []
    for rows in (timed, shuffled):
        _, path, *_ = long_table(rows, tmp_path / "moves.csv")
        panel, _ = read_recordings(str(path), DataOptions(id="id", target=target), RecordingOptions(label="way"))
        found.append({name: panel.series(i).tolist() for i, name in enumerate(panel.ids)})
        notes.append(" ".join(capsys.readouterr().err.split()))
    assert found[0] == found[1]
    assert panel.roles.varying == ("x", "y")
    assert "put in the order" not in notes[0]
    assert "rows were put in the order of 't', which they did not have in 12 of 12 recordings" in notes[1]


@pytest.mark.long
def test_rows_that_are_there_twice_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "moves.csv"
    refused = tsforecast(*long_table(lambda table: pd.concat([table, table]), path))
    assert "each row of a recording must occur once: 174 of 348 are copies, the first in line 176; remove" in (
        refused.stderr
    )
    one = tsforecast(*long_table(lambda table: table.loc[[*range(13), *range(13), *range(13, len(table))]], path))
    assert "13 of 187 are copies, the first in line 15; remove them" in one.stderr

    def shuffled(table: pd.DataFrame, **changed: float) -> pd.DataFrame:
        doubled = pd.concat([table, table[20:21].assign(**changed)])
        return doubled.sample(frac=1, random_state=0).sort_values("id", kind="stable")

    assert "1 of 175 are copies" in tsforecast(*long_table(shuffled, path)).stderr
    other = tsforecast(*long_table(partial(shuffled, x=9.0), path))
    assert "must have its own 't': 1 of 175 have that of a row before, the first in line" in other.stderr
    without = tsforecast(*long_table(lambda table: table.loc[table.index.repeat(2), ["id", "way", "x", "y"]], path))
    assert "12 of 12 hold each row twice, 'ann/tap/01', 'ann/tap/02', 'ann/wave/01' and 9 more; remove" in (
        without.stderr
    )
    steady = long_table(lambda table: table.assign(x=table.index % 3, y=table.index % 2).drop(columns="t"), path)
    assert "twice" not in tsforecast(*steady).stderr  # few numbers come again and again


def test_faults_of_rows_that_were_put_in_order_have_the_lines_of_the_file(tmp_path: Path) -> None:
    def faulty(table: pd.DataFrame) -> pd.DataFrame:
        mixed = table.sample(frac=1, random_state=0).reset_index(drop=True)
        return mixed.assign(x=mixed["x"].where(mixed.index != 98))

    refused = tsforecast(*long_table(faulty, tmp_path / "moves.csv"))
    assert "has 1 NaN, first at line 100; fill them first" in refused.stderr


def test_a_clock_that_falls_within_one_recording_is_no_channel(tmp_path: Path) -> None:
    frames = [frame.assign(id=place, way=place.split("/")[1]) for place, frame in movements().items()]
    frames[2].loc[5, "t"] = 0.1
    pd.concat(frames).drop(columns="nr").to_csv(tmp_path / "moves.csv", index=False)
    words = ("classify", tmp_path / "moves.csv", "--label", "way", "--id", "id", *FAST)
    refused = tsforecast(*words)
    assert (
        "column 't' must grow within every recording, as it does in 11 of 12: it does not in 'ann/wave/01'; put the "
        "rows there in order, or name the channels to read with --target" in refused.stderr
    )
    assert tsforecast(*words, "--target", "x,y").returncode == 0
