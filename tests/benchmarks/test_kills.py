"""The benchmark of kills: no row of a board is lost, and none is there twice, whatever was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/kills.py"


@pytest.mark.cluster
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["worker", "node", "driver"])
def test_twenty_kills_at_random_moments_change_no_row(kind: str, tmp_path: Path, only_ray: None) -> None:
    paths = {"PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    environment = {**os.environ, **paths, "TSFORECAST_RESULTS": str(tmp_path)}
    subprocess.run([sys.executable, str(SCRIPT), "--kinds", kind], env=environment, check=True, capture_output=True)
    (row,) = (json.loads(line) for line in (tmp_path / "kills.jsonl").read_text().splitlines())
    assert (row["rounds"], row["lost"], row["twice"], row["same"]) == (20, 0, 0, 20)
