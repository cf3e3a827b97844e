"""Runs in processes of their own: nothing that one keeps in a global or a file reaches the next."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cloudpickle

from tsforecast.errors import DataError

# What a new process does. It loads nothing of this package, so that a procedure of numpy alone is quick.
CHILD = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    paths, function, data = pickle.load(file)
sys.path[:] = paths
import cloudpickle
try:
    answer = True, cloudpickle.loads(function)(cloudpickle.loads(data))
except Exception as error:
    answer = False, error
try:
    packed = cloudpickle.dumps(answer)
except Exception as error:
    packed = cloudpickle.dumps((False, TypeError(f"what is returned must be picklable: {error}")))
with open(sys.argv[2], "wb") as file:
    file.write(packed)
"""


def isolated(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that runs another one in a new process, in an empty working directory, at each call.

    The function is packed once, so that each process gets it, and the globals of notebooks and scripts that it uses, as
    they were before the first call. Modules are imported again.

    Examples
    --------
    >>> seen = []
    >>> def count(number):
    ...     seen.append(number)
    ...     return len(seen)
    >>> alone = isolated(count)
    >>> alone(5), alone(5), seen
    (1, 1, [])
    """
    try:
        packed = cloudpickle.dumps(function)
    except Exception as error:
        raise DataError(
            f"a procedure that runs in a process of its own must be picklable: got {type(error).__name__}: {error}"
        ) from error
    paths = [os.path.abspath(path) for path in sys.path]

    def run(data: Any) -> Any:
        with TemporaryDirectory() as talk, TemporaryDirectory() as empty:
            request, answer = Path(talk, "request"), Path(talk, "answer")
            request.write_bytes(pickle.dumps((paths, packed, cloudpickle.dumps(data))))
            places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), empty)
            command = [sys.executable, "-c", CHILD, str(request), str(answer)]
            ended = subprocess.run(command, cwd=empty, env={**os.environ, **places}, check=False)
            if not answer.exists():
                raise RuntimeError(f"the process of a run ended with code {ended.returncode}")
            worked, found = pickle.loads(answer.read_bytes())
        if not worked:
            raise found
        return found

    return run
