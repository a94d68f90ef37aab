# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting until the hops have done what was asked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from time import monotonic, sleep

from qubesforward.cli.status import ForwardStatus, HopState, State, Status
from qubesforward.model.rule import ForwardRule

PATIENCE = 2.0
"""Seconds. Hops answer within milliseconds; one that has not by then is in trouble,
and the user should be told rather than kept."""

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.1


def wait_until(
    is_so: Callable[[Status], bool],
    ask: Callable[[], Status],
    clock: Callable[[], float] = monotonic,
    pause: Callable[[float], object] = sleep,
    patience: float = PATIENCE,
) -> Status:
    """Ask again and again until something is so, or for `patience` seconds.

    Returns the last answer, whatever it says.
    """
    end = clock() + patience
    length = _FIRST_PAUSE
    while True:
        status = ask()
        left = end - clock()
        if left <= 0 or is_so(status):
            return status
        pause(min(length, left))
        length = min(length * 2, _LONGEST_PAUSE)


def find_forwards(
    status: Status, name: str, rules: Collection[ForwardRule]
) -> list[ForwardStatus]:
    """Return what an answer says of these rules of a qube, in the order of `rules`."""
    forwards = status.find_qube(name).forwards
    return [each for rule in rules for each in forwards if each.rule == rule]


def is_answered(status: Status, name: str, rules: Collection[ForwardRule]) -> bool:
    """Whether waiting longer for these rules to be active is of no use."""
    found = find_forwards(status, name, rules)
    halted = {hop.name for hop in status.hops if hop.state is HopState.HALTED}
    return len(found) >= len(rules) and all(
        forward.state is not State.PENDING
        or any(step.qube in halted for step in forward.path)
        for forward in found
    )


def find_silent(status: Status, names: Collection[str]) -> list[str]:
    """Return which of these hops run but have not done what they were last told."""
    return [
        hop.name
        for hop in status.hops
        if hop.state is HopState.SILENT and hop.name in names
    ]
