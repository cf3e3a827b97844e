"""Runs in processes of their own find state in globals and files, also of functions in scripts and notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tests.helpers.forecasters import small, wave
from tests.leakage import stateful
from tests.leakage.stateful import CUTOFF, CUTOFFS, STATEFUL, clean_with_a_cache, series
from tsforecast import DataError, ParameterError, audit, audit_procedure
from tsforecast.leakage.isolated import isolated

ALL = [(name, cutoff) for name in STATEFUL for cutoff in CUTOFFS]
MORE = [pytest.param(*each, marks=pytest.mark.slow) for each in ALL if each[0] != "scaler in a global"]
SCRIPT = """
import numpy as np
from tsforecast import audit_procedure

MEANS = []

def centre(data):
    if not MEANS:
        MEANS.append(data.mean())
    return data[:15] - MEANS[0]

print(*(audit_procedure(centre, np.arange(20.0) ** 2, 14, isolated=how).outcome for how in (True, False)))
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No state from another test, and a folder where files may be left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    stateful.SCALER.clear()
    stateful.CHOSEN.clear()
    stateful.Cached.mean = None


@pytest.mark.process
@pytest.mark.thorough
@pytest.mark.parametrize(("name", "cutoff"), [*ALL[: len(CUTOFFS)], *MORE])
def test_state_that_outlives_a_run_is_found_in_processes_of_their_own_only(name: str, cutoff: int) -> None:
    procedure = partial(STATEFUL[name], cutoff=cutoff)
    alone = audit_procedure(procedure, series(), cutoff, isolated=True)
    assert "LEAK" in alone.outcome
    assert any(matter.startswith("globals from before the audit") for matter in alone.unseen)
    together = audit_procedure(procedure, series(), cutoff)
    assert together.passed  # the limit that the report names
    assert any("isolated=True" in matter for matter in together.unseen)
    assert "isolated=True" in str(together)


@pytest.mark.process
@pytest.mark.thorough
def test_a_clean_procedure_passes_in_processes_of_its_own() -> None:
    report = audit_procedure(clean_with_a_cache, series(), CUTOFF, isolated=True)
    assert report.outcome == "passed (procedure)"
    assert report.isolated


@pytest.mark.thorough
def test_forecasters_and_estimators_can_be_sent_to_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed and unpacked as for another process, but run here, since each would load torch."""
    packed = []

    def send(run: Any) -> Any:
        sent = cloudpickle.dumps(run)
        packed.append(sent)
        return lambda data: cloudpickle.loads(sent)(cloudpickle.loads(cloudpickle.dumps(data)))

    monkeypatch.setattr("tsforecast.leakage.audit.in_a_new_process", send)
    windows = np.lib.stride_tricks.sliding_window_view(wave(60), 7)
    for report in (
        audit(small("reduction"), wave(40), cutoffs=1, horizon=2, isolated=True),
        audit(Ridge(), (windows[:, :6], windows[:, 6]), cutoffs=1, isolated=True),
    ):
        assert report.passed, str(report)
        assert report.isolated
        assert report.repeatable
    assert len(packed) == 4


@pytest.mark.process
@pytest.mark.thorough
@pytest.mark.parametrize("how", ["file", pytest.param("standard input", marks=pytest.mark.slow)])
def test_functions_of_a_script_or_a_notebook_are_taken_along_with_their_globals(how: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    root = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, *(["script.py"] if how == "file" else ["-"])]
    ran = subprocess.run(
        command, input=SCRIPT, capture_output=True, text=True, cwd=tmp_path, env=root, check=False, timeout=200
    )
    assert ran.stdout.strip() == "LEAK (procedure) passed (procedure)", ran.stderr


@pytest.mark.process
def test_a_run_has_an_empty_folder_and_its_errors_come_back() -> None:
    Path("left.txt").write_text("here", encoding="utf-8")

    def look(data: Any) -> dict[str, Any]:
        if data is None:
            raise KeyError("no data")
        if data == "end":
            os._exit(3)
        return {"files": os.listdir(), "process": os.getpid()}

    alone = isolated(look)
    first, second = alone(1), alone(2)
    assert first["files"] == second["files"] == []
    assert len({first["process"], second["process"], os.getpid()}) == 3
    with pytest.raises(KeyError, match="no data"):
        alone(None)
    with pytest.raises(RuntimeError, match="the process of a run ended with code 3"):
        alone("end")
    with pytest.raises(TypeError, match="what is returned must be picklable"):
        isolated(lambda _: threading.Lock())(1)


def test_what_cannot_be_packed_is_refused() -> None:
    lock = threading.Lock()

    def locked(data: Any) -> Any:
        with lock:
            return data[:5]

    with pytest.raises(DataError, match="in a process of its own must be picklable: got TypeError"):
        audit_procedure(locked, np.arange(20.0), 9, isolated=True)
    with pytest.raises(ParameterError, match="isolated must be"):
        audit(lambda data, at: data[:at], np.arange(20.0), cutoffs=[9], isolated="yes")  # type: ignore[arg-type]
