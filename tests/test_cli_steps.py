"""Labels of steps on the command line: found in the data, compared, fitted, and predicted."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.commands import tsforecast
from tsforecast import GRUClassifier, StepComparison, compare_classifiers, load
from tsforecast.cli.options import DataOptions, RecordingOptions
from tsforecast.cli.recordings import read_recordings

USERS = ("ann", "bob", "cem")
NAMED = ("--label", "activity", "--group", "user")
TABLE = (*NAMED, "--id", "recording")
QUICK = ("--models", "gru", "--epochs", "2")


def day(user: int, number: int) -> pd.DataFrame:
    """A recording whose activity shows in x, and whose first steps nobody labelled."""
    activity = np.repeat(["rest", "walk", "rest", "run"], [9 + user, 8 + number, 7, 10]).astype(object)
    speed = np.select([activity == "walk", activity == "run"], [0.5, 1.5], 0.0)
    wave = np.sin(np.cumsum(speed) + 0.1 * user)
    activity[:3] = None
    return pd.DataFrame({"x": wave.round(4), "y": np.cos(np.cumsum(speed)).round(4), "activity": activity})


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same days as a folder of files, the same a level deeper, a zip, a table, and spoilt ones."""
    root, parts = tmp_path_factory.mktemp("days"), []
    for u, user in enumerate(USERS):
        for number in range(2):
            for place in ("days", "rooms"):
                file = root / place / user / ("kitchen" if place == "rooms" else ".") / f"{number}.csv"
                file.parent.mkdir(parents=True, exist_ok=True)
                day(u, number).to_csv(file, index=False)
            parts.append(day(u, number).assign(user=user, recording=f"{user}/{number}"))
    shutil.make_archive(str(root / "days"), "zip", root / "days")
    table = pd.concat(parts, ignore_index=True)
    table.to_csv(root / "days.csv", index=False)
    numbers = table["activity"].map({"rest": 0, "walk": 1, "run": 2})  # floats, as some are missing
    table.assign(activity=numbers).to_parquet(root / "numbers.parquet")
    typo = table.assign(activity=np.where(table["recording"].str.endswith("0"), "walk", "run"))
    typo.loc[3, "activity"] = "wlak"
    typo.to_csv(root / "typo.csv", index=False)
    table[table["recording"] == "ann/0"].to_csv(root / "one.csv", index=False)
    return root


@pytest.mark.long
def test_labels_of_steps_are_found_in_folder_zip_and_table_and_compared(days: Path, tmp_path: Path) -> None:
    rows = []
    for name, columns in (("days", NAMED), ("rooms", NAMED), ("days.zip", NAMED), ("days.csv", TABLE)):
        result = tsforecast("classify", days / name, *columns, *QUICK, "--out", tmp_path / name, width=80)
        assert result.returncode == 0, result.stderr
        assert result.stderr == (
            "Note: 'activity' changes within 6 of 6 recordings and is learned for each step; if each recording has "
            "one, name recordings with --id, or pass --output recording\n"
        )
        assert "6 recordings of 3 users, 195 labelled steps, 3 classes." in result.stdout
        assert max(map(len, result.stdout.split("wrote")[0].splitlines())) <= 80
        assert "edit score" in result.stdout
        rows.append(StepComparison.from_parquet(tmp_path / name).rows.drop(columns=["fit_seconds", "predict_seconds"]))
    for other in rows[1:]:
        pd.testing.assert_frame_equal(rows[0].drop(columns="recording"), other.drop(columns="recording"))
    assert rows[0].groupby("model")["count"].sum().to_dict() == {"gru": 195, "majority": 195}  # of 213
    assert {path.name for path in (tmp_path / "days").iterdir()} == {
        "classification.md",
        "report.html",
        "rows.parquet",
    }
    again = tsforecast("report", tmp_path / "days", "--out", tmp_path / "again.md")
    assert again.returncode == 0, again.stderr
    assert "F1 at 25%" in (tmp_path / "again.md").read_text()


