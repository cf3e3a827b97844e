"""Writing files so that nobody ever finds half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsforecast.errors import TsForecastError


class OutputError(TsForecastError, OSError):
    """A file or folder could not be written."""


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` at the end, and only if all went well.

    What `target` held before stays there until then; afterwards it is gone.

    Raises
    ------
    OutputError
        When the place cannot be written to, or holds a file.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with new_folder(Path(place, "out")) as folder:
    ...         _ = Path(folder, "a.txt").write_text("a")
    ...     os.listdir(Path(place, "out"))
    ['a.txt']
    """
    with _fresh(target) as folder:
        yield folder
        if target.exists():
            aside = folder.with_name(folder.name + ".old")
            target.rename(aside)
            folder.rename(target)
            shutil.rmtree(aside)
        else:
            folder.rename(target)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a path to write to that becomes `target` at the end, and only if all went well."""
    with _fresh(target) as folder:
        path = folder / target.name
        yield path
        os.replace(path, target)


@contextmanager
def _fresh(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`; whatever is left of it is removed."""
    folder: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        folder.chmod(0o755)
        yield folder
    except OSError as error:
        if isinstance(error, TsForecastError):
            raise
        reason = error.strerror or str(error)
        raise OutputError(
            f"{str(target)!r} must be a place that can be written to: {reason}; name another one"
        ) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
