# SPDX-License-Identifier: GPL-2.0-or-later
"""What is forwarded, to one qube in words, and on the whole computer in a table."""

from __future__ import annotations

from collections.abc import Sequence

from qubesforward.cli.console import Console
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.cli.policy import describe_policy
from qubesforward.cli.reaching import describe_asker, describe_extent
from qubesforward.cli.rule_tables import (
    format_exposures,
    format_problems,
    format_reasons,
    paint_state,
)
from qubesforward.cli.sentences import (
    describe_silence,
    describe_traffic,
    explain_forwards,
    format_mapping,
    group_by_source,
)
from qubesforward.cli.status import ForwardStatus, QubeStatus, Status, decode_status
from qubesforward.cli.table import format_paragraph
from qubesforward.errors import AdminError, Unavailable


def list_qube(console: Console, firewall: Firewall, qube: str) -> None:
    """Tell what is forwarded to one qube."""
    data = firewall.status(qube)
    status = decode_status(data)
    told = status.find_qube(qube)
    console.answer(data)
    _warn_of_log(console, status)
    console.show(format_qube(told, console))
    _tell_policy(console, firewall, qube)


def _tell_policy(console: Console, firewall: Firewall, qube: str) -> None:
    if console.json:
        return
    try:
        policy = describe_policy(firewall, qube)
    except (AdminError, Unavailable) as error:
        # The forwards are known all the same.
        console.warn(f"whether programs of {qube} may ask for ports: {error}")
        return
    if policy:
        console.say(policy)


def _warn_of_log(console: Console, status: Status) -> None:
    if status.audit:
        console.warn(
            f"the audit log cannot be written, so nothing new opens: {status.audit}"
        )


def format_qube(qube: QubeStatus, console: Console) -> str:
    """Write a title and a paragraph for each forward of a qube."""
    screen = console.screen
    text = "" if qube.forwards else f"Nothing is forwarded to {qube.name}.\n"
    for group in group_by_source(qube.forwards):
        first = group[0]
        state = paint_state(first.state)
        title = f"{format_mapping(first.rule)}  {first.rule.forwardtype}"
        title += "  for a program" if first.is_mapping else ""
        text += f"{title}  {screen.paint(state.text, state.colour)}\n"
        text += format_paragraph(
            describe_group(group, qube.name, console.now), screen, "  "
        )
    return text + format_problems(qube, screen)


def describe_group(group: Sequence[ForwardStatus], qube: str, now: int) -> str:
    """Say all that is to be said of forwards that differ in their sources only."""
    first = group[0]
    said: list[str] = [explain_forwards(group, qube, now)]
    said += filter(None, [describe_extent(first), describe_asker(first, qube)])
    silence = describe_silence(first, qube)
    if silence:
        said.append(f"But {silence}.")
    packets = sum(forward.packets for forward in group)
    traffic = describe_traffic(packets, sum(forward.bytes for forward in group))
    if traffic:
        said.append(f"So far {traffic} have passed.")
    if first.owner not in ("", qube):
        said.append(f"It comes from the rules of {first.owner}.")
    if first.rule.comment and not first.is_mapping:
        said.append(f"Comment: {first.rule.comment}")
    return " ".join(said)


def list_computer(console: Console, firewall: Firewall) -> None:
    """Tell all that is forwarded on the computer."""
    data = firewall.status(COMPUTER)
    status = decode_status(data)
    console.answer(data)
    _warn_of_log(console, status)
    console.show(format_computer(status, console))


def format_computer(status: Status, console: Console) -> str:
    """Write a table of all exposures, and below it why some are not active."""
    qubes = [qube for qube in status.qubes if qube.forwards]
    text = "Nothing is forwarded on this computer.\n"
    if qubes:
        text = format_exposures(qubes, console.now, console.screen)
    notes = "".join(format_reasons(qube, console.screen) for qube in qubes)
    notes += "".join(format_problems(qube, console.screen) for qube in status.qubes)
    return f"{text}\n{notes}" if notes else text
