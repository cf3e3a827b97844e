"""A file of records that follow from each other: canonical lines, hashes, signatures, one writer at a time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsforecast.errors import DataError, ParameterError, Problem, counted, reason
from tsforecast.files import OutputError, locked, require_place

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT = 1
START = "0" * 64  # what the first record follows from
APART = ("hash", "signature")  # what the hash of a record is not of
SKEW = timedelta(minutes=1)  # by which clocks of machines that write to one file may differ
TAIL = 1 << 16  # bytes that are read at a time to find the last line
MESSAGE = b"tsforecast record "  # before the hash that is signed, so that a signature serves no other purpose
INSTALL = "pip install cryptography"


def canonical(record: Mapping[str, Any]) -> bytes:
    """Return the one line that a record is written as.

    Names are sorted, nothing stands between the parts, numbers have the fewest digits that lead back to them.

    Examples
    --------
    >>> canonical({"steps": 2, "forecast": [0.1, None]})
    b'{"forecast":[0.1,null],"steps":2}'
    """
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def hash_of(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record without its hash and signature."""
    return hashlib.sha256(canonical({name: held for name, held in record.items() if name not in APART})).hexdigest()


# Keys ----------------------------------------------------------------------------------------------------------------


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        must = "signatures need the package cryptography"
        raise ParameterError(Problem(must, "it is not installed", f"install it with {INSTALL}")) from error
    return serialization