@pytest.mark.long
def test_an_interrupted_comparison_of_steps_resumes(days: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(model: str, protocol: str, fold: int) -> None:
        if fold == 2:
            raise Stopped

    panel, label = read_recordings(str(days / "days"), DataOptions(group="user"), RecordingOptions(label="activity"))
    model = GRUClassifier(output="step", max_epochs=2, random_state=0)
    with pytest.raises(Stopped):
        compare_classifiers({"gru": model}, panel, label, checkpoint=tmp_path / "out.unfinished", progress=stop)
    kept = pd.concat(map(pd.read_parquet, (tmp_path / "out.unfinished").rglob("*.parquet"))).sort_values("fold")
    result = tsforecast("classify", days / "days", *NAMED, *QUICK, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    seconds = StepComparison.from_parquet(tmp_path / "out").rows["fit_seconds"]
    assert kept["fold"].unique().tolist() == [0, 1]
    assert set(kept["fit_seconds"]) < set(seconds)  # of the fits before the end, which were not run again
    assert not (tmp_path / "out.unfinished").exists()


@pytest.mark.long
@pytest.mark.parametrize("causal", [False, True])
def test_a_model_of_steps_is_fitted_and_predicts_a_row_for_each(days: Path, tmp_path: Path, causal: bool) -> None:
    words = ("--model", "gru", "--epochs", "2", *["--causal"] * causal, "--out", tmp_path / "model")
    fitted = tsforecast("fit", days / "days", *NAMED, *words)
    assert fitted.returncode == 0, fitted.stderr
    assert "fitted gru on 6 recordings of 3 users, 195 labelled steps, 3 classes" in fitted.stdout
    model = load(tmp_path / "model")
    assert model.bidirectional is not causal
    assert model.columns_ == ("x", "y")
    frames = [day(u, number)[["x", "y"]].to_numpy() for u in range(len(USERS)) for number in range(2)]
    expected = np.concatenate(model.predict(frames))
    for new in (("days.csv", "--id", "recording"), ("days",), ("rooms",), ("days.zip",)):
        result = tsforecast("predict", tmp_path / "model", days / new[0], *new[1:])
        assert result.returncode == 0, result.stderr
        table = pd.read_csv(io.StringIO(result.stdout))
        assert table.columns.tolist()[1:3] == ["step", "activity"]
        assert table["activity"].tolist() == expected.tolist()
        truth = pd.concat([day(u, number)["activity"] for u in range(len(USERS)) for number in range(2)])
        share = (truth.to_numpy() == expected)[truth.notna()].mean()
        assert f"{share:.1%} of 195 labelled steps got the label in column 'activity'" in result.stderr
    day(0, 0).drop(columns="activity").to_csv(tmp_path / "new.csv", index=False)
    alone = tsforecast("predict", tmp_path / "model", tmp_path / "new.csv")
    assert alone.stderr.startswith("Note: 1 of 1 recording was learned from: how well")
    assert pd.read_csv(io.StringIO(alone.stdout))["activity"].tolist() == expected[: len(day(0, 0))].tolist()


def test_a_wrong_cell_does_not_turn_labels_of_recordings_into_labels_of_steps(days: Path) -> None:
    found = tsforecast("classify", days / "typo.csv", *TABLE, "--models", "majority")
    assert found.returncode == 2
    assert (
        "column 'activity' must be constant in each recording: 'ann/0' has 'walk' and 'wlak'; correct it there, name "
        "recordings with --id, or learn a label for each step with --output step" in found.stderr
    )
    guessed = tsforecast("classify", days / "days.csv", *NAMED, "--models", "majority")
    assert "'ann/0' has none and 'rest' (5 more of 6 recordings likewise); correct it there, name" in guessed.stderr
    asked = tsforecast("classify", days / "days.csv", *TABLE, "--models", "majority", "--output", "recording")
    assert "must be constant in each recording: 'ann/0' has none and 'rest' (5 more of 6 recordings" in asked.stderr
    assert "--output step" not in asked.stderr
    steps = tsforecast("classify", days / "typo.csv", *TABLE, "--models", "majority", "--output", "step")
    assert "without user 'ann' class 'wlak' has none" in steps.stderr


@pytest.mark.long
def test_numbers_are_classes_of_steps_as_text_is(days: Path, tmp_path: Path) -> None:
    words = ("--models", "majority", "--out", tmp_path / "out")
    result = tsforecast("classify", days / "numbers.parquet", *TABLE, *words)
    assert "within 6 of 6 recordings and is learned for each step" in result.stderr
    assert set(StepComparison.from_parquet(tmp_path / "out").rows["true"]) == {"0", "1", "2"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("classify", "days", *NAMED, "--models", "rocket,gru"),
            "must be able to learn a label for each step, which are majority, rnn, gru, lstm, conv1d: got rocket; name",
        ),
        (("classify", "days", *NAMED, "--models", "rocket", "--causal"), "--causal must be left out: rocket has no"),
        (
            ("classify", "days", *NAMED, "--files", "{user}/{activity}*"),
            "file 'ann/0.csv' must have one 'activity': its place has '0.csv', and its column changes (5 more of 6 "
            "files likewise); write * for it in --files, or rename the column",
        ),
        (
            ("classify", "one.csv", "--label", "activity", "--id", "recording", "--models", "majority"),
            "recordings must be two at least, one to learn from and one to test on: got 1",
        ),
        (("fit", "days", *NAMED, "--model", "rocket", "--out", "m"), "must be able to learn a label for each step"),
        (("fit", "days.csv", "--causal", "--out", "m"), "--causal must be left out without --label: forecasts are of"),
        (
            ("tune", "days", *NAMED),
            "tune must have one label for each recording: column 'activity' of 'days' has one for each step; compare",
        ),
        (("tune", "days.csv", "--output", "step"), "--output must be left out without --label: forecasts have no"),
        (("classify", "days", *NAMED, "--output", "steps"), "'steps' is not one of 'recording', 'step'"),
    ],
)  # fmt: skip
def test_mistakes_about_steps_get_one_sentence(days: Path, words: tuple[str, ...], sentence: str) -> None:
    result = tsforecast(*words, cwd=days)
    assert result.returncode == 2, result.stdout
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.long
def test_models_for_recordings_alone_are_left_out_of_the_usual_ones(days: Path) -> None:
    result = tsforecast("classify", days / "days.csv", *TABLE, "--models", "all", "--epochs", "1")
    assert result.returncode == 0, result.stderr
    assert "nearest-neighbor, rocket, ensemble cannot learn a label for each step and are left out" in result.stderr
    shown = {line.split()[1] for line in result.stdout.splitlines() if line.startswith("│")}
    assert shown == {"majority", "rnn", "gru", "lstm", "conv1d"}


def test_one_label_beside_blanks_is_that_of_the_recording(days: Path, tmp_path: Path) -> None:
    table = pd.read_csv(days / "typo.csv").replace({"activity": {"wlak": "walk"}})
    table.loc[table.groupby("recording").head(2).index, "activity"] = None
    table.to_csv(tmp_path / "blanks.csv", index=False)
    found = tsforecast("classify", tmp_path / "blanks.csv", *TABLE, "--models", "majority")
    assert found.returncode == 0, found.stderr
    assert "6 recordings of 3 users, 2 classes." in found.stdout
    assert "changes within" not in found.stderr
