"""Atomic files and folders: written whole, or not at all."""

from __future__ import annotations

import ctypes
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tsforecast.errors import TsForecastError, reason

try:
    import fcntl
except ImportError:  # not Unix: folders of killed processes stay
    fcntl = None  # type: ignore[assignment]

PATIENCE = 60.0  # seconds that another process may change a file
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


class OutputError(TsForecastError, OSError):
    """A file or folder could not be written."""


@contextmanager
def locked(place: Path, shown: str | Path) -> Iterator[None]:
    """Make the folder of a file, and keep other processes from changing it; OutputError names the file as `shown`."""
    from filelock import FileLock, Timeout

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{place.name}.lock"), timeout=PATIENCE):
            yield
    except Timeout as error:
        raise OutputError(f"{str(shown)!r} is in use by another process for {PATIENCE:g} seconds: try again") from error
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{str(shown)!r} must be a place that can be written to: {reason(error)}") from error


def cache_folder() -> Path:
    """Return the folder of what can be fetched or made again: ``TSFORECAST_CACHE`` if set, else the user's cache."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("TSFORECAST_CACHE")
    return Path(chosen) if chosen else user_cache_path("tsforecast")


def shipped(name: str) -> Path:
    """Return a folder that is distributed with the package: inside an installed one, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


@contextmanager
def new_folder(target: Path, mark: str) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` at the end, and only if all went well.

    An older folder of the same kind, known by its file `mark`, is replaced then. Any other folder with content, and any
    file, is left alone: that, or a place that cannot be written to, raises OutputError.
    """
    require_place(target, mark)
    with _fresh(target) as folder:
        yield folder
        try:
            folder.rename(target)
        except OSError:  # an older one is there, or that of a process that was a moment faster
            if not target.is_dir():
                raise
            if not _exchanged(folder, target):
                aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.replaced-", dir=target.parent))
                target.rename(aside / target.name)
                folder.rename(target)
                shutil.rmtree(aside)


def require_place(target: Path, mark: str | None = None) -> None:
    """Refuse a folder that cannot be written to, before long work whose result goes there; nothing is made there.

    With a `mark`, also one whose content `new_folder` would leave alone.
    """
    try:
        nearest = next(place for place in (target.absolute(), *target.absolute().parents) if place.exists())
    except OSError as error:  # a name that is too long
        raise OutputError(_unusable(target, reason(error))) from error
    if target.is_file():
        raise OutputError(f"{str(target)!r} must be a folder: it is a file, which stays as it is; name another place")
    if not nearest.is_dir():
        raise OutputError(_unusable(target, f"{str(nearest)!r} is a file"))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(_unusable(target, f"no permission to write to {str(nearest)!r}"))
    if mark and target.is_dir() and any(target.iterdir()) and not (target / mark).is_file():
        count = sum(1 for _ in target.iterdir())
        raise OutputError(
            f"{str(target)!r} must be new or empty, or hold an older {mark}: it holds {count} other entries, which "
            "stay as they are; name another place"
        )


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a path to write to that becomes `target` at the end, and only if all went well."""
    with _fresh(target) as folder:
        path = folder / target.name
        yield path
        os.replace(path, target)


def write_or_return(text: str, path: str | Path | None) -> str | None:
    """Write a text to a file, whole or not at all; return it where there is none."""
    if path is None:
        return text
    with new_file(Path(path)) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return None


def _unusable(target: Path, why: str) -> str:
    return f"{str(target)!r} must be a place that can be written to: {why}; name another one"


def _exchanged(one: Path, other: Path) -> bool:
    """Swap two folders atomically, where the system can: a kill between two renames would leave neither."""
    try:
        swap = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux
        return False
    return bool(swap(_HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute()), _EXCHANGE) == 0)


@contextmanager
def _fresh(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`; its remains are removed, as are parent folders that stayed empty."""
    absent: list[Path] = []
    folder, lock = None, None
    try:
        absent = [place for place in target.parents if not place.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear(target)
        folder, lock = _locked_folder(target)
        folder.chmod(0o755)
        yield folder
    except Exception as error:
        # The error of safetensors on a full disk is known by its name: `--help` must not load the library.
        of_disk = isinstance(error, OSError) or type(error).__name__ == "SafetensorError"
        if isinstance(error, TsForecastError) or not of_disk:
            raise
        raise OutputError(_unusable(target, reason(error))) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        with suppress(OSError):  # the first with content stays, and all above it
            for place in absent:
                place.rmdir()


def _clear(target: Path) -> None:
    """Remove the folders that killed processes left beside `target`; a living one holds a lock on its own."""
    for folder in target.parent.glob(glob.escape(_unfinished(target)) + "*") if fcntl else ():
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError if it is locked, or cannot be
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _locked_folder(target: Path) -> tuple[Path, int | None]:
    """Return a new folder beside `target`, and the open lock on it; None where locks do not exist."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_unfinished(target), dir=target.parent))
        if fcntl is None:
            return folder, None
        with suppress(FileNotFoundError):  # another process removed it before it had its lock
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # the file system has no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _unfinished(target: Path) -> str:
    return f".{target.name}.unfinished-"


def sha256(file: Path) -> str:
    """Return the checksum of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
