"""Send run events from a background thread; spool them to disk when the server is unreachable."""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from filelock import FileLock, Timeout

from tsforecast.errors import TrackingError, reason
from tsforecast.files import new_file
from tsforecast.tracking.store import Event, Refused, Store

UNSENT = "mlflow-unsent"  # in the working folder
ABOUT, EVENTS, LOCK = "about.json", "events.jsonl", "lock"  # in a folder of it
TOGETHER = 5.0  # seconds in which metrics of a run wait for others, to be sent as one
AGAIN = 0.5  # seconds before an event is sent again
LATE, OVER = "late", "over"  # what comes from the queue where no event does

_log = logging.getLogger("tsforecast")


class Outbox:
    """Queue of events, sent in order by a background thread; events that cannot be sent go to a folder in `unsent`."""

    def __init__(self, store: Store, unsent: Path) -> None:
        self.store = store
        self.problem = ""  # why nothing is sent any more; empty while all is well
        self.refused: list[str] = []  # reasons for events that the store did not take
        self.folder = Path(tempfile.mkdtemp(prefix="tsforecast-runs-"))  # files of events until they are sent
        self.kept = unsent.absolute() / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        self._lock = FileLock(self.kept / LOCK, thread_local=False)
        self._queue: queue.SimpleQueue[Event | Callable[[], Event] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tsforecast-tracking", daemon=True)
        self._thread.start()
        self._process = os.getpid()

    @property
    def elsewhere(self) -> bool:
        """Whether this is a fork of the sending process, which has no sending thread."""
        return os.getpid() != self._process

    def put(self, event: Event | Callable[[], Event]) -> None:
        """Queue an event, or a function that prepares files and returns an event."""
        self._queue.put(event)

    def new_folder(self) -> Path:
        """Return a new folder for the files of one event, which has its name."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def close(self) -> None:
        """Wait until all events are sent or spooled."""
        if self.elsewhere:
            return
        self._queue.put(None)
        self._thread.join()
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _work(self) -> None:
        for event in self._batches():
            try:
                if not self.problem:
                    self._send(event)
                else:
                    self._keep(event)
            except Exception as error:  # whatever goes wrong here must not stop the events that follow
                _log.warning("an event of a run was lost: %s", error, exc_info=True)
                self.refused.append(f"{event.kind}: {reason(error)}")

    def _send(self, event: Event) -> None:
        for left in reversed(range(self.store.tries)):
            try:
                self.store.send(event, self.folder)
                return
            except Refused as error:
                self.refused.append(str(error))
                return
            except Exception as error:  # of the network, the database, the client: of many kinds
                if not left:
                    self.problem = f"{type(error).__name__}: {reason(error)}"
                    _log.warning("tracking stopped", exc_info=True)
                    self._keep(event)
                    return
                time.sleep(AGAIN)

    def _keep(self, event: Event) -> None:
        """Spool an event and its files."""
        if not self.kept.exists():
            self.kept.mkdir(parents=True)
            self._lock.acquire()
            _write_about(self.kept, self.store)
        if event.folder:
            shutil.move(self.folder / event.folder, self.kept / event.folder)
        with (self.kept / EVENTS).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(event)) + "\n")

    def _batches(self) -> Iterator[Event]:
        """Yield events; metrics of one run in quick succession are merged into one event."""
        event = self._next()
        while isinstance(event, Event):
            following: Event | str = LATE
            if event.kind == "log":
                until = time.monotonic() + TOGETHER
                while isinstance(following := self._next(until), Event):
                    if (following.kind, following.run) != ("log", event.run):
                        break
                    one, other = event.values, following.values
                    joined = {"metrics": one["metrics"] + other["metrics"]}
                    joined |= {part: one[part] | other[part] for part in ("params", "tags")}
                    event = replace(event, values=joined)
            yield event
            event = self._next() if following == LATE else following

    def _next(self, until: float | None = None) -> Event | str:
        """Wait for an event; return OVER at the end of the queue, and LATE at a timeout."""
        while True:
            try:
                item = self._queue.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                return LATE
            try:
                if not callable(item):
                    return OVER if item is None else item
                return item()
            except Exception as error:  # of a figure, of a model: the run goes on without
                _log.warning("part of a run could not be written", exc_info=True)
                self.refused.append(reason(error))


def send_later(place: Path) -> tuple[str, int]:
    """Send the events of one spool folder, and remove it; return the store's URI and the number of runs.

    Events that cannot be sent stay, and raise TrackingError, as does a folder that another process still writes to.
    """
    lock = FileLock(place / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TrackingError(f"{str(place)!r} is still being written by another process: wait for its end") from error
    try:
        about = json.loads((place / ABOUT).read_text(encoding="utf-8"))
        events = list(_events(place / EVENTS))
        store = Store(about["uri"], about["experiment"], about["runs"])
        for number, event in enumerate(events):
            try:
                store.send(event, place)
            except Refused as error:
                _log.warning("refused: %s", error)
            except Exception as error:
                with new_file(place / EVENTS) as unfinished:
                    unfinished.write_text("".join(json.dumps(asdict(one)) + "\n" for one in events[number:]))
                _write_about(place, store)
                raise TrackingError(
                    f"what {str(place)!r} keeps must be sent to {store.uri!r}: {number} of {len(events)} events were, "
                    f"then {reason(error)}; the rest stays, try again"
                ) from error
    finally:
        lock.release()
    shutil.rmtree(place)
    return store.uri, len({event.run for event in events})


def _write_about(place: Path, store: Store) -> None:
    about = {"uri": store.uri, "experiment": store.experiment, "runs": store.runs}
    with new_file(place / ABOUT) as unfinished:
        unfinished.write_text(json.dumps(about, indent=1), encoding="utf-8")


def _events(file: Path) -> Iterator[Event]:
    """Yield the events in a file; the last line may be cut short."""
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            return
        if "told" in fields:  # the name of the values in spool folders of earlier versions
            fields["values"] = fields.pop("told")
        yield Event(**fields)