def make_key(path: str | Path) -> Path:
    """Write a new private key, which signs records, and its public key next to it, which checks them.

    Parameters
    ----------
    path : path
        File of the private key, PEM (PKCS 8, ed25519), which only you may read; ``openssl genpkey -algorithm ed25519``
        writes such a file as well. The public key has the same name and the ending ``.pub.pem``.

    Returns
    -------
    Path
        File of the public key, to hand out.

    Raises
    ------
    OutputError
        When the file is there already, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make_key(f"{folder}/desk.pem").name
    'desk.pub.pem'
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    place, key, public = Path(path), Ed25519PrivateKey.generate(), Path(path).with_suffix(".pub.pem")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shown = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for file, text, mode in ((place, private, 0o600), (public, shown, 0o644)):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
                opened.write(text)
        except FileExistsError as error:
            why = "a key that is lost cannot be made again"
            must = f"{str(file)!r} must be a new file"
            raise OutputError(Problem(must, f"it is there, and {why}", "name another one")) from error
        except OSError as error:
            raise OutputError(f"{str(file)!r} must be a place that can be written to: {reason(error)}") from error
    return public


@dataclass(frozen=True)
class Signer:
    """A private key, and its public one in 64 hexadecimal digits."""

    private: Ed25519PrivateKey
    public: str

    @classmethod
    def read(cls, path: str | Path) -> Signer:
        """Read a private key; ParameterError where a file holds none."""
        serialization = _serialization()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        must, remedy = "must be the file of a private ed25519 key, PEM", "make one with tsforecast record-key FILE"
        try:
            key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
        except TypeError as error:
            closed = Problem(must, f"{str(path)!r} has a password", "write it without one", parameter="record_key")
            raise ParameterError(closed) from error
        except (OSError, ValueError) as error:
            got = reason(error) if isinstance(error, OSError) else "it holds something else"
            raise ParameterError(Problem(must, f"{str(path)!r}: {got}", remedy, parameter="record_key")) from error
        if not isinstance(key, Ed25519PrivateKey):
            other = type(key).__name__.strip("_")
            raise ParameterError(Problem(must, f"{str(path)!r} holds a {other}", remedy, parameter="record_key"))
        return cls(key, key.public_key().public_bytes_raw().hex())

    def sign(self, digest: str) -> str:
        """Return the signature of a hash, hexadecimal."""
        return self.private.sign(MESSAGE + digest.encode()).hex()


def read_public(path: str | Path) -> str:
    """Return the public key in a PEM file, hexadecimal; ParameterError where it holds none, or a private one."""
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    must = "must be the file of a public ed25519 key, PEM"
    try:
        text = Path(path).read_bytes()
        if b"PRIVATE KEY" in text:
            remedy = "give the public one, FILE.pub.pem, and keep the private one to yourself"
            raise ParameterError(Problem(must, f"{str(path)!r} holds a private one", remedy, parameter="key"))
        key = serialization.load_pem_public_key(text)
    except (OSError, ValueError) as error:
        if isinstance(error, ParameterError):
            raise
        got = reason(error) if isinstance(error, OSError) else "it holds something else"
        raise ParameterError(Problem(must, f"{str(path)!r}: {got}", parameter="key")) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ParameterError(Problem(must, f"{str(path)!r} holds another kind of key", parameter="key"))
    return key.public_bytes_raw().hex()


def signed(public: str, digest: str, signature: str) -> bool:
    """Return whether a signature of a hash is that of a public key."""
    _serialization()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        raw = bytes.fromhex(signature)
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(raw, MESSAGE + digest.encode())
    except (InvalidSignature, ValueError):
        return False
    return raw.hex() == signature  # and not the same in capitals


# Writing -------------------------------------------------------------------------------------------------------------


def place_of(path: Any) -> Path:
    """Return the file of a chain, which need not be there; ParameterError, or OutputError, where it cannot be one."""
    must = "must be the path of a file, such as 'forecasts.jsonl'"
    if not isinstance(path, (str, Path)) or not str(path):
        raise ParameterError(Problem(must, f"got {path!r}", parameter="record"))
    if Path(path).is_dir():
        raise ParameterError(Problem(must, f"{str(path)!r} is a folder", parameter="record"))
    place = Path(path).resolve()  # a link stays one
    require_place(place.parent)
    return place


def append(place: Path, body: Mapping[str, Any], signer: Signer | None = None) -> dict[str, Any]:
    """Append a record to a chain, whole or not at all, while no other process does; return it as it was written.

    Raises
    ------
    DataError
        When the last line is cut or changed, is signed otherwise, or has a time that is yet to come.
    OutputError
    """
    with locked(place, place):
        record = _following(last_of(place), body, signer, place)
        _write(place, canonical(record) + b"\n")
    return record


def _following(
    last: dict[str, Any] | None, body: Mapping[str, Any], signer: Signer | None, place: Path
) -> dict[str, Any]:
    """Return a body as the record that follows on the last one."""
    made, key = datetime.now(UTC), None if signer is None else signer.public
    if last is not None:
        before = datetime.fromisoformat(last["made"])
        if before - made > SKEW:
            must = f"a record of {str(place)!r} must be made after the one before"
            raise DataError(Problem(must, f"that has {last['made']}, and the clock {_text(made)}", "set the clock"))
        made = max(made, before)
        if last.get("key") != key:
            must = f"all records of {str(place)!r} must be signed by one key, or by none"
            words = ["no key" if one is None else f"the key {one[:8]}" for one in (last.get("key"), key)]
            remedy = "give that key as record_key, or name another file" if last.get("key") else "name another file"
            raise DataError(Problem(must, f"the last one has {words[0]}, and this {words[1]}", remedy))
    record = {**body, "format": FORMAT, "made": _text(made)}
    record |= (
        {"number": 0, "previous": START}
        if last is None
        else {
            "number": last["number"] + 1,
            "previous": last["hash"],
        }
    )
    if key is not None:
        record["key"] = key
    record["hash"] = hash_of(record)
    if signer is not None:
        record["signature"] = signer.sign(record["hash"])
    return record


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _write(place: Path, line: bytes) -> None:
    """Append a line by one call of the system; where that fails, such as on a full disk, the file is as before."""
    with place.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            if file.write(line) != len(line):
                raise OSError("the disk took a part of the line only")
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(before)
            raise


def last_of(place: Path) -> dict[str, Any] | None:
    """Return the last record of a chain, None where there is none; DataError where its last line is none."""
    if not place.exists():
        return None
    with place.open("rb") as file:
        size = end = file.seek(0, os.SEEK_END)
        held = b""
        while end and b"\n" not in held[:-1]:
            begin = max(0, end - TAIL)
            file.seek(begin)
            held, end = file.read(end - begin) + held, begin
    if not size:
        return None
    whole, newline, cut = held.rpartition(b"\n")
    if cut or not newline:
        raise DataError(_cut(str(place), len(cut), size))
    record, problems = parsed(whole.rpartition(b"\n")[2], "the last line")
    if record is None or problems:
        remedy = f"look at it with tsforecast verify {place.name}, and continue with an intact copy, or a new file"
        raise DataError([Problem(problem.must, problem.got, remedy) for problem in problems])
    return record


def _cut(path: str, more: int, size: int) -> Problem:
    must = f"{path!r} must end with a whole line"
    got = f"its last {counted(more, 'byte')} of {size} are a line that was cut, as by a crash while it was written"
    remedy = f"keep its first {size - more} bytes, which are whole (truncate -s {size - more} {Path(path).name})"
    return Problem(must, got, remedy)


# Reading -------------------------------------------------------------------------------------------------------------


def parsed(line: bytes, where: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Return a line as a record, None where it is none, and problems with its form, hash and own signature."""
    must = f"{where} must be a record as it was written"
    if line.endswith(b"\r"):
        got = "it ends with a carriage return, as of a file that git or an editor turned"
        return None, [Problem(must, got, "verify the original, or a copy without them (tr -d '\\r')")]
    try:
        record = json.loads(line)
        same = isinstance(record, dict) and canonical(record) == line
    except (ValueError, RecursionError, UnicodeEncodeError):
        return None, [Problem(must, "it is no JSON")]
    if not same:
        got = "its JSON has another form, such as a name twice or spaces" if isinstance(record, dict) else "it is none"
        return None, [Problem(must, got)]
    problems = []
    if missing := _misshapen(record):
        return None, [Problem(must, missing)]
    if record["format"] != FORMAT:
        return None, [Problem(must, f"it has the format {record['format']!r} of another version of tsforecast")]
    if (own := hash_of(record)) != record["hash"]:
        got = f"it has the hash {record['hash'][:12]}, and its content {own[:12]}: the content was changed"
        problems.append(Problem(must, got))
    if ("key" in record) != ("signature" in record):
        problems.append(Problem(must, f"it has no {'signature' if 'key' in record else 'key'} next to the other"))
    elif "key" in record and not signed(record["key"], record["hash"], record["signature"]):
        got = f"its signature is not that of its key {record['key'][:8]}"
        problems.append(Problem(must, got))
    return record, problems


