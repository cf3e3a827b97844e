"""Fetch a file into the cache: whole and right, or not at all.

What comes lies in a ``.part`` file beside the target until it is complete and its checksum is right; a cut
connection goes on where it broke off. A lock lets one process fetch while the others wait for its file.
"""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from tsforecast.errors import DownloadError, reason

Progress = Callable[[int, int | None], None]

ATTEMPTS = 3
PAUSE = 0.5  # seconds before the second attempt; twice that before the third
SILENCE = 30.0  # seconds without a byte after which a connection counts as cut
PATIENCE = 900.0  # seconds to wait for another process that fetches the same file
CHUNK = 1 << 16

logger = logging.getLogger("tsforecast")


class _Cut(Exception):
    """The connection ended before the file did."""


def cache_folder() -> Path:
    """Return the folder of downloaded files: ``TSFORECAST_CACHE`` if set, else the user's cache."""
    chosen = os.environ.get("TSFORECAST_CACHE")
    return Path(chosen) if chosen else user_cache_path("tsforecast")


def fetch(
    url: str,
    target: Path,
    sha256: str | None = None,
    progress: Progress | None = None,
    *,
    member: str | None = None,
    remedy: str = "fetch it by hand and put it there",
) -> Path:
    """Make sure that `target` exists, and download it when it does not.

    Parameters
    ----------
    url : str
    target : Path
        Appears only when it is complete.
    sha256 : str, optional
        Checksum that the file must have, in hexadecimal digits.
    progress : callable, optional
        Called with the bytes that have come and the bytes expected (None when the server does not say).
    member : str, optional
        The url is a zip archive; `target` is the file of this name in it, and `sha256` is its checksum.
    remedy : str
        What to do when the download fails; ends the error's sentence.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    DownloadError
        When the server does not have the file, the connection breaks too often, the checksum is wrong or
        the file cannot be written.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock"), timeout=PATIENCE):
            # Another process may have brought it while this one waited for the lock.
            if not target.exists():
                resumed = _download(url, part, sha256, progress)
                try:
                    _check(url, part, member, sha256)
                except DownloadError:
                    if not resumed:
                        raise
                    # Its older bytes may stem from another version of the file: once more, from the start.
                    _download(url, part, sha256, progress)
                    _check(url, part, member, sha256)
                os.replace(part, target)
                _tag(part).unlink(missing_ok=True)
    except Timeout:
        raise DownloadError(
            f"{target} is being fetched by another process, which has not finished within {PATIENCE:.0f} seconds; "
            f"wait for it, or end it"
        ) from None
    except DownloadError as error:
        raise DownloadError(f"{error}; {remedy}") from error.__cause__
    except OSError as error:
        raise DownloadError(
            f"{url} must be written to {target.parent}: {reason(error)}; make room or rights there, name "
            f"another folder in the environment variable TSFORECAST_CACHE, or {remedy}"
        ) from error
    return target


def _download(url: str, part: Path, sha256: str | None, progress: Progress | None) -> bool:
    """Bring `part` to its full length; tell whether its first bytes are older than this call."""
    resumed = part.exists() and part.stat().st_size > 0
    attempt = 1
    while True:
        try:
            return _attempt(url, part, sha256, progress) and resumed
        except urllib.error.HTTPError as error:
            with error:  # closes the connection
                problem = f"the server answered {error.code} ({error.reason})"
            if error.code < 500 or attempt == ATTEMPTS:
                raise DownloadError(f"{url} must be there: {problem}") from error
        except (_Cut, urllib.error.URLError, ConnectionError, TimeoutError, HTTPException, ssl.SSLError) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            problem = reason(cause) if isinstance(cause, BaseException) else str(cause)
            if not isinstance(cause, (_Cut, ConnectionError, TimeoutError, HTTPException, ssl.SSLError)):
                raise DownloadError(f"{url} must be within reach: {problem}") from error
            if attempt == ATTEMPTS:
                raise DownloadError(
                    f"{url} must come whole: the connection broke in each of {ATTEMPTS} attempts ({problem})"
                ) from error
        logger.info("attempt %d to fetch %s failed (%s); going on", attempt, url, problem)
        time.sleep(PAUSE * attempt)
        attempt += 1


def _attempt(url: str, part: Path, sha256: str | None, progress: Progress | None) -> bool:
    """Fetch what `part` still lacks over one connection; tell whether what it had was kept."""
    have = part.stat().st_size if part.exists() else 0
    tag = _tag(part).read_text(encoding="utf-8") if have and _tag(part).exists() else ""
    request = urllib.request.Request(url, headers={"User-Agent": "tsforecast"})
    # Without a mark of its version or a checksum, the rest could be that of another file unnoticed.
    if have and (tag or sha256):
        request.add_header("Range", f"bytes={have}-")
        if tag:
            request.add_header("If-Range", tag)
    try:
        response = urllib.request.urlopen(request, timeout=SILENCE)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        _discard(part)  # nothing lies beyond what we have: the file has changed, or was whole
        return _attempt(url, part, sha256, progress)
    with response:
        kept = response.status == 206 and _begins_at(response, have) and _version(response) == tag
        if response.status == 206 and not kept:
            _discard(part)
            raise _Cut("the server sent another part of the file, or of another version of it")
        if not kept:
            _tag(part).write_text(_version(response), encoding="utf-8")
        _receive(response, part, have if kept else 0, progress)
    return kept


def _receive(response: Any, part: Path, have: int, progress: Progress | None) -> None:
    length = response.headers.get("Content-Length")
    total = have + int(length) if length is not None else None
    with open(part, "ab" if have else "wb") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            have += len(chunk)
            if progress:
                progress(have, total)
    # http.client ends a short body without a word.
    if total is not None and have < total:
        raise _Cut(f"{have} of {total} bytes came")


def _begins_at(response: Any, have: int) -> bool:
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-")


def _version(response: Any) -> str:
    """Return the server's mark of this version of the file; empty when it has none to rely on."""
    tag = str(response.headers.get("ETag") or "")
    return tag if tag and not tag.startswith("W/") else str(response.headers.get("Last-Modified") or "")


def _tag(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


def _check(url: str, part: Path, member: str | None, sha256: str | None) -> None:
    """Unpack `part` if it is an archive and verify its checksum; what is wrong is deleted."""
    if member is not None:
        plain = part.with_name(part.name + ".plain")
        try:
            with zipfile.ZipFile(part) as archive:
                plain.write_bytes(archive.read(member))
        except (zipfile.BadZipFile, KeyError) as error:
            _discard(part)
            raise DownloadError(f"{url} must be a zip archive with the file {member!r}: {error}") from error
        os.replace(plain, part)
    if sha256 is None:
        return
    with open(part, "rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != sha256.lower():
        size = part.stat().st_size
        _discard(part)
        raise DownloadError(
            f"{url} must have the sha256 checksum {sha256}: got {got} ({size} bytes); its source has changed, or the "
            f"download was damaged"
        )
