# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log as the user reads it: what was opened and closed, when, for whom."""

from __future__ import annotations

from collections.abc import Sequence

from qubesforward.cli.console import Console
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.cli.log_lines import (
    LogLine,
    decode_log,
    describe_line,
    format_time,
)
from qubesforward.cli.table import (
    GREEN,
    NOTHING,
    RED,
    YELLOW,
    Cell,
    Painted,
    Screen,
    format_table,
)

_HEADER = ("TIME", "EVENT", "QUBE", "FORWARD", "DETAILS")
_COLOURS = {
    "opened": GREEN,
    "found": GREEN,
    "granted": GREEN,
    "requested": YELLOW,
    "unsure": YELLOW,
    "lost": YELLOW,
    "denied": RED,
    "refused": RED,
    "declined": RED,
}


def show_log(console: Console, firewall: Firewall, qube: str, since: int) -> None:
    """Print the log of a qube (empty: of the computer) from a moment on."""
    data = firewall.read_log(qube or COMPUTER, since)
    lines, has_more, problem = decode_log(data)
    console.answer(data)
    if problem:
        console.warn(f"the audit log cannot be written: {problem}")
    if has_more:
        console.warn("there is more, and older; the newest are shown")
    if lines:
        console.show(format_log(lines, console.screen))
    else:
        console.say("The log has nothing of that.")


def format_log(lines: Sequence[LogLine], screen: Screen) -> str:
    """Write a table of events, in this computer's own time zone."""
    return format_table(_HEADER, [_format_line(line) for line in lines], screen)


def _format_line(line: LogLine) -> list[Cell]:
    event = Painted(line.event, _COLOURS.get(line.event, ""))
    told = [line.qube, *describe_line(line)]
    return [format_time(line), event, *(text or NOTHING for text in told)]
