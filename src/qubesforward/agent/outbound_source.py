# SPDX-License-Identifier: GPL-2.0-or-later
"""The outbound rules of one source, read from its QubesDB keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from qubesforward.errors import InvalidRule
from qubesforward.model.rule import Action, OutboundRule
from qubesforward.model.text import parse_rule

LONGEST_RULE = 3072
"""Bytes that a QubesDB value can hold (Qubes' QUBESDB_MAX_DATA)."""

DROP_ALL = OutboundRule(Action.DROP)


@dataclass(frozen=True)
class SourceRules:
    """Rules in their order, the policy as the last; it takes everything.

    `problems` says, a line each, what could not be read and what drops instead.
    """

    rules: tuple[OutboundRule, ...]
    problems: tuple[str, ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """The host names that the rules need addresses for."""
        return frozenset(
            rule.dsthost.text
            for rule in self.rules
            if rule.dsthost is not None and rule.dsthost.kind == "dsthost"
        )


NO_RULES = SourceRules(())
"""Of a source that is not known: nothing is permitted."""


def parse_source(untrusted_keys: Mapping[str, bytes]) -> SourceRules:
    """Read ``policy`` and ``NNNN`` keys (relative to the source); never raises.

    What cannot be read becomes a rule that drops everything at its place: whatever
    it was meant to let through or to stop, nothing gets past it.
    """
    rules = []
    problems = []
    for key in sorted(untrusted_keys.keys() - {"policy"}, key=_place):
        try:
            rules.append(_parse_enforced(key, untrusted_keys[key]))
        except InvalidRule as error:
            rules.append(DROP_ALL)
            problems.append(f"rule {key[:40]!a}: {error}")
    untrusted_policy = untrusted_keys.get("policy", b"")
    if untrusted_policy not in (b"accept", b"drop"):
        problems.append(f"policy={untrusted_policy[:40]!r}: neither accept nor drop")
    accept = untrusted_policy == b"accept"
    rules.append(OutboundRule(Action.ACCEPT) if accept else DROP_ALL)
    return SourceRules(tuple(rules), tuple(problems))


def _place(untrusted_key: str) -> tuple[int, str]:
    # Numbers first and by value, so that rule 10000 comes after rule 9999.
    number = int(untrusted_key) if _is_number(untrusted_key) else 10**6
    return (number, untrusted_key)


def _is_number(untrusted_key: str) -> bool:
    return (
        untrusted_key.isascii()
        and untrusted_key.isdecimal()
        and 4 <= len(untrusted_key) <= 6
    )


def _parse_enforced(untrusted_key: str, untrusted_value: bytes) -> OutboundRule:
    if not _is_number(untrusted_key):
        raise InvalidRule("not the number of a rule")
    if len(untrusted_value) > LONGEST_RULE:
        raise InvalidRule(f"{len(untrusted_value)} bytes: too long")
    try:
        untrusted_text = untrusted_value.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidRule("not ASCII text") from None
    rule = parse_rule(untrusted_text)
    if not isinstance(rule, OutboundRule):
        raise InvalidRule("action=forward: not an outbound rule")
    if rule.expire is not None:
        # Expiry is dom0's to enforce; here such a rule would stay for good.
        raise InvalidRule("expire: cannot be enforced in a hop")
    return rule
