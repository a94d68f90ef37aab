# SPDX-License-Identifier: GPL-2.0-or-later
"""Opening ports, or only showing what opening them would do."""

from __future__ import annotations

from collections.abc import Sequence

from qubesforward.cli.console import Console
from qubesforward.cli.exits import DONE, REFUSED
from qubesforward.cli.firewall import Firewall
from qubesforward.cli.rule_tables import format_path
from qubesforward.cli.sentences import (
    When,
    explain_forwards,
    format_outer,
    group_by_source,
    unique,
    warn_of,
)
from qubesforward.cli.status import State, decode_plan, decode_status
from qubesforward.cli.waiting import find_forwards, is_answered, wait_until
from qubesforward.errors import ForwardError
from qubesforward.model.rule import ForwardRule

_WAITING = (State.ACTIVE, State.PENDING, State.CONFLICT)
"""What was asked for, or what becomes it by itself: the hop starts, the port is
free again. The rest has failed."""


def open_ports(
    console: Console,
    firewall: Firewall,
    qube: str,
    rules: Sequence[ForwardRule],
    *,
    force: bool,
) -> int:
    """Add forwards, wait until the hops have answered, and say what holds now.

    Returns the exit status.
    """
    firewall.add_forwards(qube, rules, force=force)
    if console.quiet:
        return DONE
    answers: list[bytes] = []

    def ask() -> bytes:
        answers.append(firewall.status(qube))
        return answers[-1]

    status = wait_until(
        lambda status: is_answered(status, qube, rules), lambda: decode_status(ask())
    )
    console.answer(answers[-1])
    forwards = find_forwards(status, qube, rules)
    if not forwards:
        raise ForwardError(f"{qube} does not have it any more: its time is over")
    for group in group_by_source(forwards):
        text = explain_forwards(group, qube, console.now, When.FROM_NOW)
        console.say(text)
        for warning in warn_of(group, qube):
            console.warn(warning)
    failed = [each.rule for each in forwards if each.state not in _WAITING]
    if failed:
        console.warn(_explain_kept(qube, failed))
    return REFUSED if failed else DONE


def _explain_kept(qube: str, failed: Sequence[ForwardRule]) -> str:
    ports = unique(format_outer(rule) for rule in failed)
    closing = " ".join(f"--close {port.replace('tcp+udp', 'both')}" for port in ports)
    return (
        "it is kept, and opens by itself once nothing is in its way; to take it back:"
        f" qvm-forward {qube} {closing}"
    )


def show_plan(
    console: Console, firewall: Firewall, qube: str, rules: Sequence[ForwardRule]
) -> int:
    """Say what adding forwards would do, hop by hop; return the exit status."""
    data = firewall.plan(qube, rules)
    forwards = decode_plan(data, qube).find_qube(qube).forwards
    console.answer(data)
    console.say("Nothing is changed. With this forward:")
    for group in group_by_source(forwards):
        console.say(explain_forwards(group, qube, console.now))
        for forward in group:
            if forward.path:
                table = format_path(forward.path, console.screen, planned=True)
                console.show(f"\n{table}\n")
        for warning in warn_of(group, qube):
            console.warn(warning)
    failed = any(forward.state not in _WAITING[:2] for forward in forwards)
    return REFUSED if failed else DONE
