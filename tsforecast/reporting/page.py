"""What pages share: templates in which data is escaped, style and script inside the page, and nothing from outside."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup


def page(name: str, /, **told: Any) -> str:
    """Return a page of its template, with style and script, and the hash by which alone the script may run."""
    script = _file("report.js")
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template(name).render(style=_file("report.css"), script=script, script_hash=script_hash, **told)


def template(name: str) -> Template:
    """Return a template of this package."""
    return _environment().get_template(name)


def moment(made: str) -> str:
    """Return a moment for a reader.

    Examples
    --------
    >>> moment("2026-01-31T08:05:09+00:00")
    '2026-01-31 08:05'
    """
    return datetime.fromisoformat(made).strftime("%Y-%m-%d %H:%M")


@cache
def _environment() -> Environment:
    """Return the templates: what comes from data is escaped, and a name that is not given is an error."""
    return Environment(
        loader=PackageLoader("tsforecast", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _file(name: str) -> Markup:
    """Return a file of this package that goes into the page as it is."""
    return Markup(resources.files("tsforecast.reporting").joinpath(name).read_text(encoding="utf-8"))
