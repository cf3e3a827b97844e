"""Run the command line, in this process or in one of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest
import typer.main

from tsforecast.cli.app import main
from tsforecast.cli.console import console

made_once = cache(typer.main.get_command)  # of the signatures of all commands, which takes longer than most of them


def tsforecast(*words: str | Path, cwd: Path | None = None, width: int = 120) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which has loaded the libraries already."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["tsforecast", *map(str, words)])
        patch.setenv("COLUMNS", str(width))
        patch.setattr(typer.main, "get_command", made_once)
        patch.setattr(console, "width", width)  # it was made before, and looks at COLUMNS only then
        if cwd:
            patch.chdir(cwd)
        with pytest.raises(SystemExit) as left:
            main()
    return subprocess.CompletedProcess(words, int(left.value.code or 0), out.getvalue(), err.getvalue())


def in_a_process(*words: str | Path, cwd: Path | None = None, width: int = 120) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as a shell does."""
    command = [sys.executable, "-m", "tsforecast.cli.app", *map(str, words)]
    environment = {**os.environ, "COLUMNS": str(width), "PYTHONWARNINGS": "error"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False, timeout=240)
