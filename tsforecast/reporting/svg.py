"""Figures as inline SVG that follows the theme of the page, with legend and caption."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tsforecast.reporting.figures import COLOURS, INK, PAPER, QUIET, REFERENCE, RULE, in_style

# Colour of a figure -> variable of the page's style sheet, which has a light and a dark value for each.
THEME = {
    INK.lower(): "var(--ink)",
    QUIET.lower(): "var(--quiet)",
    REFERENCE.lower(): "var(--reference)",
    RULE.lower(): "var(--rule)",
    PAPER: "var(--paper)",
    **{colour.lower(): f"var(--model-{i})" for i, colour in enumerate(COLOURS, 1)},
}
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
FONTS = re.compile(r"font-family: [^;]+(;|$)")
Shape = Literal["line", "dot", "ring", "bar"]
DASHES = {"-": "none", "--": "5 3", ":": "1 3"}


@dataclass(frozen=True)
class Key:
    """An entry of a legend: the look of a line or of dots, and its label."""

    label: str
    colour: str
    shape: Shape
    dashes: str


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """Return a figure that was drawn in the colours of `canvas` as an SVG element; text stays text and is escaped.

    `name` is the prefix of every id, so that figures of one page do not share any; screen readers read `description`.
    """
    root = _drawn(figure)
    for element in root.iter():
        element.tag = _bare(element.tag)
        element.attrib = {
            _bare(key): _themed(_own(value, name) if _bare(key) in ("id", "href", "clip-path") else value)
            for key, value in element.attrib.items()
        }
    for group in list(root.findall("defs")):
        for style in group.findall("style"):
            group.remove(style)  # it would style the whole page
    for size in ("width", "height", "version"):
        del root.attrib[size]
    root.attrib |= {"role": "img", "aria-label": description, "class": "chart"}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def legend(figure: Figure) -> list[Key]:
    """Return an entry for each labelled line of a figure, for a legend that the page sets beside it."""
    keys = []
    for axes in figure.axes:
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if isinstance(line, Line2D):
                style, mark = str(line.get_linestyle()), line.get_marker()
                dot: Shape = "ring" if to_hex(line.get_markerfacecolor()) == PAPER else "dot"
                shape: Shape = "line" if style != "None" else "bar" if mark == "|" else dot
                keys.append(Key(label, _themed(to_hex(line.get_color())), shape, DASHES.get(style, "none")))
    return keys


def _drawn(figure: Figure) -> ElementTree.Element:
    """Draw with letters as text and nothing that differs from run to run."""
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    file = io.StringIO()
    with warnings.catch_warnings(), in_style():
        # The browser has the letters that the font used for measuring lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    return ElementTree.fromstring(file.getvalue())


def _bare(name: str) -> str:
    """Return a name without its namespace, which HTML lacks."""
    return name.rpartition("}")[2]


def _own(value: str, name: str) -> str:
    """Return an id, or a reference to one, with the figure's name in it."""
    return re.sub(r"^(url\(#|#|)", rf"\g<1>{name}-", value)


def _themed(value: str) -> str:
    """Return an attribute with variables for colours, and without fonts, so that those of the page apply."""
    return COLOUR.sub(lambda match: THEME.get(match[0], match[0]), FONTS.sub("", value))
