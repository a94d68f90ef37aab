# SPDX-License-Identifier: GPL-2.0-or-later
"""Making what is declared true, on this computer, for one qube."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qubesforward.cli.firewall import Firewall, check_name
from qubesforward.cli.status import ForwardStatus, QubeStatus, State, Status
from qubesforward.cli.waiting import (
    find_forwards,
    find_silent,
    is_answered,
    wait_until,
)
from qubesforward.errors import Conflict, InvalidRule
from qubesforward.fleet.declaration import (
    Change,
    Wanted,
    parse_closings,
    parse_rules,
    plan_absent,
    plan_present,
)
from qubesforward.model.rule import ForwardRule
from qubesforward.model.text import format_rule, parse_rule
from qubesforward.model.values import parse_choice
from qubesforward.qubes.admin import AdminClient

_FINE = (State.ACTIVE, State.PENDING)
"""Of a forward that is there: a halted qube is no failure of what is declared."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What came of it: the change (or, when only checking, what it would be).

    `forwards` are the declared ones that are there now, with `rule`, `state`,
    `reason` and `dial`. `warnings` are sentences about what is not as it should be.
    """

    change: Change
    forwards: list[dict[str, object]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def declare(
    qube: str,
    wanted: str,
    untrusted_forwards: Sequence[Mapping[str, object]],
    *,
    force: bool = False,
    check: bool = False,
    client: AdminClient | None = None,
) -> Declared:
    """Make forwards of a qube `present`, `absent`, or `exact`: these and no others.

    Mappings that programs asked for are left alone. `force`: they may wait for a port
    that is taken. `check` changes nothing, and fails where the change would. Waits
    until the hops have answered, but not for long. Raises `ForwardError`.
    """
    firewall = Firewall(client or AdminClient())
    check_name(qube)
    kind = parse_choice(Wanted, wanted, "state")
    rules = (
        [] if kind is Wanted.ABSENT else parse_rules(untrusted_forwards, time.time())
    )
    closings = parse_closings(untrusted_forwards) if kind is Wanted.ABSENT else []
    if not untrusted_forwards and kind is not Wanted.EXACT:
        raise InvalidRule(f"forwards: missing; say what is to be {kind}")
    own = [
        rule
        for rule in map(parse_rule, firewall.get_forwards(qube))
        if isinstance(rule, ForwardRule)
    ]
    status = firewall.read_status(qube)
    waiting = _find_waiting(status.find_qube(qube))
    if kind is Wanted.ABSENT:
        change = plan_absent(own, waiting, closings)
    else:
        change = plan_present(own, waiting, rules, only=kind is Wanted.EXACT)
    if check:
        _try(firewall, qube, change, force=force)
        return Declared(change)
    if change:
        status = _apply(firewall, qube, change, status, force=force)
    return _report(qube, change, find_forwards(status, qube, rules), status)


def _find_waiting(qube: QubeStatus) -> set[ForwardRule]:
    return {
        forward.rule.place
        for forward in qube.forwards
        if forward.state is State.UNCONFIRMED and not forward.is_mapping
    }


def _try(firewall: Firewall, qube: str, change: Change, *, force: bool) -> None:
    if not change.added:
        return
    planned = firewall.read_plan(qube, change.added, change.removed)
    for forward in planned.find_qube(qube).forwards:
        if forward.state is State.CONFLICT and not force:
            raise Conflict(
                f"{forward.reason}; choose another outer port, or give force to have"
                " it wait for the port"
            )


def _apply(
    firewall: Firewall, qube: str, change: Change, before: Status, *, force: bool
) -> Status:
    if change.added:
        firewall.add_forwards(qube, change.added, force=force, instead=change.removed)
    else:
        firewall.remove_forwards(qube, [format_rule(rule) for rule in change.removed])
    hops = _find_hops(before, qube, change.removed)
    return wait_until(
        lambda status: is_answered(status, qube, change.added)
        and not find_silent(status, hops),
        lambda: firewall.read_status(qube),
    )


def _find_hops(status: Status, qube: str, rules: Sequence[ForwardRule]) -> set[str]:
    forwards = find_forwards(status, qube, rules)
    return {step.qube for forward in forwards for step in forward.path}


def _report(
    qube: str, change: Change, forwards: Sequence[ForwardStatus], status: Status
) -> Declared:
    warnings = [
        f"{qube}: {forward.line}: {forward.state}: {forward.reason}"
        for forward in forwards
        if forward.state not in _FINE
    ]
    if change.removed:
        warnings += [
            f"{name} did not answer: what was opened there may still be open"
            for name in find_silent(status, {hop.name for hop in status.hops})
        ]
    told: list[dict[str, object]] = [
        {
            "rule": forward.line,
            "state": str(forward.state),
            "reason": forward.reason,
            "dial": list(forward.dial),
        }
        for forward in forwards
    ]
    return Declared(change, told, warnings)
