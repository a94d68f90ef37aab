# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tools print: aligned tables and paragraphs, in colour where it helps.

Layout and colour are pure; only `measure_screen` looks at the world.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from qubesforward.cli.status import State

_GAP = "  "
_BELOW = "    "
_NARROWEST_LAST = 16
"""Characters below which a wrapped last column would be harder to read than a long
line."""

_WIDEST_TEXT = 100
"""Characters; longer lines of prose are hard to follow, however wide the window."""

NOTHING = "-"
"""The cell of what is not set."""

BOLD = "1"
GREEN = "32"
YELLOW = "33"
RED = "31"

STATE_COLOURS: Mapping[str, str] = {
    State.ACTIVE: GREEN,
    State.PENDING: YELLOW,
    State.UNCONFIRMED: YELLOW,
    State.EXPIRED: YELLOW,
    State.REFUSED: RED,
    State.CONFLICT: RED,
    State.UNREACHABLE: RED,
}


@dataclass(frozen=True, slots=True)
class Screen:
    """Where output goes: `width` in characters (0: no limit), and whether in colour."""

    width: int = 0
    colour: bool = False

    def paint(self, text: str, colour: str) -> str:
        """Return the text in a colour (an SGR number), where colours are shown."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour and colour else text


@dataclass(frozen=True, slots=True)
class Painted:
    """A table cell in a colour."""

    text: str
    colour: str


Cell = str | Painted


def measure_screen(stream: TextIO, environ: Mapping[str, str]) -> Screen:
    """Return what a stream can show: only a terminal gets colour and wrapped lines.

    A ``NO_COLOR`` that is not empty (no-color.org) and ``TERM=dumb`` turn colour
    off.
    """
    try:
        if not stream.isatty():
            return Screen()
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return Screen()
    plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb"
    return Screen(width, not plain)


def format_table(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], screen: Screen
) -> str:
    """Lay out a table; every line, the last one too, ends with a newline.

    Columns are two spaces apart and no line has trailing blanks. Where the last
    column would pass the edge of the screen, its text goes on in lines below; where
    there is hardly room for it, it is put below the whole row.
    """
    cells = [[_as_painted(cell) for cell in row] for row in rows]
    widths = [
        max(len(row[column].text) for row in [[Painted(h, "") for h in header], *cells])
        for column in range(len(header))
    ]
    head = [Painted(name, BOLD) for name in header]
    return "".join(_format_row(row, widths, screen) for row in [head, *cells])


def _as_painted(cell: Cell) -> Painted:
    return Painted(cell, "") if isinstance(cell, str) else cell


def _format_row(row: Sequence[Painted], widths: Sequence[int], screen: Screen) -> str:
    *first, last = row
    start = "".join(
        screen.paint(cell.text, cell.colour) + " " * (width - len(cell.text)) + _GAP
        for cell, width in zip(first, widths, strict=False)
    )
    indent = sum(widths[:-1]) + len(_GAP) * len(first)
    room = screen.width - indent if screen.width else len(last.text)
    if len(last.text) > room < _NARROWEST_LAST:
        if last.text == NOTHING:
            return start.rstrip() + "\n"
        start, indent = start.rstrip() + "\n" + _BELOW, len(_BELOW)
        room = screen.width - indent
    lines = [screen.paint(line, last.colour) for line in _wrap(last.text, room)]
    return (start + ("\n" + " " * indent).join(lines)).rstrip() + "\n"


def format_paragraph(text: str, screen: Screen, indent: str = "") -> str:
    """Lay out a sentence or more, indented; off a terminal, as one line."""
    if not screen.width:
        return f"{indent}{text}\n"
    room = max(min(screen.width, _WIDEST_TEXT) - len(indent), _NARROWEST_LAST)
    return "".join(f"{indent}{line}\n" for line in _wrap(text, room))


def _wrap(text: str, room: int) -> list[str]:
    """Break a text at its spaces; a word that is too long stays whole."""
    lines = [""]
    for word in text.split(" "):
        line = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and len(line) > room:
            lines.append(word)
        else:
            lines[-1] = line
    return lines
