# SPDX-License-Identifier: GPL-2.0-or-later
"""A drawing as data, and its form as SVG. Lengths are in pixels, colours ``#rrggbb``.

The same drawing goes to a file here, and to the screen where there is a desktop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]

FONTS = "Noto Sans, DejaVu Sans, sans-serif"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with round corners. An empty colour draws nothing."""

    x: float
    y: float
    width: float
    height: float
    radius: float = 0.0
    fill: str = ""
    stroke: str = ""
    thick: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; `closed` makes it a filled area."""

    points: tuple[Point, ...]
    colour: str
    thick: float = 1.5
    dashed: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text. `x` is its left end or its middle, `y` the base line."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    bold: bool = False
    centred: bool = False


Shape = Box | Line | Text


@dataclass(frozen=True, slots=True)
class Area:
    """Where something can be clicked, and what it is."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes in the order of drawing. `words` tell the same to who can't see it."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
    areas: tuple[Area, ...] = ()
    words: str = ""


def stack_drawings(drawings: Sequence[Drawing]) -> Drawing:
    """Put drawings below one another."""
    shapes: list[Shape] = []
    areas: list[Area] = []
    height = 0.0
    for drawing in drawings:
        shapes += [_move_down(shape, height) for shape in drawing.shapes]
        areas += [replace(area, y=area.y + height) for area in drawing.areas]
        height += drawing.height
    width = max((drawing.width for drawing in drawings), default=0.0)
    words = "\n".join(drawing.words for drawing in drawings)
    return Drawing(width, height, tuple(shapes), tuple(areas), words)


def _move_down(shape: Shape, height: float) -> Shape:
    if isinstance(shape, Line):
        moved = tuple((x, y + height) for x, y in shape.points)
        return replace(shape, points=moved)
    return replace(shape, y=shape.y + height)


def format_svg(drawing: Drawing, background: str) -> str:
    """Write a drawing as an SVG document; every text in it is escaped."""
    size = f'width="{drawing.width:g}" height="{drawing.height:g}"'
    box = f'viewBox="0 0 {drawing.width:g} {drawing.height:g}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img"'
        f" font-family={quoteattr(FONTS)}>",
        f"<title>{escape(drawing.words)}</title>",
        f'<rect width="100%" height="100%" fill="{background}"/>',
        *map(_format_shape, drawing.shapes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _format_shape(shape: Shape) -> str:
    if isinstance(shape, Box):
        return _format_box(shape)
    if isinstance(shape, Line):
        return _format_line(shape)
    weight = ' font-weight="bold"' if shape.bold else ""
    anchor = ' text-anchor="middle"' if shape.centred else ""
    return (
        f'<text x="{shape.x:g}" y="{shape.y:g}" font-size="{shape.size:g}"'
        f' fill="{shape.colour}"{weight}{anchor}>{escape(shape.text)}</text>'
    )


def _format_box(box: Box) -> str:
    stroke = ""
    if box.stroke:
        stroke = f' stroke="{box.stroke}" stroke-width="{box.thick:g}"'
    return (
        f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}"'
        f' height="{box.height:g}" rx="{box.radius:g}" fill="{box.fill or "none"}"'
        f"{stroke}{_format_dashes(dashed=box.dashed)}/>"
    )


def _format_line(line: Line) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in line.points)
    if line.closed:
        return f'<polygon points="{points}" fill="{line.colour}"/>'
    return (
        f'<polyline points="{points}" fill="none" stroke="{line.colour}"'
        f' stroke-width="{line.thick:g}" stroke-linecap="round"'
        f' stroke-linejoin="round"{_format_dashes(dashed=line.dashed)}/>'
    )


def _format_dashes(*, dashed: bool) -> str:
    return ' stroke-dasharray="4 3"' if dashed else ""
