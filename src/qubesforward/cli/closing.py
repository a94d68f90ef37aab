# SPDX-License-Identifier: GPL-2.0-or-later
"""Closing ports: finding what is meant, removing it, and seeing that it is shut."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from qubesforward.cli.console import Console
from qubesforward.cli.exits import DONE
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.cli.sentences import format_outer, join_words, name_some, unique
from qubesforward.cli.spec import PortSpec
from qubesforward.cli.status import QubeStatus, Status
from qubesforward.cli.waiting import find_silent, wait_until
from qubesforward.errors import AdminError, ForwardError, InvalidRule, Unavailable
from qubesforward.model.hosts import Network
from qubesforward.model.rule import ForwardRule, ForwardType
from qubesforward.model.text import format_rule, parse_rule

_GONE = InvalidRule.__name__
"""The kind of error for a removal of what is not there."""

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Closing:
    """What to close: these ports, of internal forwards or these sources only."""

    specs: Sequence[PortSpec]
    internal: bool = False
    sources: Collection[Network] = ()

    def matches(self, rule: ForwardRule, spec: PortSpec) -> bool:
        """Whether a forward is what one of the specs names."""
        return (
            spec.matches(rule)
            and (not self.internal or rule.forwardtype is ForwardType.INTERNAL)
            and (not self.sources or rule.srchost in self.sources)
        )


def find_closing(
    rules: Sequence[ForwardRule], qube: QubeStatus, wanted: Closing
) -> list[ForwardRule]:
    """Return the forwards, out of a qube's own `rules`, that are to be closed.

    Raise `InvalidRule` for ports that none of them has.
    """
    found: dict[ForwardRule, None] = {}
    for spec in wanted.specs:
        matching = [rule for rule in rules if wanted.matches(rule, spec)]
        if not matching:
            raise InvalidRule(_explain_missing(rules, qube, spec))
        found.update(dict.fromkeys(matching))
    return list(found)


def _explain_missing(
    rules: Sequence[ForwardRule], qube: QubeStatus, spec: PortSpec
) -> str:
    for forward in qube.forwards:
        if forward.owner not in ("", qube.name) and spec.matches(forward.rule):
            return (
                f"{qube.name} has {spec} from the rules of {forward.owner}; close it"
                f" there: qvm-forward {forward.owner} --close {spec}"
            )
    near = unique(
        format_outer(rule) for rule in rules if rule.srcports.overlaps(spec.outer)
    )
    # Half a forward cannot be closed, and more than was asked for must not be.
    hint = f"; there is {join_words(near)}, to be closed as a whole" if near else ""
    return f"{qube.name} has no such forward: {spec}{hint}"


def close_ports(
    console: Console, firewall: Firewall, qube: str, wanted: Closing
) -> int:
    """Remove the forwards that are named; return the exit status."""
    rules = _read_forwards(firewall, qube)
    before = firewall.read_status(qube)
    mappings = list_mappings(before.find_qube(qube))
    closing = find_closing([*rules, *mappings], before.find_qube(qube), wanted)
    own = [rule for rule in closing if rule in rules]
    if own:
        firewall.remove_forwards(qube, [format_rule(rule) for rule in own])
    mapped = [rule for rule in closing if rule in mappings]
    _close_mappings(firewall, qube, mapped)
    _report(console, firewall, before, {qube: closing})
    _warn_of_programs(console, [qube] if mapped else [])
    return DONE


def list_mappings(qube: QubeStatus) -> list[ForwardRule]:
    """Return the forwards of a qube that its programs asked for."""
    return [forward.rule for forward in qube.forwards if forward.is_mapping]


def _close_mappings(
    firewall: Firewall, qube: str, rules: Sequence[ForwardRule]
) -> None:
    """Close mappings; one that its program has let go meanwhile is closed as well."""
    for _ in range(_ATTEMPTS):
        if not rules:
            return
        try:
            firewall.remove_forwards(qube, [format_rule(rule) for rule in rules])
        except AdminError as error:
            if error.kind != _GONE:
                raise
            there = list_mappings(firewall.read_status(qube).find_qube(qube))
            places = {rule.place for rule in there}
            rules = [rule for rule in rules if rule.place in places]
        else:
            return
    raise Unavailable(f"the ports that programs of {qube} have change all the time")


def _warn_of_programs(console: Console, qubes: Sequence[str]) -> None:
    """Say that what a program had it can ask for again, and how to stop that."""
    if len(qubes) == 1:
        (qube,) = qubes
        console.say(
            f"A program of {qube} had asked for that, and may ask again; to stop it:"
            f" qvm-forward {qube} --portmap off"
        )
    elif qubes:
        console.say(
            f"Programs of {name_some(qubes)} had asked for ports, and may ask again; to"
            " stop them: qvm-forward QUBE --portmap off"
        )


def close_all(console: Console, firewall: Firewall, qube: str) -> int:
    """Remove all forwards, of one qube or of the computer; return the exit status.

    What goes wrong with one qube does not leave the others open.
    """
    before = firewall.read_status(qube or COMPUTER)
    names = [each.name for each in before.qubes if each.forwards]
    closed: dict[str, Sequence[ForwardRule]] = {}
    failures: list[str] = []
    asking: list[str] = []
    for name in [qube] if qube else names:
        try:
            rules = _read_forwards(firewall, name)
            mapped = list_mappings(before.find_qube(name))
            if qube:
                failures += _find_foreign(before.find_qube(name))
            if rules:
                firewall.clear_forwards(name)
                closed[name] = rules
            if mapped:
                # After it is known that the user's own are closed.
                _close_mappings(firewall, name, mapped)
                closed[name] = [*rules, *mapped]
                asking.append(name)
        except ForwardError as error:
            failures.append(f"{name}: {error}")
    if closed or not failures:
        _report(console, firewall, before, closed)
        _warn_of_programs(console, asking)
    if failures:
        raise ForwardError("; ".join(failures))
    return DONE


def _find_foreign(qube: QubeStatus) -> list[str]:
    owners = unique(forward.owner for forward in qube.forwards)
    return [
        f"{qube.name} has forwards from the rules of {owner}; close them there:"
        f" qvm-forward {owner} --close-all"
        for owner in owners
        if owner not in ("", qube.name)
    ]


def _read_forwards(firewall: Firewall, qube: str) -> list[ForwardRule]:
    rules = [parse_rule(line) for line in firewall.get_forwards(qube)]
    return [rule for rule in rules if isinstance(rule, ForwardRule)]


def _report(
    console: Console,
    firewall: Firewall,
    before: Status,
    closed: Mapping[str, Sequence[ForwardRule]],
) -> None:
    """Say what is closed once the hops on its way have answered."""
    if not closed:
        console.say("There was nothing to close.")
        return
    hops = {
        step.qube
        for name, rules in closed.items()
        for forward in before.find_qube(name).forwards
        if forward.rule in rules
        for step in forward.path
    }
    asked = next(iter(closed)) if len(closed) == 1 else COMPUTER
    after = wait_until(
        lambda status: not find_silent(status, hops),
        lambda: firewall.read_status(asked),
    )
    silent = find_silent(after, hops)
    if silent:
        raise ForwardError(
            f"removed, but {join_words(silent)} did not answer: what was opened there"
            " may still be open"
        )
    for name, rules in closed.items():
        console.say(_describe_closed(name, rules))


def _describe_closed(qube: str, rules: Sequence[ForwardRule]) -> str:
    ports = unique(format_outer(rule) for rule in rules)
    if len(ports) == 1 and len(rules[0].srcports) == 1:
        return f"Port {ports[0]} no longer leads to {qube}."
    return f"Ports {name_some(ports)} no longer lead to {qube}."
