"""HTML pages: templates that escape data, with style and script inside and nothing from outside."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from tsforecast.reporting.svg import Key, inline_svg, legend

_TEMPLATES = Environment(
    loader=PackageLoader("tsforecast", "reporting"),
    autoescape=True,
    undefined=StrictUndefined,  # a missing value is an error
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure of a page."""

    title: str
    svg: Markup
    legend: list[Key]
    caption: str  # how to read it


def captioned(name: str, title: str, figure: Figure, caption: str) -> CaptionedFigure:
    """Return a figure with its title, legend and caption; `name` prefixes the ids in it."""
    return CaptionedFigure(title, inline_svg(figure, name, f"{title}. {caption}"), legend(figure), caption)


def page(name: str, /, **values: Any) -> str:
    """Render a template as a page with style, script, and the hash that permits this script alone."""
    script = _file("report.js")
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template(name).render(style=_file("report.css"), script=script, script_hash=script_hash, **values)


def template(name: str) -> Template:
    """Return a template of this package."""
    return _TEMPLATES.get_template(name)


def date_and_time(made: str) -> str:
    """Return an ISO time stamp to the minute."""
    return datetime.fromisoformat(made).strftime("%Y-%m-%d %H:%M")


def _file(name: str) -> Markup:
    """Return a file of this package as trusted text."""
    return Markup(resources.files("tsforecast.reporting").joinpath(name).read_text(encoding="utf-8"))
