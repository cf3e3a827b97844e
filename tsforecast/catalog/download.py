"""Download a file into the cache: whole and with the right checksum, or not at all.

pooch writes to a ``.part`` file beside the target, which takes the target's name once its checksum is right. A lock
lets one process download while the others wait for its file.
"""

from __future__ import annotations

import logging
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from tsforecast.errors import DownloadError, reason
from tsforecast.files import sha256 as checksum

Progress = Callable[[int, int | None], None]

ATTEMPTS = 3
PAUSE = 0.5  # seconds before the second attempt; twice that before the third
SILENCE = 30.0  # seconds without a byte after which a connection counts as broken
PATIENCE = 900.0  # seconds to wait for another process that downloads the same file
CHUNK = 1 << 16
HEADERS = {"User-Agent": "tsforecast", "Accept-Encoding": "identity"}

logger = logging.getLogger("tsforecast")


def fetch(
    url: str,
    target: Path,
    sha256: str | None = None,
    progress: Progress | None = None,
    *,
    member: str | None = None,
    remedy: str = "download it by hand and put it there",
) -> Path:
    """Make sure that `target` exists, and download it, whole, when it does not.

    Where the url is a zip archive, `target` is the file `member` in it. `sha256` is the checksum of `target`.
    `progress` is called with the bytes received and those expected (None when the server does not state them).
    DownloadError is raised when the server does not have the file, the connection breaks too often, the checksum is
    wrong or the file cannot be written; `remedy` ends its sentence.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock"), timeout=PATIENCE):
            if not target.exists():  # another process may have downloaded it while this one waited for the lock
                try:
                    _download(url, part, progress)
                    _check(url, part, member, sha256)
                    os.replace(part, target)
                finally:
                    part.unlink(missing_ok=True)
    except Timeout:
        raise DownloadError(
            f"{target} is being downloaded by another process, which has not finished within {PATIENCE:.0f} seconds; "
            "wait for it, or end it"
        ) from None
    except DownloadError as error:
        raise DownloadError(f"{error}; {remedy}") from error.__cause__
    except OSError as error:
        raise DownloadError(
            f"{url} must be written to {target.parent}: {reason(error)}; make room or rights there, name "
            f"another folder in the environment variable TSFORECAST_CACHE, or {remedy}"
        ) from error
    return target


class _Bar:
    """The progress bar of pooch, as calls of a function."""

    def __init__(self, progress: Progress) -> None:
        self.total = self.done = 0
        self.progress = progress

    def update(self, count: int) -> None:
        self.done = min(self.done + count, self.total) if self.total else self.done + count
        self.progress(self.done, self.total or None)

    def reset(self) -> None:
        self.done = 0 if self.total else self.done

    def close(self) -> None:
        pass


def _download(url: str, part: Path, progress: Progress | None) -> None:
    """Write the body of `url` to `part`, in several attempts where the connection breaks or the server fails."""
    import pooch  # here: a file in the cache needs neither
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        bar = _Bar(progress) if progress else False
        download = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=SILENCE, headers=HEADERS)
        try:
            download(url, str(part), None)
            return
        except requests.HTTPError as error:
            response: requests.Response = error.response  # type: ignore[assignment]  # never None here
            with response:  # closes the connection
                problem = f"the server answered {response.status_code} ({response.reason})"
            if response.status_code < 500 or attempt == ATTEMPTS:
                raise DownloadError(f"{url} must be there: {problem}") from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            problem = _root(error)
            if attempt == ATTEMPTS:
                raise DownloadError(
                    f"{url} must come whole: the connection broke in each of {ATTEMPTS} attempts ({problem})"
                ) from error
        except requests.RequestException as error:
            raise DownloadError(f"{url} must be within reach: {_root(error)}") from error
        logger.info("attempt %d to download %s failed (%s); trying again", attempt, url, problem)
        time.sleep(PAUSE * attempt)


def _root(error: BaseException) -> str:
    """Return the first cause of an error: what wraps it repeats the address and names of classes."""
    while error.__context__ is not None:
        error = error.__context__
    return reason(error)


def _check(url: str, part: Path, member: str | None, sha256: str | None) -> None:
    """Unpack `part` if it is an archive, and verify its checksum."""
    if member is not None:
        try:
            with zipfile.ZipFile(part) as archive:
                body = archive.read(member)
        except (zipfile.BadZipFile, KeyError) as error:
            raise DownloadError(f"{url} must be a zip archive with the file {member!r}: {error}") from error
        part.write_bytes(body)
    if sha256 is not None and (got := checksum(part)) != sha256.lower():
        raise DownloadError(
            f"{url} must have the sha256 checksum {sha256}: got {got} ({part.stat().st_size} bytes); its source has "
            f"changed, or the download was damaged"
        )
