"""Every card is complete and loads; files are found in the promised order; errors say what to do."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests

from tsforecast import files
from tsforecast.catalog import download
from tsforecast.catalog import loaders as catalog
from tsforecast.catalog.card import card, dataset_names, parse_card
from tsforecast.catalog.loaders import load_dataset
from tsforecast.data.panel import Panel
from tsforecast.data.splits import RollingOrigin
from tsforecast.errors import DataError, DownloadError, ParameterError, UnknownNameError

SHIPPED = ("co2-weekly", "elnino-monthly", "sunspots-yearly")
# name: series, shortest, longest, rows in all, targets, axis, season
SHAPES = {
    "air-passengers": (1, 144, 144, 144, 1, "MS", 12),
    "basic-motions": (80, 100, 100, 8000, 6, "index", 1),
    "bike-sharing": (1, 17544, 17544, 17544, 1, "h", 24),
    "co2-weekly": (1, 2284, 2284, 2284, 1, "W", 52),
    "elnino-monthly": (1, 732, 732, 732, 1, "MS", 12),
    "etth1": (1, 17420, 17420, 17420, 7, "h", 24),
    "exchange-rate": (1, 7588, 7588, 7588, 8, "index", 5),
    "gunpoint": (200, 150, 150, 30000, 1, "index", 1),
    "hospital": (767, 84, 84, 64428, 1, "MS", 12),
    "japanese-vowels": (640, 7, 29, 9961, 12, "index", 1),
    "m4-hourly": (414, 748, 1008, 373372, 1, "index", 24),
    "machine-temperature": (1, 22683, 22683, 22683, 1, "5min", 288),
    "nyc-taxi": (1, 10320, 10320, 10320, 1, "30min", 48),
    "opsd-germany": (1, 4383, 4383, 4383, 3, "D", 7),
    "smartwatch-gestures": (3251, 10, 51, 64070, 3, "index", 1),
    "sunspots": (1, 3277, 3277, 3277, 1, "MS", 132),
    "sunspots-yearly": (1, 309, 309, 309, 1, "YS", 11),
    "taylor": (1, 4032, 4032, 4032, 1, "index", 48),
    "us-births": (1, 7305, 7305, 7305, 1, "D", 7),
    "us-gasoline": (1, 1578, 1578, 1578, 1, "W", 52),
}
# Never in reach of these tests; `tests/data/test_activities.py` reads files of their layout.
ELSEWHERE = ("hapt", "pamap2", "uci-har", "wisdm")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no address in reach, so that no test depends on this machine or the network."""
    monkeypatch.setenv("TSFORECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE", 0.0)

    def offline(*args: object, **kwargs: object) -> None:
        raise requests.ConnectionError("these tests run without a network")

    monkeypatch.setattr(requests, "get", offline)
    return tmp_path / "cache"


def load(name: str) -> Panel:
    """Load a real dataset, or skip the test where the files are not on this machine."""
    if name not in SHIPPED and not os.environ.get("TSFORECAST_DATA"):
        pytest.skip("needs the files of the datasets: set TSFORECAST_DATA to their folder")
    return load_dataset(name)


def date(panel: Panel, step: int) -> str:
    return panel.label(panel.stamps(0, step))


def test_the_table_of_shapes_names_every_dataset() -> None:
    assert dataset_names() == sorted({*SHAPES, *ELSEWHERE})


@pytest.mark.parametrize("name", [*SHAPES, *ELSEWHERE])
def test_every_card_says_what_a_user_must_know(name: str) -> None:
    known = card(name)
    for text in (known.title, known.description, known.licence, known.citation, known.task.protocol):
        assert text.strip()
    assert known.sources
    assert known.quirks
    assert all(quirk.endswith(".") for quirk in (*known.quirks, known.task.protocol))
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in known.files if file.sha256)
    assert bool(known.files) != bool(known.reading.statsmodels)
    assert bool(known.by_hand) == any(file.url is None for file in known.files)
    assert (known.roles.time is None) == (known.frequency == "index")