_SHAPE: dict[str, type] = {"format": int, "number": int, "previous": str, "made": str, "hash": str}


def _misshapen(record: dict[str, Any]) -> str:
    """Return what is wrong with the fields that every record has; empty where nothing is."""
    signed_by = {name: str for name in ("key", "signature") if name in record}
    for name, kind in (_SHAPE | signed_by).items():
        if type(record.get(name)) is not kind:
            return f"its {name!r} is {'missing' if name not in record else 'of another type'}"
    try:
        moment = datetime.fromisoformat(record["made"])
    except ValueError:
        return f"its 'made' is no time: {record['made']!r}"
    return "" if moment.tzinfo else f"its 'made' has no zone: {record['made']!r}"


def read_chain(path: str | Path) -> tuple[dict[int, dict[str, Any]], list[Problem]]:
    """Return the records of a file by line, and every problem: of lines, and of how they follow from each other.

    DataError is raised where there is no file to read.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        must = f"{str(path)!r} must be a file of records, which predict(record=...) writes"
        raise DataError(Problem(must, reason(error))) from error
    *lines, cut = text.split(b"\n")
    problems = [_cut(str(path), len(cut), len(text))] if cut else []
    records: dict[int, dict[str, Any]] = {}
    previous: dict[str, Any] | None = None
    now = datetime.now(UTC) + SKEW
    for number, line in enumerate(lines, 1):
        record, found = parsed(line, f"line {number}")
        problems += found
        if record is None:
            previous = None
            continue
        if previous is not None or number == 1:
            problems += _links(previous, record, number)
        if datetime.fromisoformat(record["made"]) > now:
            must = f"line {number} must be made before now"
            problems.append(Problem(must, f"its time is {record['made']}", "check the clocks"))
        records[number] = record
        previous = record
    if len(lines) > 1 and not records:  # another file
        must = f"{str(path)!r} must be a file of records, which predict(record=...) writes"
        got = (f"none of its {len(lines)} lines is one; the first: ", *problems[0].got)
        problems = [Problem(must, got, problems[0].remedy)]
    return records, problems


def _links(previous: dict[str, Any] | None, record: dict[str, Any], number: int) -> list[Problem]:
    """Return problems of how a record follows from the line before it."""
    problems, where = [], f"line {number}"
    due, before = (0, START) if previous is None else (previous["number"] + 1, previous["hash"])
    if record["previous"] != before:
        follows = "begin the chain" if previous is None else f"follow from line {number - 1}"
        got = f"it follows from {record['previous'][:12]}, and not from {before[:12]}"
        problems.append(Problem(f"{where} must {follows}", f"{got}: lines were removed, added or moved"))
    if record["number"] != due:
        problems.append(Problem(f"{where} must have the number {due}", f"it has {record['number']}"))
    if previous is not None:
        if datetime.fromisoformat(record["made"]) < datetime.fromisoformat(previous["made"]):
            got = f"it has {record['made']}, and that {previous['made']}"
            problems.append(Problem(f"{where} must be made after the line before", got))
        if record.get("key") != previous.get("key"):
            problems.append(Problem(f"{where} must be signed as the line before", "it has another key, or none"))
    return problems


def head_problems(records: Collection[Mapping[str, Any]], head: str) -> list[Problem]:
    """Return a problem where a hash that was published is none of the records', or of none alone."""
    if len(head) < 12 or head.strip("0123456789abcdef"):
        must = "must be the hash of a record, or its first digits, at least 12, in hexadecimal"
        raise ParameterError(Problem(must, f"got {head!r}", parameter="head"))
    if any(record["hash"].startswith(head) for record in records):
        return []
    got = f"none of {counted(len(records), 'record')} has it: the end was cut off, or the chain was written again"
    return [Problem(f"the chain must have the published head {head[:12]}", got)]
