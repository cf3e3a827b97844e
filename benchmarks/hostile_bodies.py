"""Bodies of requests that somebody could send to harm a server: JSON that is no such, and data that are none."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**17, 1e308, -1e308, 5e-324, 0.1, "", "0", "é", "\ud800",
    "\x00", "NaN",
    "2024-13-45", "9999-12-31", "0001-01-01", "2024-01-01T00:00:00+14:00", "a" * 3000, [], {}, [[]], [{}], {"a": []},
    [None], ["x", 1], {"context": {}}, "__class__", "{0}", "<script>", "'; --", "../../etc/passwd",
)  # fmt: skip
RAW = (
    b"", b" ", b"null", b"true", b"0", b'""', b"[]", b"{}x", b"{", b'{"a"', b'{"context":', b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}", b'{"a": "\xc3"}', b'{"horizon": NaN}', b'{"horizon": -Infinity}', b'{"horizon": 1e400}',
    b'{"horizon": 01}', b'{"horizon": ' + b"7" * 5000 + b"}", b"[" * 20_000, b'{"a":' * 5000,
    b'{"horizon": 1, "horizon": 2}',
    b'{"context": [' + b"{}," * 3000 + b"{}]}", b'{"interval": [' + b"0.5," * 5000 + b"0.5]}", b"\x00" * 50, b"<xml/>",
    b"context=1&future=2", b'{"quantiles": ["0.5"]}', b'{"series": {"a": 1}}',
    b"--x\r\nContent-Disposition: form-data\r\n",
)  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {}, {"Content-Encoding": "gzip"}, {"Content-Type": "text/plain"},
    {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": "multipart/form-data; boundary=x"}, {"X-Http-Method-Override": "DELETE"}, {"Content-Type": ""},
)  # fmt: skip
PLACES = ("/", "/model", "/x" * 50, "/%00", "//", "/forecast/../")
METHODS = ("POST",) * 14 + ("GET", "PUT", "DELETE", "PATCH")

Request = tuple[str, str, bytes, dict[str, str]]  # method, path, body, headers


def requests(example: dict[str, Any], path: str, count: int, seed: int = 0) -> Iterator[Request]:
    """Yield requests, each of which is a sound one with one to four things changed, or is none from the beginning."""
    chance = random.Random(seed)
    for _ in range(count):
        kind = chance.random()
        if kind < 0.1:
            body = chance.choice(RAW)
        else:
            changed = json.loads(json.dumps(example))
            for _ in range(chance.randint(1, 4)):
                changed = _changed(changed, chance)
            body = json.dumps(changed).encode()
            if kind > 0.8:
                body = _damaged(body, chance)
        headers = {"Content-Type": "application/json"}
        if chance.random() < 0.1:
            headers |= chance.choice(HEADERS)
        where = (
            path if chance.random() < 0.97 else chance.choice(("/", "/model", "/x" * 50, "/%00", "//", "/forecast/../"))
        )
        yield chance.choice(METHODS), where, body, headers


def _changed(value: Any, chance: random.Random) -> Any:
    """Return JSON with a value in it replaced, added, left out, doubled or moved."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(list(value))
        what = chance.random()
        if what < 0.1:
            return {key: each for key, each in value.items() if key != name}
        if what < 0.2:
            return {**value, str(chance.choice(ODD))[:50]: chance.choice(ODD)}
        if what < 0.25:
            return {**value, "horizon": chance.choice(ODD)}
        if what < 0.35:
            return {**value, chance.choice(("interval", "quantiles", "series", "id")): chance.choice(ODD)}
        return {**value, name: _changed(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at, what = chance.randrange(len(value)), chance.random()
        if what < 0.15:
            return value[:at] + value[at + 1 :]
        if what < 0.25:
            return [*value[:at], value[at], *value[at:]]
        if what < 0.3:
            return value[::-1]
        if what < 0.4:
            return [chance.choice(ODD)] * len(value)
        return [*value[:at], _changed(value[at], chance), *value[at + 1 :]]
    return chance.choice(ODD)


def _damaged(body: bytes, chance: random.Random) -> bytes:
    """Return bytes that are cut, or of which some are others."""
    at = chance.randrange(len(body))
    what = chance.random()
    if what < 0.3:
        return body[:at]
    if what < 0.5:
        return body[:at] + body[at + chance.randint(1, 20) :]
    return body[:at] + bytes(chance.randrange(256) for _ in range(chance.randint(1, 3))) + body[at + 1 :]