@pytest.mark.sample(4)
@pytest.mark.parametrize("name", SHAPES)
def test_every_card_loads_to_a_panel_of_the_promised_shape(name: str) -> None:
    panel, known = load(name), card(name)
    series, shortest, longest, rows, targets, axis, season = SHAPES[name]
    assert (len(panel), panel.lengths.min(), panel.lengths.max()) == (series, shortest, longest)
    assert panel.values.shape[0] == rows
    assert (panel.n_targets, panel.season_length) == (targets, season)
    assert panel.kind == ("none" if axis == "index" else "datetime")
    assert axis == known.frequency
    assert axis in ("index", str(panel.frequency))
    assert len(set(panel.ids)) == len(panel)


@pytest.mark.sample(4)
@pytest.mark.parametrize("name", SHAPES)
def test_every_task_fits_into_its_dataset(name: str) -> None:
    panel, task = load(name), card(name).task
    oldest = RollingOrigin(task.horizon, task.origins, task.step).cutoffs(panel)[0]
    assert (oldest.seen >= 1).all()
    assert (oldest.last - oldest.first == task.horizon).all()
    assert task.label is None or task.label in panel.statics
    # A seasonal naive forecast needs a season before the oldest cutoff.
    assert (oldest.seen >= panel.season_length).all()


@pytest.mark.sample(4)
@pytest.mark.parametrize("name", SHAPES)
def test_the_checksums_on_the_cards_are_those_of_the_files(name: str) -> None:
    load(name)
    for file in card(name).files:
        if file.sha256:
            body = (Path(os.environ["TSFORECAST_DATA"]) / file.path).read_bytes()
            assert hashlib.sha256(body).hexdigest() == file.sha256


def test_the_official_splits_lie_within_their_series() -> None:
    etth1, m4 = card("etth1").task, card("m4-hourly").task
    assert (etth1.train, etth1.validation, etth1.test) == (8640, 2880, 2880)
    assert (m4.test, m4.horizon, m4.origins) == (48, 48, 1)


def test_a_misspelt_name_is_answered_with_the_nearest_one() -> None:
    for look in (card, load_dataset):
        with pytest.raises(UnknownNameError) as error:
            look("co2-wekly")
        assert str(error.value) == "dataset 'co2-wekly' does not exist; did you mean 'co2-weekly'?"


def test_unknown_and_missing_keys_of_a_card_are_all_named_at_once() -> None:
    text = (Path(catalog.__file__).parents[2] / "datasets" / "taylor" / "card.toml").read_text(encoding="utf-8")
    wrong = text.replace("horizon", "horizn").replace("sha256", "sha265").replace("licence", "license")
    with pytest.raises(DataError) as error:
        parse_card("taylor", wrong)
    assert error.value.problems == (
        "card 'taylor': key 'horizn' in [task] is not known; did you mean 'horizon'?",
        "card 'taylor': key 'horizon' in [task] is missing; add it",
        "card 'taylor': key 'sha265' in [[files]] is not known; did you mean 'sha256'?",
        "card 'taylor': key 'license' is not known; did you mean 'licence'?",
        "card 'taylor': key 'licence' is missing; add it",
    )
    with pytest.raises(DataError, match=r"card 'taylor': key 'reading' is missing; add it"):
        parse_card("taylor", re.sub(r"\[reading\]\n(.+\n)+", "", text))
    with pytest.raises(DataError, match=r"layout 'lon' in \[reading\] is not known; did you mean 'long'\?"):
        parse_card("taylor", text.replace('"long"', '"lon"'))


def test_cards_inside_the_package_come_before_those_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tsforecast"
    for folder, name in ((tmp_path, "beside"), (package, "inside")):
        (folder / "datasets" / name).mkdir(parents=True)
        (folder / "datasets" / name / "card.toml").touch()
    monkeypatch.setattr(files, "__file__", str(package / "files.py"))
    assert dataset_names() == ["inside"]


