"""Datasets of activities are downloaded and read: made-up files of the same layout, from a server on this machine."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.commands import tsforecast
from tsforecast import GRUClassifier
from tsforecast.catalog import download, loaders
from tsforecast.catalog.card import card
from tsforecast.catalog.loaders import load_dataset
from tsforecast.data.panel import Panel
from tsforecast.errors import DataError

Files = dict[str, str]
ACTIVITIES = "1 WALKING\n2 WALKING_UPSTAIRS\n5 STANDING\n7 STAND_TO_SIT\n"


def rows(numbers: np.ndarray) -> str:
    return "\n".join(" ".join(f" {number:.7e}" for number in row) for row in numbers) + "\n"


def uci_har() -> Files:
    """Three windows to learn from and two to test on; a channel is its number and that of the window."""
    files = {"UCI HAR Dataset/activity_labels.txt": ACTIVITIES}
    for part, labels, subjects in (("train", [5, 1, 2], [1, 3, 3]), ("test", [1, 5], [2, 24])):
        folder = f"UCI HAR Dataset/{part}"
        files[f"{folder}/y_{part}.txt"] = "".join(f"{label}\n" for label in labels)
        files[f"{folder}/subject_{part}.txt"] = "".join(f"{subject}\n" for subject in subjects)
        files[f"{folder}/X_{part}.txt"] = "0 0\n"
        for c, channel in enumerate(card("uci-har").roles.target):
            windows = np.arange(len(labels))[:, None] * 1000 + 500 * (part == "test") + c * 10 + np.arange(128) / 100
            files[f"{folder}/Inertial Signals/{channel}_{part}.txt"] = rows(windows)
    return files


def hapt() -> Files:
    """Two experiments of one person and one of another, some steps of which nobody labelled."""
    files = {
        "activity_labels.txt": ACTIVITIES,
        "Train/subject_id_train.txt": "1\n1\n1\n",
        "Test/subject_id_test.txt": "2\n2\n",
    }
    files["RawData/labels.txt"] = "1 1 5 3 6\n1 1 7 7 8\n2 1 1 1 4\n3 2 2 2 3\n"
    for number, (name, steps) in enumerate((("exp01_user01", 10), ("exp02_user01", 4), ("exp03_user02", 5))):
        numbers = number * 100 + np.arange(steps * 3).reshape(-1, 3)
        files[f"RawData/acc_{name}.txt"], files[f"RawData/gyro_{name}.txt"] = rows(numbers), rows(-numbers)
    return files


def wisdm() -> Files:
    """A person who walks for two segments and a bit, then sits for one, and another who walks for one."""
    files = {"wisdm-dataset/activity_key.txt": "walking = A\njogging = B\n\nsitting = D\n"}
    for subject, runs in (("1600", "A" * 430 + "D" * 200), ("1601", "A" * 250)):
        lines = [f"{subject},{code},{90426708196641 + i},{i}.5,{-i},{i / 4};" for i, code in enumerate(runs)]
        files[f"wisdm-dataset/raw/watch/accel/data_{subject}_accel_watch.txt"] = "\n".join(lines) + "\n\n"
        files[f"wisdm-dataset/raw/phone/accel/data_{subject}_accel_phone.txt"] = "1600,A,1,1,1,1;\n"
    return files


def pamap2() -> Files:
    """Two people with a lost number; columns hold their own number."""
    files = {"PAMAP2_Dataset/Optional/subject101.dat": "1 1\n"}
    for subject, activities in (("101", [0, 1, 1, 24]), ("109", [24, 0])):
        table = np.tile(np.arange(54.0), (len(activities), 1))
        table[:, 0], table[:, 1] = np.arange(len(activities)) / 100, activities
        lines = [" ".join(f"{number:g}" for number in row) for row in table]
        lines[-1] = lines[-1].replace(" 4 ", " NaN ")
        lines[1] = lines[1].replace(" 2 3 ", " NaN NaN ")  # heart rate and temperature, which are not read
        if subject == "101":
            lines[0] = lines[0].replace(" 4 ", " NaN ")  # before it there is nothing
        files[f"PAMAP2_Dataset/Protocol/subject{subject}.dat"] = "\n".join(lines) + "\n"
    return files


MADE: dict[str, tuple[Callable[[], Files], str]] = {  # and the archive within the one of the source
    "uci-har": (uci_har, "UCI HAR Dataset.zip"),
    "hapt": (hapt, ""),
    "wisdm": (wisdm, "wisdm-dataset.zip"),
    "pamap2": (pamap2, "PAMAP2_Dataset.zip"),
}


def packed(files: dict[str, str | bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return body.getvalue()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The bodies that a server on this machine has for the last part of an address, in place of the sources."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TSFORECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TSFORECAST_DATA", raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    bodies: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[self.path[1:]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name, (make, inner) in MADE.items():
        body = packed(dict(make()))
        bodies[name] = packed({inner: body, "readme.pdf": b"%PDF"}) if inner else body

    def nearby(name: str) -> object:
        known = card(name)
        return replace(known, files=[replace(known.files[0], url=f"http://127.0.0.1:{server.server_port}/{name}")])

    monkeypatch.setattr(loaders, "card", nearby)
    yield bodies
    server.shutdown()
    thread.join()
    server.server_close()


def labels(panel: Panel, i: int) -> list[str | None]:
    """The activity of each step, by the codes of its categories."""
    texts = panel.roles.categories["activity"]
    codes = panel.series(i)[:, panel.roles.varying.index("activity")]
    return [None if not 0 <= code < len(texts) else texts[int(code)] for code in np.nan_to_num(codes, nan=-1)]


def test_windows_of_uci_har_come_with_activity_subject_and_part(served: dict[str, bytes]) -> None:
    panel = load_dataset("uci-har")
    assert panel.ids.tolist() == ["train/0001", "train/0002", "train/0003", "test/0001", "test/0002"]
    facts = dict(
        zip(panel.ids, zip(panel.statics["activity"], panel.groups, panel.statics["part"], strict=True), strict=True)
    )
    assert facts["train/0001"] == ("standing", "01", "train")
    assert facts["train/0003"] == ("walking_upstairs", "03", "train")
    assert facts["test/0002"] == ("standing", "24", "test")
    third = panel.series(panel.ids.tolist().index("train/0003"))
    np.testing.assert_allclose(third[:, 4], 2000 + 40 + np.arange(128) / 100)
    assert panel.roles.target[4] == "body_gyro_y"


def test_steps_of_hapt_have_their_activity_or_none(served: dict[str, bytes]) -> None:
    panel = load_dataset("hapt")
    assert (panel.ids.tolist(), panel.groups.tolist()) == (["01", "02", "03"], ["01", "01", "02"])
    assert panel.statics["part"].tolist() == ["train", "train", "test"]
    assert panel.lengths.tolist() == [10, 4, 5]
    assert labels(panel, 0) == [None] * 2 + ["standing"] * 4 + ["stand_to_sit"] * 2 + [None] * 2
    assert labels(panel, 1) == ["walking"] * 4
    assert labels(panel, 2) == [None, "walking_upstairs", "walking_upstairs", None, None]
    np.testing.assert_array_equal(panel.series(2)[0, :6], [200, 201, 202, -200, -201, -202])


def test_a_label_for_each_step_is_learned_from_the_column_of_a_card(served: dict[str, bytes]) -> None:
    model = GRUClassifier(output="step", units=4, max_epochs=1, validation=None).fit(load_dataset("hapt"), "activity")
    assert model.classes_.tolist() == ["stand_to_sit", "standing", "walking", "walking_upstairs"]
    assert model.columns_ == card("hapt").roles.target
    assert [len(one) for one in model.predict(load_dataset("hapt"))] == [10, 4, 5]


def test_wisdm_is_cut_into_whole_segments_of_one_activity(served: dict[str, bytes]) -> None:
    panel = load_dataset("wisdm")
    assert panel.ids.tolist() == ["1600/001", "1600/002", "1600/003", "1601/001"]
    assert panel.statics["activity"].tolist() == ["walking", "walking", "sitting", "walking"]
    assert panel.groups.tolist() == ["1600", "1600", "1600", "1601"]
    assert set(panel.lengths) == {200}
    np.testing.assert_array_equal(panel.series(2)[0], [430.5, -430, 107.5])


def test_pamap2_keeps_accelerations_and_rotations_and_fills_what_was_lost(served: dict[str, bytes]) -> None:
    panel = load_dataset("pamap2")
    assert panel.ids.tolist() == ["101", "109"]
    assert labels(panel, 0) == ["lying", "lying", "rope jumping"]
    assert labels(panel, 1) == ["rope jumping", None]
    expected = [first + at for first in (3, 20, 37) for at in (1, 2, 3, 7, 8, 9)]
    for i in range(2):
        np.testing.assert_array_equal(panel.series(i)[:, :18], np.tile(expected, (panel.lengths[i], 1)))


def test_an_archive_of_another_layout_is_refused_and_fetched_anew(served: dict[str, bytes], tmp_path: Path) -> None:
    served["hapt"] = packed({"index.html": "<html>"})
    with pytest.raises(DataError, match=r"must have a file activity_labels.txt: it has none") as refused:
        load_dataset("hapt")
    assert "was removed from the cache: the next attempt fetches" in str(refused.value)
    served["hapt"] = packed(dict(hapt()))
    assert len(load_dataset("hapt")) == 3
    del served["hapt"]
    assert len(load_dataset("hapt")) == 3  # from the cache


@pytest.mark.parametrize("keep", [(200, 0), (60, 64), (50, 90)], ids=["cut", "changed", "shortened"])
def test_a_damaged_archive_is_refused(served: dict[str, bytes], keep: tuple[int, int]) -> None:
    whole, (end, start) = served["pamap2"], keep
    served["pamap2"] = whole[:end] + (b"\xff\x00\xff\xff" * (start == 64) + whole[start:] if start else b"")
    with pytest.raises(DataError, match="the files of dataset 'pamap2' must be as described on its card"):
        load_dataset("pamap2")


def test_classifiers_are_compared_on_the_split_of_the_source_where_each_recording_has_a_label(
    served: dict[str, bytes],
) -> None:
    result = tsforecast("classify", "uci-har", "--models", "nearest-neighbor")
    assert (
        "uci-har: activity\n2 recordings of 2 users, 2 classes.\ngiven: the split that came with the" in result.stdout
    )


def test_the_command_line_compares_labels_of_steps_where_the_dataset_has_them(served: dict[str, bytes]) -> None:
    files = hapt() | {"RawData/labels.txt": "1 1 5 3 6\n1 1 1 7 8\n2 1 1 1 4\n3 2 1 2 3\n"}
    served["hapt"] = packed(dict(files))
    result = tsforecast("classify", "hapt", "--models", "majority")
    assert "hapt: activity\n1 recording of 1 user, 2 labelled steps, 1 class.\ngiven: the split" in result.stdout
    assert "edit score" in result.stdout
    assert result.stderr == ""
    whole = tsforecast("classify", "hapt", "--models", "majority", "--output", "recording")
    assert "--output must be step: 'hapt' has a label for each step, 'activity'" in whole.stderr
