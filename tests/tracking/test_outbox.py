"""Events on their way: together where they can be, kept from nobody by what one of them lacks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.helpers.forecasters import small, wave
from tests.helpers.logged import history, runs
from tsforecast.data.panel import Panel
from tsforecast.events import observing
from tsforecast.tracking import sync
from tsforecast.tracking.outbox import ABOUT, EVENTS, Outbox
from tsforecast.tracking.runs import Tracker, about
from tsforecast.tracking.store import Event, Store, _key, where

BEGIN: dict[str, Any] = {"name": "a fit", "parent": None, "at": 0, "tags": {}, "params": {"units": 4}}


def metric(step: int, run: str = "a") -> Event:
    return Event("log", run, {"metrics": [["loss", 1.0 / (step + 1), 0, step]], "params": {}, "tags": {}})


class Listed(Store):
    """A store that lists what it is sent."""

    def __init__(self, uri: str, experiment: str) -> None:
        super().__init__(uri, experiment)
        self.sent: list[tuple[str, str]] = []

    def send(self, event: Event, folder: Path) -> None:
        self.sent.append((event.kind, event.run))
        super().send(event, folder)


def test_epochs_that_follow_each_other_soon_are_sent_as_one(database: str, tmp_path: Path) -> None:
    store = Listed(database, "one")
    outbox = Outbox(store, tmp_path / "unsent")
    for event in [Event("begin", "a", BEGIN), *(metric(step) for step in range(20)), Event("begin", "b", BEGIN)]:
        outbox.put(event)
    for event in [metric(0, "b"), metric(20), metric(21), Event("end", "a", {"status": "FINISHED", "at": 9})]:
        outbox.put(event)
    outbox.close()
    assert store.sent == [("begin", "a"), ("log", "a"), ("begin", "b"), ("log", "b"), ("log", "a"), ("end", "a")]
    first = next(run for run in runs(database, "one") if run.info.status == "FINISHED")
    assert history(database, first, "loss") == {step: 1.0 / (step + 1) for step in range(22)}
    assert not (tmp_path / "unsent").exists()
    assert not outbox.folder.exists()


def test_what_a_store_does_not_take_keeps_nothing_else_from_it(database: str, tmp_path: Path) -> None:
    outbox = Outbox(Store(database, "one"), tmp_path / "unsent")
    changed = Event("log", "a", {"metrics": [], "params": {"units": 8}, "tags": {}})
    for event in [Event("begin", "a", BEGIN), changed, metric(0), Event("end", "a", {"status": "FINISHED", "at": 9})]:
        outbox.put(event)
    outbox.put(lambda: Event("files", "a", {"under": 1 / 0}))
    outbox.close()
    assert outbox.problem == ""
    assert ["units" in outbox.refused[0], outbox.refused[1]] == [True, "division by zero"]
    (run,) = runs(database, "one")
    assert (run.info.status, run.data.params) == ("FINISHED", {"units": "4"})


def test_a_fork_sends_nothing_and_takes_nothing_away(database: str, tmp_path: Path) -> None:
    outbox = Outbox(Store(database, "one"), tmp_path / "unsent")
    with observing(Tracker(outbox, {})):
        child = os.fork()
        if not child:
            small("naive").fit(wave())
            outbox.close()
            os._exit(len(list(outbox.folder.iterdir())) if outbox.folder.exists() else 99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        small("drift").fit(wave())
    outbox.close()
    (run,) = runs(database, "one")
    assert (run.info.run_name, len(run.outputs.model_outputs)) == ("drift on y", 1)


def test_events_that_an_earlier_version_kept_are_sent(database: str, tmp_path: Path) -> None:
    (tmp_path / ABOUT).write_text(json.dumps({"uri": database, "experiment": "one", "runs": {}}))
    events = [("begin", BEGIN), ("end", {"status": "FINISHED", "at": 9})]
    lines = [json.dumps({"kind": kind, "run": "a", "told": values, "folder": ""}) for kind, values in events]
    (tmp_path / EVENTS).write_text("\n".join(lines))
    assert sync(tmp_path) == [f"sent 1 run of {tmp_path.name} to {database}"]
    (run,) = runs(database, "one")
    assert (run.info.run_name, run.info.status, run.data.params) == ("a fit", "FINISHED", {"units": "4"})


def test_names_are_those_that_mlflow_takes() -> None:
    assert where("http://127.0.0.1:5000/") == "http://127.0.0.1:5000"
    assert _key("skill/gru (3 layers)") == "skill/gru _3 layers_"
    assert about(Panel.of([[1.0, 2.0], [3.0, 4.0, 5.0]])) == "y, 2 series"
    assert about(Panel.of([1.0, 2.0])) == "y"
