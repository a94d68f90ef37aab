# SPDX-License-Identifier: GPL-2.0-or-later
"""How the way of a forward looks: boxes in a row, arrows between them.

A state is told by colour, by shape and by a word, so that no eye needs all three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from qubesforward.cli.drawing import Area, Box, Drawing, Line, Point, Shape, Text
from qubesforward.cli.path_model import PathModel, PathNode, Place
from qubesforward.cli.phrase import Say
from qubesforward.cli.sentences import format_size
from qubesforward.cli.status import State

LABELS: Mapping[str, str] = {
    "red": "#cc0000",
    "orange": "#f57900",
    "yellow": "#edd400",
    "green": "#73d216",
    "gray": "#555753",
    "blue": "#3465a4",
    "purple": "#75507b",
    "black": "#000000",
}
"""The colours of Qubes' own labels (qubes.config.defaults of core-admin)."""

UNKNOWN_LABEL = "#8a8a8a"

PLACES: Mapping[Place, str] = {
    Place.INTERNET: "Internet",
    Place.LAN: "Local network",
    Place.QUBES: "Other qubes",
    Place.ROUTER: "Router",
}
"""What stands in boxes that are no qubes."""

STATES: Mapping[State, str] = {
    State.ACTIVE: "open",
    State.PENDING: "waiting",
    State.REFUSED: "refused",
    State.CONFLICT: "port is taken",
    State.UNCONFIRMED: "not confirmed",
    State.EXPIRED: "expired",
    State.UNREACHABLE: "no way",
}
"""What a state is called for people."""

WORDS = (
    "port",
    "anyone",
    "anyone (IPv4)",
    "anyone (IPv6)",
    "any qube",
    "any qube (IPv4)",
    "any qube (IPv6)",
)
"""What else stands in pictures: `cli.sentences.format_source` has the later ones."""

Measure = Callable[[str, float, bool], float]
"""The width of a text in pixels, given its size and whether it is bold."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a picture; those of states are by kind: good, waiting, bad."""

    background: str
    box: str
    text: str
    faint: str
    good: str
    waiting: str
    bad: str

    def colour_of(self, state: State | None) -> str:
        """Return the colour of a state."""
        if state is None:
            return self.faint
        if state is State.ACTIVE:
            return self.good
        return self.waiting if state in _WAITING else self.bad


_WAITING = (State.PENDING, State.UNCONFIRMED, State.EXPIRED)

# Told apart also by those who see no red or no green: Okabe and Ito's colours.
LIGHT = Palette(
    "#ffffff", "#f6f6f6", "#202020", "#6a6a6a", "#007a5a", "#955800", "#c03010"
)
DARK = Palette(
    "#232629", "#31363b", "#f0f0f0", "#a8adb2", "#35c99b", "#f0a830", "#ff7f50"
)

_PAD = 12.0
_BOX_HEIGHT = 98.0
_NARROWEST, _WIDEST = 116.0, 220.0
_ARROW = 66.0
_NAME, _SMALL = 13.0, 11.0
_BAR = 6.0


def estimate_width(text: str, size: float, bold: bool) -> float:
    """Return about how wide a text will be; better too wide than too narrow."""
    return len(text) * size * (0.64 if bold else 0.58)


def draw_path(
    model: PathModel,
    palette: Palette,
    measure: Measure = estimate_width,
    say: Say = str,
    chosen: str = "",
) -> Drawing:
    """Lay out a path; `say` translates words, `chosen` is the place that is marked."""
    shapes: list[Shape] = []
    areas = []
    x = _PAD
    for number, node in enumerate(model.nodes):
        if number:
            shapes += _draw_arrow(x, node, model, palette, measure)
            x += _ARROW
        lines = _write_node(node, say)
        width = max(measure(text, size, bold) for text, size, bold in lines) + 24
        width = min(max(width, _NARROWEST), _WIDEST)
        lines = [(_cut(t, width - 20, s, b, measure), s, b) for t, s, b in lines]
        is_chosen = node.name == chosen and not node.is_outside
        shapes += _draw_node(x, width, node, lines, palette, is_chosen)
        if not node.is_outside:
            areas.append(Area(node.name, x, _PAD, width, _BOX_HEIGHT))
        x += width
    height = _BOX_HEIGHT + 2 * _PAD
    words = describe_path(model, say)
    return Drawing(x + _PAD, height, tuple(shapes), tuple(areas), words)


def add_reasons(
    drawing: Drawing, model: PathModel, palette: Palette, say: Say = str
) -> Drawing:
    """Write below a drawing why places of it are not open, for a picture in a file."""
    reasons = {
        f"{name_of(node, say)}: {say(node.reason)}": node.state
        for node in model.nodes
        if node.reason and node.state is not State.ACTIVE
    }
    y = drawing.height
    shapes: list[Shape] = list(drawing.shapes)
    width = drawing.width
    for text, state in reasons.items():
        y += 16
        colour = palette.colour_of(state)
        shapes.append(Text(_PAD, y - 6, text, _SMALL, colour))
        width = max(width, estimate_width(text, _SMALL, False) + 2 * _PAD)
    extra = 6 if reasons else 0
    return replace(drawing, width=width, height=y + extra, shapes=tuple(shapes))


def describe_path(model: PathModel, say: Say = str) -> str:
    """Tell a path in words, place by place."""
    told = []
    for node in model.nodes:
        words = " ".join(text for text, _size, _bold in _write_node(node, say) if text)
        told.append(f"{words}: {say(node.reason)}" if node.reason else words)
    return "; ".join(told)


_Written = tuple[str, float, bool]


def name_of(node: PathNode, say: Say = str) -> str:
    """Return what a place is called."""
    return say(PLACES[node.place]) if node.place in PLACES else node.name


