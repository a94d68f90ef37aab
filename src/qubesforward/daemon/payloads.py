# SPDX-License-Identifier: GPL-2.0-or-later
"""What the payloads of the firewall calls say."""

from __future__ import annotations

from dataclasses import dataclass

from qubesforward.errors import InvalidRule
from qubesforward.model.rule import ForwardRule, OutboundRule, Rule
from qubesforward.model.text import parse_rules

_FORCE = b"force=yes"
_WAITING = b"confirmed=no"
_INSTEAD = b"instead="


@dataclass(frozen=True, slots=True)
class Addition:
    """Forwards to be added in place of others; `force`: they may wait for a port.

    `is_import`: they wait for confirmation, and take nothing's place.
    """

    forwards: list[ForwardRule]
    instead: list[ForwardRule]
    force: bool
    is_import: bool = False


def parse_payload(untrusted_payload: bytes) -> list[Rule]:
    """Read one rule a line; raise `InvalidRule` otherwise."""
    try:
        untrusted_text = untrusted_payload.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidRule("rules are ASCII text") from None
    return parse_rules(untrusted_text)


def parse_forwards(untrusted_payload: bytes) -> list[ForwardRule]:
    """Read one forward a line; raise `InvalidRule`, also for outbound rules."""
    forwards = []
    for rule in parse_payload(untrusted_payload):
        if isinstance(rule, OutboundRule):
            raise InvalidRule(
                f"action={rule.action}: this call takes forwards only; outbound"
                " rules are set with admin.vm.firewall.Set"
            )
        forwards.append(rule)
    return forwards


def parse_addition(untrusted_payload: bytes) -> Addition:
    """Read ``force=yes``, then ``instead=LINE`` any number of times, then forwards.

    Or ``confirmed=no``, then forwards. Raises `InvalidRule` for anything else.
    """
    first, _, untrusted_rest = untrusted_payload.partition(b"\n")
    if first == _WAITING:
        return Addition(parse_forwards(untrusted_rest), [], False, is_import=True)
    force = first == _FORCE
    if not force:
        untrusted_rest = untrusted_payload
    instead = []
    while untrusted_rest.startswith(_INSTEAD):
        untrusted_line, _, untrusted_rest = untrusted_rest.partition(b"\n")
        instead += parse_forwards(untrusted_line.removeprefix(_INSTEAD))
    return Addition(parse_forwards(untrusted_rest), instead, force)
