# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards as rows of a table: what stands in each column. No windows.

The time now is an argument, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from PyQt6.QtCore import QCoreApplication

from qubesforward.cli.durations import format_day
from qubesforward.cli.sentences import (
    describe_reason,
    describe_silence,
    format_protos,
    format_size,
    format_source,
)
from qubesforward.cli.status import ForwardStatus, State
from qubesforward.gui.states import forward_word
from qubesforward.gui.words import say
from qubesforward.model.rule import REBOOT, ForwardRule, ForwardType, Reach

Key = tuple[ForwardRule, str, bool]
"""What stays the same of a forward while it is open."""


class Column(IntEnum):
    """The columns, from the left."""

    STATE = 0
    PORTS = 1
    PROTO = 2
    WHO = 3
    KIND = 4
    UNTIL = 5
    TRAFFIC = 6
    ORIGIN = 7
    COMMENT = 8


def column_title(column: Column) -> str:
    """Return what stands above a column."""
    titles = {
        Column.STATE: QCoreApplication.translate("Forwards", "State"),
        Column.PORTS: QCoreApplication.translate("Forwards", "Port"),
        Column.PROTO: QCoreApplication.translate("Forwards", "Protocol"),
        Column.WHO: QCoreApplication.translate("Forwards", "Who"),
        Column.KIND: QCoreApplication.translate("Forwards", "From"),
        Column.UNTIL: QCoreApplication.translate("Forwards", "Until"),
        Column.TRAFFIC: QCoreApplication.translate("Forwards", "Traffic"),
        Column.ORIGIN: QCoreApplication.translate("Forwards", "Origin"),
        Column.COMMENT: QCoreApplication.translate("Forwards", "Comment"),
    }
    return titles[column]


def key_of(forward: ForwardStatus) -> Key:
    """Return by what a forward is found again in a newer answer."""
    return forward.rule.place, forward.owner, forward.is_mapping


def show_ports(rule: ForwardRule) -> str:
    """Write outer and inner ports: ``443 → 8443``; one of them where they are one."""
    if rule.dstports is None:
        return rule.srcports.short
    return f"{rule.srcports.short} → {rule.dstports.short}"


def _show_kind(rule: ForwardRule) -> str:
    if rule.forwardtype is ForwardType.INTERNAL:
        return QCoreApplication.translate("Forwards", "other qubes")
    if rule.reach is Reach.INTERNET:
        return QCoreApplication.translate("Forwards", "internet")
    return QCoreApplication.translate("Forwards", "local network")


def _show_until(rule: ForwardRule, now: int) -> str:
    if rule.expire == REBOOT:
        return QCoreApplication.translate("Forwards", "restart")
    if isinstance(rule.expire, int):
        return say(format_day(rule.expire, now))
    return QCoreApplication.translate("Forwards", "you remove it")


def _show_origin(forward: ForwardStatus, qube: str) -> str:
    if forward.is_mapping:
        asked = QCoreApplication.translate("Forwards", "a program")
        return f"{asked} ({', '.join(forward.vias)})" if forward.vias else asked
    if forward.owner not in ("", qube):
        return forward.owner
    return QCoreApplication.translate("Forwards", "you")


def cell_text(forward: ForwardStatus, qube: str, column: Column, now: int) -> str:
    """Return what stands in one column for a forward of a qube."""
    rule = forward.rule
    match column:
        case Column.STATE:
            return forward_word(forward)
        case Column.PORTS:
            return show_ports(rule)
        case Column.PROTO:
            return format_protos(rule).upper()
        case Column.WHO:
            return say(format_source(rule))
        case Column.KIND:
            return _show_kind(rule)
        case Column.UNTIL:
            return _show_until(rule, now)
        case Column.TRAFFIC:
            return format_size(forward.bytes) if forward.packets else ""
        case Column.ORIGIN:
            return _show_origin(forward, qube)
        case Column.COMMENT:
            return rule.comment


def explain_state(forward: ForwardStatus, qube: str) -> str:
    """Say why it is not open, or that nothing listens; nothing if all is well."""
    if forward.state is State.ACTIVE:
        return say(describe_silence(forward, qube))
    return say(describe_reason(forward))


def sort_value(
    forward: ForwardStatus, qube: str, column: Column, now: int
) -> tuple[float, str]:
    """Return by what a column is sorted: numbers as numbers, the rest as texts."""
    rule = forward.rule
    if column is Column.PORTS:
        return rule.srcports.first, ""
    if column is Column.TRAFFIC:
        return forward.bytes, ""
    if column is Column.UNTIL:
        end = rule.expire if isinstance(rule.expire, int) else float("inf")
        return end, str(rule.expire)
    return 0, cell_text(forward, qube, column, now)


def changed_rows(
    before: Sequence[ForwardStatus], after: Sequence[ForwardStatus]
) -> list[int] | None:
    """Return which rows differ; None if they are not rows of the same forwards."""
    if [key_of(f) for f in before] != [key_of(f) for f in after]:
        return None
    pairs = zip(before, after, strict=True)
    return [row for row, (old, new) in enumerate(pairs) if old != new]