def test_the_own_folder_comes_before_the_cache_and_the_cache_before_a_download(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TSFORECAST_DATA", raising=False)
    with pytest.raises(DownloadError):
        load_dataset("taylor")
    for folder, number in ((own_cache, 1), (tmp_path / "own", 2)):
        (folder / "taylor").mkdir(parents=True, exist_ok=True)
        (folder / "taylor" / "taylor.csv").write_text(f'"Y"\n{number}\n{number}\n')
    assert load_dataset("taylor").values.tolist() == [[1.0], [1.0]]
    monkeypatch.setenv("TSFORECAST_DATA", str(tmp_path / "own"))
    assert load_dataset("taylor").values.tolist() == [[2.0], [2.0]]
    monkeypatch.setenv("TSFORECAST_DATA", str(tmp_path / "elsewhere"))
    assert load_dataset("taylor").values.tolist() == [[1.0], [1.0]]


def test_a_download_that_fails_says_where_to_put_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TSFORECAST_DATA", raising=False)
    with pytest.raises(DownloadError, match=r"put the file at TSFORECAST_DATA/etth1/ETTh1.csv, where TSFORECAST_DATA"):
        load_dataset("etth1")
    monkeypatch.setenv("TSFORECAST_DATA", "/nowhere")
    with pytest.raises(DownloadError, match=r"a folder of yours \(it is '/nowhere', and there is no such folder\)$"):
        load_dataset("etth1")


@pytest.mark.parametrize("folder", [None, "empty"])
def test_a_dataset_without_download_says_where_to_get_it_and_where_to_put_it(
    folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = "is not set"
    monkeypatch.delenv("TSFORECAST_DATA", raising=False)
    if folder:
        monkeypatch.setenv("TSFORECAST_DATA", str(tmp_path / folder))
        state = f"is {str(tmp_path / folder)!r}, and there is no such folder"
    with pytest.raises(DownloadError) as error:
        load_dataset("gunpoint")
    assert error.value.problems == tuple(
        f"dataset 'gunpoint' has no automatic download. {card('gunpoint').by_hand} Put the file at "
        f"TSFORECAST_DATA/ucr/GunPoint/GunPoint_{part}.ts (the environment variable TSFORECAST_DATA {state})."
        for part in ("TRAIN", "TEST")
    )


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("taylor", "taylor/taylor.csv", '"Y"\n1\ntwo\n'),
        ("air-passengers", "air_passengers/AirPassengers.csv", "Month,#Passengers,more\n1949-01,112,0\n"),
        ("nyc-taxi", "nyc_taxi/nyc_taxi.csv", "when,value\n2014-07-01 00:00:00,1\n"),
        ("us-gasoline", "us_gasoline/us_gasoline.csv", "Week,Gasoline\n2021-04-30,1\n"),
        ("smartwatch-gestures", "smartwatch_gestures/gestures-dataset.zip", "no archive"),
    ],
)
def test_a_file_that_is_not_what_its_card_says_is_an_error_that_names_it(
    name: str, path: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSFORECAST_DATA", str(tmp_path))
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(text)
    with pytest.raises(
        DataError, match=rf"the files of dataset '{name}' must be as described on its card \(.*{path}\): "
    ):
        load_dataset(name)


@pytest.mark.parametrize("body", [b"<html>We will be back soon.</html>", b"1749;01;1749.042;  96.7"])
def test_a_download_that_cannot_be_read_does_not_stay(
    body: bytes, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TSFORECAST_DATA", raising=False)
    place = own_cache / card("sunspots").files[0].path

    def fetch(url: str, target: Path, *rest: object, **settings: object) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
        return target

    monkeypatch.setattr(download, "fetch", fetch)
    with pytest.raises(DataError) as caught:
        load_dataset("sunspots")
    assert caught.value.problems[-1] == (
        f"{place} was removed from the cache: the next attempt fetches {card('sunspots').files[0].url} again"
    )
    assert not place.exists()


def test_a_file_that_was_put_there_by_hand_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSFORECAST_DATA", str(tmp_path))
    place = tmp_path / card("sunspots").files[0].path
    place.parent.mkdir()
    place.write_text("<html>")
    with pytest.raises(DataError, match="the files of dataset 'sunspots' must be as described on its card"):
        load_dataset("sunspots")
    assert place.exists()


def test_sequences_in_ts_files_keep_length_label_part_and_missing_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSFORECAST_DATA", str(tmp_path))
    (tmp_path / "ucr" / "GunPoint").mkdir(parents=True)
    for part, lines in (("TRAIN", "1,2,3:a\n\n4,5:b\n"), ("TEST", "6,?,7:b\n")):
        (tmp_path / "ucr" / "GunPoint" / f"GunPoint_{part}.ts").write_text(
            f"#words: 1,2\n@missing true\n@classLabel true a b\n@data\n{lines}"
        )
    known = card("gunpoint")
    masked = replace(known, reading=replace(known.reading, nan_policy="mask"))
    monkeypatch.setattr(catalog, "card", lambda name: masked)
    panel = load_dataset("gunpoint")
    assert panel.ids.tolist() == ["train/001", "train/002", "test/001"]
    assert panel.statics["label"].tolist() == ["a", "b", "b"]
    assert panel.statics["part"].tolist() == ["train", "train", "test"]
    assert panel.offsets.tolist() == [0, 3, 5, 8]
    np.testing.assert_array_equal(panel.values[:, 0], [1, 2, 3, 4, 5, 6, np.nan, 7])


def test_co2_is_filled_from_the_week_before() -> None:
    panel = load("co2-weekly")
    assert not np.isnan(panel.values).any()
    assert panel.values[:7, 0].tolist() == [316.1, 317.3, 317.6, 317.5, 316.4, 316.9, 316.9]
    assert date(panel, 0) == "1958-03-29"


def test_the_months_of_the_el_nino_table_follow_each_other() -> None:
    panel = load("elnino-monthly")
    assert (date(panel, 0), date(panel, 731)) == ("1950-01-01", "2010-12-01")
    assert panel.values[:3, 0].tolist() == [23.11, 24.20, 25.37]
    assert panel.values[[12, 731], 0].tolist() == [24.19, 22.07]


def test_the_years_of_the_sunspots_begin_in_1700() -> None:
    panel = load("sunspots-yearly")
    assert (date(panel, 0), date(panel, 308)) == ("1700-01-01", "2008-01-01")
    assert panel.values[[0, 308], 0].tolist() == [5.0, 2.9]


def test_monthly_sunspots_are_column_four() -> None:
    panel = load("sunspots")
    assert date(panel, 0) == "1749-01-01"
    assert panel.values[:2, 0].tolist() == [96.7, 104.3]


def test_missing_hours_of_the_bikes_are_masked_in_every_column() -> None:
    panel = load("bike-sharing")
    assert panel.roles.varying == ("cnt", "temp", "hum", "windspeed", "holiday", "workingday", "hr")
    missing = np.isnan(panel.values)
    assert missing.all(axis=1).sum() == missing.any(axis=1).sum() == 165
    assert panel.values[0].tolist() == [16.0, 0.24, 0.81, 0.0, 0.0, 0.0, 0.0]
    hours = np.arange(len(missing)) % 24
    np.testing.assert_array_equal(panel.values[~missing[:, 0], 6], hours[~missing[:, 0]])


def test_the_clock_of_the_machine_is_mended_and_said_to_be() -> None:
    panel = load("machine-temperature")
    assert panel.notes == ("dropped 12 duplicate time stamps, kept the first of each",)
    assert (date(panel, 0), date(panel, 22682)) == ("2013-12-02 21:15:00", "2014-02-19 15:25:00")


def test_wind_and_sun_are_masked_before_they_begin() -> None:
    values = load("opsd-germany").values
    assert np.isnan(values).sum(axis=0).tolist() == [0, 1463, 2195]
    assert np.isnan(values[0]).tolist() == [False, True, True]


def test_gasoline_goes_from_the_oldest_to_the_newest_week() -> None:
    panel = load("us-gasoline")
    assert (date(panel, 0), date(panel, 1577)) == ("1991-02-08", "2021-04-30")
    assert panel.values[[0, -1], 0].tolist() == [6621.0, 8864.0]


def test_each_m4_series_ends_with_its_official_test() -> None:
    panel = load("m4-hourly")
    assert panel.ids[[0, 1, 413]].tolist() == ["H1", "H2", "H414"]
    first = panel.series(0)[:, 0]
    assert (first[0], first[-48], first[-1]) == (605.0, 619.0, 659.0)


def test_recordings_of_gestures_know_user_and_gesture() -> None:
    panel = load("smartwatch-gestures")
    assert panel.ids[0] == "U01/01/01"
    assert panel.series(0)[0].tolist() == [1.532289, -0.919373, 10.113108]
    assert panel.groups is not None
    assert len(set(panel.groups)) == 8
    assert len(set(panel.statics["gesture"])) == 20
    assert all(
        i == f"{u}/{g}/{i[-2:]}" for i, u, g in zip(panel.ids, panel.groups, panel.statics["gesture"], strict=True)
    )


@pytest.mark.parametrize(
    ("name", "train", "test", "labels", "first"),
    [
        ("basic-motions", 40, 40, 4, "Standing"),
        ("gunpoint", 50, 150, 2, "2"),
        ("japanese-vowels", 270, 370, 9, "1"),
    ],
)
def test_labelled_sequences_keep_their_official_parts(
    name: str, train: int, test: int, labels: int, first: str
) -> None:
    panel = load(name)
    parts = panel.statics["part"].tolist()
    assert (parts.count("train"), parts.count("test")) == (train, test)
    assert len(set(panel.statics["label"])) == labels
    assert panel.statics["label"][0] == first


def test_each_column_of_the_hospital_file_is_a_series() -> None:
    panel = load("hospital")
    assert panel.ids[:2].tolist() == ["T1", "T2"]
    assert panel.series(1)[:3, 0].tolist() == [10.0, 7.0, 14.0]
    assert date(panel, 83) == "2006-12-01"


@pytest.mark.parametrize("name", [*SHIPPED, "hospital", "opsd-germany", "basic-motions", "m4-hourly", "exchange-rate"])
def test_a_dataset_as_a_frame_has_the_rows_of_its_panel(name: str) -> None:
    if name not in SHIPPED and not os.environ.get("TSFORECAST_DATA"):
        pytest.skip("needs TSFORECAST_DATA")
    panel = load_dataset(name)
    frame = load_dataset(name, as_frame="pandas")
    assert isinstance(frame, pd.DataFrame)
    assert load_dataset(name, as_frame="polars").to_pandas().equals(frame)
    assert np.array_equal(frame[list(panel.roles.target)], panel.values[:, : panel.n_targets], equal_nan=True)
    assert set(panel.statics) <= set(frame)
    if panel.kind == "datetime" and not panel.statics:
        again = Panel.from_frame(frame, id=panel.source.id, target=panel.roles.target, nan_policy="mask")
        assert np.array_equal(again.values, panel.values, equal_nan=True)
        assert np.array_equal(again.starts, panel.starts)


def test_a_library_of_frames_that_is_not_known_is_refused() -> None:
    with pytest.raises(ParameterError, match="must be one of 'pandas', 'polars', None: got 'panda'; did you"):
        load_dataset("co2-weekly", as_frame="panda")  # type: ignore[call-overload]
