"""Places of files of recordings: the fields of their paths, and a zip, unpacked for as long as it is read."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tsforecast.errors import DataError, ParameterError, Problem, UnknownNameError, raise_any, reason, shorten

MOST_BYTES = 4 << 30  # that a zip may unpack to
CHUNK = 1 << 20


def fields_of(pattern: str, names: Sequence[str]) -> list[dict[str, str] | None]:
    """Return the fields of the place of each file; None where it is at another one."""
    form, fields = _as_regex(pattern)
    levels = pattern.count("/") + 1
    found = [form.fullmatch("/".join(name.split("/")[-levels:])) for name in names]
    return [dict(zip(fields, match.groups(), strict=True)) if match else None for match in found]


def _as_regex(pattern: str) -> tuple[re.Pattern[str], list[str]]:
    """Return the form of the last levels of a path, and the names of its fields: ``{user}/{gesture}/*.csv``."""
    words = re.split(r"(\{[^{}/]*\}|\*)", pattern)
    fields = [word[1:-1] for word in words if word.startswith("{")]
    rest = [word for word in words if word != "*" and not word.startswith("{")]
    if any(set("{}") & set(word) for word in rest) or len(set(fields)) < len(fields) or "" in fields:
        must = "--files must be a place with fields in braces, each once, such as {user}/{gesture}/*.csv"
        raise ParameterError(Problem(must, f"got {pattern!r}"))
    forms = {"*": "[^/]*"}
    text = "".join("([^/]+)" if word.startswith("{") else forms.get(word, re.escape(word)) for word in words)
    return re.compile(text), fields


def archives_of(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """Return the `.ts` files in a folder, or else others with these endings; a zip is looked at when it is unpacked."""
    if folder.suffix.lower() == ".zip" or not folder.is_dir():
        return [folder] * (folder.suffix.lower() == ".zip" and folder.is_file() and _holds(folder, endings))
    held = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in endings and path.is_file()]
    return [path for path in held if path.suffix.lower() == ".ts"] or held


def _holds(path: Path, endings: tuple[str, ...]) -> bool:
    """Return whether a zip has a file with one of some endings, as far as it can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(endings) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return True  # its own fault is found when it is unpacked


@contextmanager
def unpacked(path: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Unpack files of a zip, those with some endings, into the current folder, a new one for as long as it is read.

    Errors name files as the zip does.
    """
    with TemporaryDirectory() as place:
        _unpack(path, Path(place), endings)
        with chdir(place):
            yield Path()


def _unpack(path: Path, folder: Path, endings: tuple[str, ...]) -> None:
    """Write the files of recordings in a zip below a folder, or raise DataError."""
    if not path.exists():
        raise UnknownNameError(f"file {str(path)!r} does not exist; check the name and the folder")
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            raise_any(_unsafe(path, files, endings))
            for info in files:
                if info.filename.lower().endswith(endings):
                    target = folder.joinpath(*PurePosixPath(info.filename).parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(info) as source, target.open("wb") as written:
                        shutil.copyfileobj(source, written, CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise DataError(f"file {str(path)!r} must be a whole zip archive: {reason(error)}; get it anew") from error


def _unsafe(path: Path, files: list[zipfile.ZipInfo], endings: tuple[str, ...]) -> Iterator[str]:
    """Yield why a zip is not unpacked: files outside of it, too many bytes, a password, none or another zip within."""
    names = [info.filename for info in files]
    outside = [name for name in names if ".." in PurePosixPath(name).parts or re.match(r"/|\\|[A-Za-z]:", name)]
    if outside:
        yield f"zip {str(path)!r} must hold files below its own folder: it has {outside[0]!r}; pack it anew"
    if any(info.flag_bits & 1 for info in files):
        yield f"zip {str(path)!r} must have no password: it has one; unpack it, and name the folder"
    if (size := sum(info.file_size for info in files)) > MOST_BYTES:
        largest = max(files, key=lambda info: info.file_size)
        held = f"{size / 1e9:.1f} GB, of which {largest.filename!r} is {largest.file_size / 1e9:.1f}"
        yield f"zip {str(path)!r} must unpack to {MOST_BYTES / 1e9:.1f} GB at most: it holds {held}; unpack it by hand"
    if not any(name.lower().endswith(endings) for name in names):
        nested = [name for name in names if name.lower().endswith(".zip")]
        held = (
            f"it holds another zip, {nested[0]!r}"
            if nested
            else f"it holds {shorten([*map(repr, names)]) or 'nothing'}"
        )
        remedy = "; unpack it, and name that one" if nested else ""
        yield f"zip {str(path)!r} must hold files of recordings ({', '.join(endings)}): {held}{remedy}"
