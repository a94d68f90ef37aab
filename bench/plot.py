# SPDX-License-Identifier: GPL-2.0-or-later
"""Plots as SVG: lines over sizes, and bars. Pure text, with nothing to install."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Told apart by the colour-blind too (Okabe and Ito)."""

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 36, 44, 52
_LEGEND = 18

_WIDE = 500
"""From this ratio on, powers of ten alone are ticks enough."""

_FONT = 'font-family="DejaVu Sans, Verdana, sans-serif"'


@dataclass(frozen=True)
class Point:
    """A median at a size, with the ends of its spread."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Axis:
    """A range of values and where it is drawn; by powers of ten if `log`."""

    first: float
    last: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        """Return the coordinate of a value."""
        one, other, here = self.first, self.last, value
        if self.log:
            one, other, here = map(math.log10, (one, other, max(value, one)))
        share = (here - one) / (other - one)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values along it."""
        if self.log:
            powers = range(
                math.floor(math.log10(self.first) + 1e-9),
                math.floor(math.log10(self.last) + 1e-9) + 1,
            )
            steps = (1, 2, 5) if self.last / self.first < _WIDE else (1,)
            ticks = [step * 10.0**p for p in powers for step in steps]
            return [tick for tick in ticks if self.first <= tick <= self.last * 1.001]
        step = 10 ** math.floor(math.log10(self.last - self.first or 1))
        while (self.last - self.first) / step < 4:
            step /= 2
        first = math.ceil(self.first / step)
        return [n * step for n in range(first, math.floor(self.last / step) + 1)]


def draw_lines(
    title: str, x_title: str, y_title: str, lines: Mapping[str, Sequence[Point]]
) -> str:
    """Draw one line for each side, with whiskers for spreads; both axes by tens."""
    points = [point for line in lines.values() for point in line]
    x = _log_axis([p.x for p in points], _LEFT, _WIDTH - _RIGHT)
    bottom, top = _HEIGHT - _BOTTOM, _TOP + _LEGEND * len(lines)
    spread = [v for p in points for v in (p.low, p.high, p.y) if v > 0]
    y = _log_axis(spread, bottom, top)
    parts = [_grid(x, y, x_title, y_title)]
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(_line(line, x, y, colour))
        parts.append(_legend(number, name, colour))
    return _document(title, parts)


def draw_bars(title: str, y_title: str, bars: Mapping[str, Mapping[str, Point]]) -> str:
    """Draw groups of bars: by group, then by side."""
    sides = list(dict.fromkeys(side for group in bars.values() for side in group))
    highest = max(p.high for group in bars.values() for p in group.values())
    top = _TOP + _LEGEND * len(sides)
    y = Axis(0, highest * 1.05, _HEIGHT - _BOTTOM, top, log=False)
    parts = [_rows(y, y_title)]
    width = (_WIDTH - _LEFT - _RIGHT) / len(bars)
    for place, (name, group) in enumerate(bars.items()):
        start = _LEFT + place * width
        parts.append(_text(start + width / 2, _HEIGHT - _BOTTOM + 18, name))
        each = width * 0.8 / len(sides)
        for number, side in enumerate(sides):
            if side in group:
                left = start + width * 0.1 + number * each
                parts.append(_bar(left, each * 0.9, group[side], y, number))
    for number, side in enumerate(sides):
        parts.append(_legend(number, side, _COLOURS[number % len(_COLOURS)]))
    return _document(title, parts)


def _log_axis(values: Sequence[float], start: float, end: float) -> Axis:
    low, high = min(values), max(values)
    first = 10 ** math.floor(math.log10(low))
    # Not more empty space than a third of the first power.
    first = max(p for p in (first, 2 * first, 5 * first) if p <= low)
    last = 10 ** math.ceil(math.log10(high))
    last = min(p for p in (last / 5, last / 2, last) if p >= high)
    if first == last:
        last = first * 10
    return Axis(first, last, start, end, log=True)


def _grid(x: Axis, y: Axis, x_title: str, y_title: str) -> str:
    parts = [_rows(y, y_title)]
    for value in x.ticks():
        place = x.place(value)
        parts.append(_stroke(place, y.start, place, y.end))
        parts.append(_text(place, y.start + 18, _number(value)))
    parts.append(_text((x.start + x.end) / 2, _HEIGHT - 12, x_title))
    return "\n".join(parts)


def _rows(y: Axis, y_title: str) -> str:
    parts = []
    for value in y.ticks():
        place = y.place(value)
        parts.append(_stroke(_LEFT, place, _WIDTH - _RIGHT, place))
        parts.append(_text(_LEFT - 8, place + 4, _number(value), "end"))
    middle = (y.start + y.end) / 2
    turned = f' transform="rotate(-90 18 {middle:.1f})"'
    parts.append(_text(18, middle, y_title, more=turned))
    parts.append(_stroke(_LEFT, y.start, _WIDTH - _RIGHT, y.start, "#444"))
    return "\n".join(parts)


def _line(line: Sequence[Point], x: Axis, y: Axis, colour: str) -> str:
    places = [(x.place(p.x), y.place(p.y)) for p in line]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    parts = [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    ]
    for point, (a, b) in zip(line, places, strict=True):
        low, high = y.place(point.low), y.place(point.high)
        parts.append(_stroke(a, low, a, high, colour))
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>')
    return "\n".join(parts)


def _bar(left: float, width: float, point: Point, y: Axis, number: int) -> str:
    top = y.place(point.y)
    middle = left + width / 2
    return "\n".join(
        [
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}"'
            f' height="{y.start - top:.1f}"'
            f' fill="{_COLOURS[number % len(_COLOURS)]}"/>',
            _stroke(middle, y.place(point.low), middle, y.place(point.high), "#000"),
        ]
    )


def _legend(number: int, name: str, colour: str) -> str:
    y = _TOP + _LEGEND * number - 6
    box = f'<rect x="{_LEFT + 8}" y="{y - 9}" width="12" height="12" fill="{colour}"/>'
    return box + _text(_LEFT + 28, y + 2, name, "start")


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str = "#ddd") -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        f' stroke="{colour}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>'
        f"{escape(text)}</text>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def _document(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        f' {_FONT} font-size="12" fill="#222">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>\n'
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="bold">'
        f"{escape(title)}</text>\n"
        f"{body}\n</svg>\n"
    )
