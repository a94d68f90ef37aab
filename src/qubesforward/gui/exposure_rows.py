# SPDX-License-Identifier: GPL-2.0-or-later
"""What of the computer is open, as rows by qube: what stands in each column.

The time now is an argument, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from PyQt6.QtCore import QCoreApplication

from qubesforward.cli.durations import format_duration
from qubesforward.cli.sentences import format_protos, format_size
from qubesforward.cli.status import Extent, ForwardStatus, State
from qubesforward.gui import forwards_rows
from qubesforward.gui.forwards_rows import cell_text as forward_cell
from qubesforward.gui.forwards_rows import column_title as forward_title
from qubesforward.gui.forwards_rows import show_ports
from qubesforward.gui.forwards_rows import sort_value as forward_value
from qubesforward.gui.words import say_told
from qubesforward.model.rule import ForwardType, Reach


class Column(IntEnum):
    """The columns, from the left."""

    WHAT = 0
    STATE = 1
    WHO = 2
    REACH = 3
    ORIGIN = 4
    AGE = 5
    UNTIL = 6
    TRAFFIC = 7
    CURVE = 8
    COMMENT = 9


class Show(StrEnum):
    """Which forwards are shown."""

    ALL = "all"
    OPEN = "open"
    CLOSED = "closed"
    INTERNET = "internet"
    PROGRAMS = "programs"


_SAME = {
    Column.STATE: forwards_rows.Column.STATE,
    Column.WHO: forwards_rows.Column.WHO,
    Column.ORIGIN: forwards_rows.Column.ORIGIN,
    Column.UNTIL: forwards_rows.Column.UNTIL,
    Column.TRAFFIC: forwards_rows.Column.TRAFFIC,
    Column.COMMENT: forwards_rows.Column.COMMENT,
}


def column_title(column: Column) -> str:
    """Return what stands above a column."""
    if column in _SAME:
        return forward_title(_SAME[column])
    titles = {
        Column.WHAT: QCoreApplication.translate("Exposures", "Qube and port"),
        Column.REACH: QCoreApplication.translate("Exposures", "Reaches"),
        Column.AGE: QCoreApplication.translate("Exposures", "Age"),
        Column.CURVE: QCoreApplication.translate("Exposures", "Last minutes"),
    }
    return titles[column]


def describe_reach(forward: ForwardStatus) -> str:
    """Say how far it reaches, in a few words."""
    if forward.rule.forwardtype is ForwardType.INTERNAL:
        if forward.tunnels:
            return QCoreApplication.translate("Exposures", "other qubes, VPN")
        return QCoreApplication.translate("Exposures", "other qubes")
    if forward.rule.reach is not Reach.INTERNET:
        return QCoreApplication.translate("Exposures", "local network")
    words = {
        Extent.INTERNET: QCoreApplication.translate("Exposures", "internet"),
        Extent.LAN: QCoreApplication.translate("Exposures", "internet, if it can"),
        Extent.CARRIER: QCoreApplication.translate(
            "Exposures", "local (carrier's NAT)"
        ),
        Extent.SILENT: QCoreApplication.translate("Exposures", "local (no router)"),
        Extent.REFUSED: QCoreApplication.translate(
            "Exposures", "local (router says no)"
        ),
    }
    return words[forward.extent]


def age_of(forward: ForwardStatus, now: int) -> int | None:
    """Return for how many seconds it is there, None if nobody knows."""
    return max(now - forward.created // 1_000_000, 0) if forward.created else None


def cell_text(forward: ForwardStatus, qube: str, column: Column, now: int) -> str:
    """Return what stands in one column for a forward of a qube."""
    if column in _SAME:
        return forward_cell(forward, qube, _SAME[column], now)
    if column is Column.WHAT:
        return f"{show_ports(forward.rule)} {format_protos(forward.rule).upper()}"
    if column is Column.REACH:
        return describe_reach(forward)
    if column is Column.AGE:
        age = age_of(forward, now)
        # Its larger unit: nobody compares seconds here, and less is drawn anew.
        return "" if age is None else " ".join(format_duration(age).split()[:2])
    return ""


def sort_value(
    forward: ForwardStatus, qube: str, column: Column, now: int
) -> tuple[float, str]:
    """Return by what a column is sorted: numbers as numbers, the rest as texts."""
    if column is Column.WHAT:
        return forward.rule.srcports.first, ""
    if column is Column.AGE:
        return age_of(forward, now) or 0, ""
    if column is Column.CURVE:
        return forward.bytes, ""
    if column in _SAME:
        return forward_value(forward, qube, _SAME[column], now)
    return 0, cell_text(forward, qube, column, now)


def group_text(name: str, forwards: Sequence[ForwardStatus], column: Column) -> str:
    """Return what stands in one column for a qube."""
    if column is Column.WHAT:
        return name
    if column is Column.STATE:
        open_now = sum(each.state is State.ACTIVE for each in forwards)
        text = QCoreApplication.translate("Exposures", "{0} of {1} open")
        return text.format(open_now, len(forwards))
    if column is Column.TRAFFIC:
        total = sum(each.bytes for each in forwards)
        return format_size(total) if total else ""
    return ""


def group_value(
    name: str, forwards: Sequence[ForwardStatus], column: Column, now: int
) -> tuple[float, str]:
    """Return by what qubes are sorted: as the foremost of their forwards, or by name.

    What is largest is what one looks for: traffic is summed, the oldest counts.
    """
    if column in (Column.TRAFFIC, Column.CURVE):
        return sum(each.bytes for each in forwards), name
    if column is Column.AGE:
        return max((age_of(each, now) or 0 for each in forwards), default=0), name
    if column is Column.UNTIL:
        values = [sort_value(each, name, column, now) for each in forwards]
        return min(values, default=(float("inf"), ""))
    return 0, name


def is_shown(
    forward: ForwardStatus, qube: str, show: Show, text: str, now: int
) -> bool:
    """Whether a forward is among those that are shown and has the text anywhere."""
    fits = {
        Show.ALL: True,
        Show.OPEN: forward.state is State.ACTIVE,
        Show.CLOSED: forward.state is not State.ACTIVE,
        Show.INTERNET: forward.rule.reach is Reach.INTERNET,
        Show.PROGRAMS: forward.is_mapping,
    }
    if not fits[show]:
        return False
    wanted = text.casefold().split()
    cells = (cell_text(forward, qube, column, now) for column in Column)
    found = " ".join([qube, *cells, *forward.dial, say_told(forward.reason)]).casefold()
    return all(word in found for word in wanted)


@dataclass(frozen=True, slots=True)
class Summary:
    """How much is open: forwards, qubes that have some, those that the internet sees.

    `waiting` are not open, whatever the reason.
    """

    open: int = 0
    qubes: int = 0
    internet: int = 0
    waiting: int = 0

    @property
    def text(self) -> str:
        """What it comes to, in a sentence."""
        if not self.open and not self.waiting:
            return QCoreApplication.translate("Exposures", "No port is open.")
        said = QCoreApplication.translate("Exposures", "No port is open now.")
        if self.open == 1:
            said = QCoreApplication.translate("Exposures", "One port is open.")
        elif self.open and self.qubes == 1:
            text = QCoreApplication.translate(
                "Exposures", "{0} ports of one qube are open."
            )
            said = text.format(self.open)
        elif self.open:
            text = QCoreApplication.translate(
                "Exposures", "{0} ports of {1} qubes are open."
            )
            said = text.format(self.open, self.qubes)
        if self.internet:
            text = QCoreApplication.translate("Exposures", "The internet reaches {0}.")
            said += " " + text.format(self.internet)
        if self.waiting:
            text = QCoreApplication.translate("Exposures", "Wanted, but not open: {0}.")
            said += " " + text.format(self.waiting)
        return said


def sum_up(groups: Iterable[tuple[str, Sequence[ForwardStatus]]]) -> Summary:
    """Count what is open of qubes and their forwards."""
    active: dict[str, list[ForwardStatus]] = {}
    waiting = 0
    for name, forwards in groups:
        found = [each for each in forwards if each.state is State.ACTIVE]
        waiting += len(forwards) - len(found)
        if found:
            active[name] = found
    every = [each for found in active.values() for each in found]
    internet = sum(
        each.rule.reach is Reach.INTERNET and each.extent is Extent.INTERNET
        for each in every
    )
    return Summary(len(every), len(active), internet, waiting)
