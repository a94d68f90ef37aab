# SPDX-License-Identifier: GPL-2.0-or-later
"""What the icon beside the clock says: how much is open, and how far it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from PyQt6.QtCore import QCoreApplication

from qubesforward.cli.drawing import Box, Drawing, Line, Shape, Text
from qubesforward.cli.sentences import format_mapping
from qubesforward.cli.status import ForwardStatus, State, Status
from qubesforward.gui.exposure_rows import Summary, sum_up
from qubesforward.gui.plain import bound

SIDE = 64.0
"""Pixels of the drawn icon."""

_MOST_NAMED = 12
"""Ports of a qube that its menu names; a menu must not be longer than the screen."""


class Sight(StrEnum):
    """What there is to see."""

    CLOSED = "closed"
    OPEN = "open"
    INTERNET = "internet"
    UNKNOWN = "unknown"
    """Nobody tells: the service is not there."""


@dataclass(frozen=True, slots=True)
class TrayState:
    """What the icon and its menu show; `ports` are those of each qube, in words."""

    sight: Sight
    count: int
    text: str
    ports: tuple[tuple[str, tuple[str, ...]], ...] = ()


def describe_tray(status: Status | None) -> TrayState:
    """Return what to show of a status; None if there is none."""
    if status is None:
        text = QCoreApplication.translate(
            "Tray", "It is not known what is open: the service does not answer."
        )
        return TrayState(Sight.UNKNOWN, 0, text)
    groups = [(qube.name, qube.forwards) for qube in status.qubes if qube.forwards]
    summary = sum_up(groups)
    ports = tuple((name, _name_ports(forwards)) for name, forwards in groups)
    return TrayState(_see(summary), summary.open, summary.text, ports)


def _see(summary: Summary) -> Sight:
    if summary.internet:
        return Sight.INTERNET
    return Sight.OPEN if summary.open else Sight.CLOSED


def _name_ports(forwards: Sequence[ForwardStatus]) -> tuple[str, ...]:
    named = []
    for forward in forwards[:_MOST_NAMED]:
        text = format_mapping(forward.rule)
        if forward.state is not State.ACTIVE:
            not_open = QCoreApplication.translate("Tray", "{0} (not open)")
            text = not_open.format(text)
        named.append(bound(text))
    more = len(forwards) - len(named)
    if more > 0:
        text = QCoreApplication.translate("Tray", "{0} more…")
        named.append(text.format(more))
    return tuple(named)


_GREY, _AMBER, _RED, _INK = "#8a8f98", "#e08a00", "#d13438", "#ffffff"


def draw_tray(state: TrayState) -> Drawing:
    """Draw the icon: a shape of its own for each sight, and the count on it.

    A ring if nothing is open, a disc for what the local network reaches, a square on
    its corner for the internet, a broken ring if nobody knows.
    """
    half = SIDE / 2
    shapes: list[Shape]
    if state.sight is Sight.INTERNET:
        corners = ((half, 0.0), (SIDE, half), (half, SIDE), (0.0, half))
        shapes = [Line(corners, _RED, closed=True)]
    elif state.sight is Sight.OPEN:
        shapes = [Box(3, 3, SIDE - 6, SIDE - 6, half - 3, _AMBER)]
    else:
        broken = state.sight is Sight.UNKNOWN
        ring = Box(8, 8, SIDE - 16, SIDE - 16, half - 8, "", _GREY, 8, dashed=broken)
        shapes = [ring]
    if state.sight is Sight.UNKNOWN:
        shapes.append(Text(half, half + 12, "?", 34, _GREY, True, True))
    elif state.count:
        text = str(state.count) if state.count < 100 else "99+"
        size = (40, 34, 24)[len(text) - 1]
        shapes.append(Text(half, half + size * 0.36, text, size, _INK, True, True))
    return Drawing(SIDE, SIDE, tuple(shapes), words=state.text)
