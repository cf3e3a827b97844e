"""Requests to a server of models."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

JSON = {"Content-Type": "application/json"}


def ask(url: str, path: str, body: Any = None, method: str = "POST", **headers: str) -> tuple[int, Any]:
    """Return status and answer, as JSON where it is, to a body: bytes as they are, anything else as JSON."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, JSON | {name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(content) if kind == "application/json" else content.decode()
    finally:
        connection.close()


def get(url: str, path: str) -> tuple[int, Any]:
    """Return status and answer of a page."""
    return ask(url, path, None, "GET")
