# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules in the simple form that Qubes users know, and back. No windows.

What the form cannot say is not put into it: such a list is shown as it is, and left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from qubesforward.cli.phrase import Phrase
from qubesforward.cli.spec import parse_spec
from qubesforward.errors import InvalidRule
from qubesforward.gui.forward_draft import show_problem
from qubesforward.gui.words import say
from qubesforward.model.dsthost import parse_dsthost
from qubesforward.model.rule import Action, OutboundRule, Proto
from qubesforward.model.values import LONGEST_COMMENT, check_line

_DNS = "dns"


class RuleField(StrEnum):
    """A field of the form for one rule."""

    HOST = "host"
    PORT = "port"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True)
class SimpleRules:
    """Everything is accepted, or dropped, but for exceptions.

    `dns` and `ping`: whether these are let out. `full_until`: until then everything
    is, in seconds since 1970. The action of `exceptions` is not looked at: it is the
    other one than `policy`.
    """

    policy: Action = Action.ACCEPT
    exceptions: tuple[OutboundRule, ...] = ()
    dns: bool = True
    ping: bool = True
    full_until: int | None = None


def _opposite(action: Action) -> Action:
    return Action.DROP if action is Action.ACCEPT else Action.ACCEPT


def _is_for_all(rule: OutboundRule) -> bool:
    return replace(rule, expire=None, comment="") == OutboundRule(rule.action)


def read_simple(rules: Sequence[OutboundRule]) -> SimpleRules | None:
    """Return the list in the simple form; None if it does not fit in."""
    policy, body = Action.DROP, list(rules)
    if body and body[-1] in (OutboundRule(Action.ACCEPT), OutboundRule(Action.DROP)):
        policy = body.pop().action
    full_until, body = _take_full(policy, body)
    switched = _opposite(policy)
    if any(rule.action is not switched or _is_for_all(rule) for rule in body):
        return None
    dns = OutboundRule(switched, specialtarget=_DNS)
    ping = OutboundRule(switched, proto=Proto.ICMP)
    is_denying = policy is Action.DROP
    return SimpleRules(
        policy,
        tuple(rule for rule in body if rule not in (dns, ping)),
        dns=(dns in body) is is_denying,
        ping=(ping in body) is is_denying,
        full_until=full_until,
    )


def _take_full(
    policy: Action, body: list[OutboundRule]
) -> tuple[int | None, list[OutboundRule]]:
    """Take temporary full access out of the rules before the last one.

    Where all else is accepted it counts only before what is dropped.
    """
    candidates = body if policy is Action.DROP else body[:1]
    full = [r for r in candidates if r.action is Action.ACCEPT and _is_for_all(r)]
    ends = [rule.expire for rule in full]
    if len(full) != 1 or ends[0] is None or full[0].comment:
        return None, body
    return ends[0], [rule for rule in body if rule is not full[0]]


def write_simple(simple: SimpleRules) -> list[OutboundRule]:
    """Return the rules that the form stands for."""
    switched = _opposite(simple.policy)
    is_denying = simple.policy is Action.DROP
    rules = [replace(rule, action=switched) for rule in simple.exceptions]
    if simple.dns is is_denying:
        rules.append(OutboundRule(switched, specialtarget=_DNS))
    if simple.ping is is_denying:
        rules.append(OutboundRule(switched, proto=Proto.ICMP))
    if simple.full_until is not None:
        full = OutboundRule(Action.ACCEPT, expire=simple.full_until)
        rules.insert(len(rules) if is_denying else 0, full)
    return [*rules, OutboundRule(simple.policy)]


def is_editable(rule: OutboundRule) -> bool:
    """Whether the form for one rule has a field for all that the rule says."""
    return rule.specialtarget is None and rule.icmptype is None and rule.expire is None


def read_exception(
    host: str, port: str, proto: Proto | None, comment: str
) -> tuple[OutboundRule | None, dict[RuleField, str]]:
    """Return the rule that the fields stand for, or the problem of each field.

    Empty fields match everything. Service names are those of this computer.
    """
    problems: dict[RuleField, str] = {}
    dsthost = ports = None
    try:
        dsthost = parse_dsthost(host.strip().lower()) if host.strip() else None
    except InvalidRule as error:
        problems[RuleField.HOST] = show_problem(error)
    try:
        ports = _read_ports(port.strip(), proto)
    except InvalidRule as error:
        problems[RuleField.PORT] = show_problem(error)
    try:
        check_line(comment, "comment", LONGEST_COMMENT)
    except InvalidRule as error:
        problems[RuleField.COMMENT] = show_problem(error)
    if not problems and (dsthost, ports, proto) == (None, None, None):
        problems[RuleField.HOST] = say(Phrase("name a host, a network or a protocol"))
    if problems:
        return None, problems
    rule = OutboundRule(
        Action.ACCEPT, dsthost, proto, dstports=ports, comment=comment.strip()
    )
    return rule, {}


def _read_ports(text: str, proto: Proto | None) -> tuple[int, int] | None:
    if not text:
        return None
    if proto not in (Proto.TCP, Proto.UDP):
        raise InvalidRule("ports need TCP or UDP")
    if ":" in text or "/" in text:
        raise InvalidRule(f"{text[:40]!a}: give a service, a port, or FIRST-LAST")
    ports = parse_spec(f"{text}/{proto}").outer
    return ports.first, ports.last


def show_host(rule: OutboundRule) -> str:
    """Write where a rule leads to as it is typed; ``*`` for anywhere."""
    if rule.dsthost is None:
        return "*"
    address, slash, length = rule.dsthost.text.partition("/")
    is_one = slash and length == ("32" if rule.dsthost.kind == "dst4" else "128")
    return address if is_one else rule.dsthost.text


def show_port(rule: OutboundRule) -> str:
    """Write the ports of a rule, or what it matches in their stead."""
    if rule.specialtarget is not None:
        return rule.specialtarget
    if rule.icmptype is not None:
        return say(Phrase("icmp type {0}", str(rule.icmptype)))
    if rule.dstports is None:
        return "*"
    first, last = rule.dstports
    return str(first) if first == last else f"{first}-{last}"


def show_proto(rule: OutboundRule) -> str:
    """Write the protocol of a rule; ``*`` for any."""
    return "*" if rule.proto is None else rule.proto.upper()