def _write_node(node: PathNode, say: Say) -> list[_Written]:
    """Return the lines in a box: name, address, ports, state."""
    if node.is_outside:
        return [(name_of(node, say), _NAME, True), (say(node.name), _SMALL, False)]
    address = node.addresses[0] if node.addresses else ""
    if len(node.addresses) > 1:
        address += f" +{len(node.addresses) - 1}"
    ports = node.port_in
    if node.port_out and node.port_out != node.port_in:
        ports = f"{node.port_in} → {node.port_out}"
    state = say(STATES[node.state]) if node.state else ""
    return [
        (name_of(node, say), _NAME, True),
        (address, _SMALL, False),
        (f"{say('port')} {ports}" if ports else "", _SMALL, False),
        (state, _SMALL, True),
    ]


def _cut(text: str, width: float, size: float, bold: bool, measure: Measure) -> str:
    if measure(text, size, bold) <= width:
        return text
    while text and measure(text + "…", size, bold) > width:
        text = text[:-1]
    return text + "…"


def _draw_node(
    x: float,
    width: float,
    node: PathNode,
    lines: Sequence[_Written],
    palette: Palette,
    is_chosen: bool,
) -> list[Shape]:
    colour = palette.colour_of(node.state)
    thick = 2.5 if is_chosen else 1.2
    shapes: list[Shape] = [
        Box(
            x,
            _PAD,
            width,
            _BOX_HEIGHT,
            6.0,
            palette.background if node.is_outside else palette.box,
            palette.text if is_chosen else colour,
            thick,
            dashed=node.is_outside,
        )
    ]
    if node.place in (Place.HOP, Place.TARGET):
        fill = LABELS.get(node.label, UNKNOWN_LABEL)
        # A black label has to be seen on a dark ground, too.
        shapes.append(
            Box(x + 8, _PAD + 8, width - 16, _BAR, 3, fill, palette.faint, 0.6)
        )
    y = _PAD + (44 if node.is_outside else 33)
    for number, (text, size, bold) in enumerate(lines):
        is_state = number == 3
        left = x + 10 + (18 if is_state else 0)
        ink = colour if is_state else palette.text if bold else palette.faint
        shapes.append(Text(left, y, text, size, ink, bold))
        if is_state and node.state is not None:
            shapes += draw_symbol(x + 17, y - 4, node.state, palette)
        y += 19
    return shapes


def draw_symbol(
    x: float, y: float, state: State, palette: Palette, size: float = 6.5
) -> list[Shape]:
    """Draw the mark of a state around a point: each kind has a shape of its own.

    Open is a disc with a tick, waiting a ring with a clock's hands, over a ring with a
    bar, not confirmed a square with dots, a taken port a triangle, and what is refused
    a square on its corner with a cross.
    """
    colour, ink = palette.colour_of(state), palette.background

    def at(*points: Point) -> tuple[Point, ...]:
        return tuple((x + px * size, y + py * size) for px, py in points)

    disc = Box(x - size, y - size, 2 * size, 2 * size, size, colour)
    if state is State.ACTIVE:
        tick = at((-0.45, 0.05), (-0.1, 0.4), (0.5, -0.35))
        return [disc, Line(tick, ink, size / 3.5)]
    thick = size / 4
    ring = replace(disc, fill="", stroke=colour, thick=thick)
    if state is State.PENDING:
        hands = at((0.0, -0.6), (0.0, 0.05), (0.45, 0.3))
        return [ring, Line(hands, colour, thick)]
    if state is State.EXPIRED:
        return [ring, Line(at((-0.5, 0.0), (0.5, 0.0)), colour, thick)]
    if state is State.UNCONFIRMED:
        waits = at((-0.4, 0.0), (-0.39, 0.0)), at((0.39, 0.0), (0.4, 0.0))
        return [replace(ring, radius=0), *(Line(each, colour, thick) for each in waits)]
    if state is State.CONFLICT:
        triangle = at((0, -1.15), (1.25, 0.95), (-1.25, 0.95))
        strokes = [((0.0, -0.35), (0.0, 0.25)), ((0.0, 0.6), (0.0, 0.62))]
        marks = [Line(at(*each), ink, size / 3.5) for each in strokes]
        return [Line(triangle, colour, closed=True), *marks]
    square = at((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0))
    cross = ((-0.4, -0.4), (0.4, 0.4)), ((-0.4, 0.4), (0.4, -0.4))
    marks = [Line(at(*each), ink, size / 3.5) for each in cross]
    return [Line(square, colour, closed=True), *marks]


def _draw_arrow(
    x: float,
    node: PathNode,
    model: PathModel,
    palette: Palette,
    measure: Measure,
) -> list[Shape]:
    """Draw how packets come to a place; it is broken where they do not."""
    y = _PAD + _BOX_HEIGHT / 2
    colour = palette.colour_of(node.state)
    tip, start = x + _ARROW - 5, x + 5
    is_open = node.state in (State.ACTIVE, None)
    end = tip - 7
    shapes: list[Shape] = [
        Line(((start, y), (end, y)), colour, 2.0, dashed=not is_open),
        Line(((tip, y), (tip - 10, y - 5), (tip - 10, y + 5)), colour, closed=True),
    ]
    proto = _cut(model.proto, _ARROW - 6, _SMALL, False, measure)
    middle = x + _ARROW / 2
    shapes.append(Text(middle, y - 20, proto, _SMALL, palette.faint, centred=True))
    ports = _cut(node.port_in, _ARROW - 6, _SMALL, True, measure)
    shapes.append(Text(middle, y - 7, ports, _SMALL, palette.text, True, True))
    if node.packets:
        size = format_size(node.bytes)
        shapes.append(Text(middle, y + 18, size, _SMALL, palette.faint, centred=True))
    return shapes
