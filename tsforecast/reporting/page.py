"""HTML pages: templates that escape data, with style and script inside and nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from tsforecast.reporting.svg import Key, inline_svg, legend

HEADING = re.compile("<h2>(.*?)</h2>")  # of a template: those of data are escaped
NEGATIVE = re.compile(r"(?<![\w.:/\N{EN DASH}])-(?=\d)")  # not a dash within a date or name
SPACED = re.compile(r"(?<=\d) %")
MIN_CONTENTS = 4  # sections of a page that has a table of contents

_TEMPLATES = Environment(
    loader=PackageLoader("tsforecast", "reporting"),
    autoescape=True,
    undefined=StrictUndefined,  # a missing value is an error
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Sections:
    """The body of a page, whose sections can be linked to."""

    html: Markup
    titles: dict[str, Markup]  # by id, in order


def sections(html: str) -> Sections:
    """Give each heading of a body an id."""
    titles: dict[str, Markup] = {}

    def with_id(match: re.Match[str]) -> str:
        name = re.sub("[^a-z]+", "-", match[1].lower())
        name += f"-{len(titles)}" * (name in titles)
        titles[name] = Markup(match[1])
        return f'<h2 id="{name}">{match[1]}</h2>'

    return Sections(Markup(HEADING.sub(with_id, html)), titles if len(HEADING.findall(html)) >= MIN_CONTENTS else {})


def signed(text: str) -> str:
    """Return text with numbers of one look: a minus sign, which is as wide as a plus, and no blank before percent."""
    return SPACED.sub("%", NEGATIVE.sub("\N{MINUS SIGN}", str(text)))


_TEMPLATES.filters |= {"sections": sections, "signed": signed}


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure of a page."""

    title: str
    svg: Markup
    legend: list[Key]
    caption: str  # how to read it


def captioned(name: str, title: str, figure: Figure, caption: str) -> CaptionedFigure:
    """Return a figure with its title, legend and caption; `name` prefixes the ids in it."""
    return CaptionedFigure(title, inline_svg(figure, name, f"{title}. {caption}"), legend(figure), signed(caption))


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
