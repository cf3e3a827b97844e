"""A comparison that is killed, and then resumed from its checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

QUIET = 1.5  # seconds without a fit, after which none is under way


def kill_and_resume(script: str, folder: Path, fits: int) -> tuple[int, int, str]:
    """Kill a comparison in its fit of that number, and run it again.

    The script takes a file, to which each fit adds a line, and a folder of the checkpoint. Its model is called "slow".
    Returned are the fits that were kept when it was killed, those of the second run, and the text that it printed.
    """
    file, lines, kept = folder / "script.py", folder / "fits", folder / "kept"
    file.write_text(script)
    command = [sys.executable, str(file), str(lines), str(kept)]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, env=paths)
    while not lines.exists() or len(lines.read_text().splitlines()) < fits:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    begun, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET:  # processes of the one that was killed may still run what they had at hand
        if (now := len(lines.read_text().splitlines())) != begun:
            begun, since = now, time.monotonic()
        time.sleep(0.05)
    done = len(list(kept.glob("slow-*.parquet")))
    again = subprocess.run(command, env=paths, capture_output=True, text=True, check=True)
    return done, len(lines.read_text().splitlines()) - begun, again.stdout
