# SPDX-License-Identifier: GPL-2.0-or-later
"""What an earlier run wrote down of every forward, taken from the audit log.

Without it, what was closed while the daemon did not run would never be logged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from qubesforward.daemon.audit_event import AuditEvent, Happening, decode_event
from qubesforward.daemon.exposures import Known, Phase
from qubesforward.daemon.sighting import Marks
from qubesforward.errors import InvalidRule, MalformedMessage
from qubesforward.model.rule import ForwardRule
from qubesforward.model.text import parse_rule

Place = tuple[str, str, ForwardRule]
"""Target, owner, and the rule without what may change under an open forward."""

_OPEN = frozenset((Happening.OPENED, Happening.FOUND, Happening.UNSURE))
_SHUT = frozenset((Happening.CLOSED, Happening.REFUSED))


@dataclass(slots=True)
class Record:
    """What is remembered of one forward.

    `rule` is as it was when last planned. `has_ended`: its end has been logged.
    """

    rule: ForwardRule
    known: Known = field(default_factory=Known)
    marks: Marks = field(default_factory=dict)
    has_ended: bool = False


def recall_records(untrusted_lines: Iterable[bytes]) -> dict[Place, Record]:
    """Return the last that the lines, newest first, say of every forward."""
    records: dict[Place, Record] = {}
    ended: set[Place] = set()
    for untrusted_line in untrusted_lines:
        try:
            event = decode_event(untrusted_line)
            rule = parse_rule(event.rule)
        except (MalformedMessage, InvalidRule):
            continue
        if not isinstance(rule, ForwardRule):
            continue
        place = (event.qube, event.owner or event.qube, rule.place)
        if event.kind is Happening.EXPIRED:
            ended.add(place)
        if place not in records and event.kind in _OPEN | _SHUT:
            has_ended = place in ended or event.kind in _SHUT
            records[place] = Record(rule, _know(event), has_ended=has_ended)
    return records


def _know(event: AuditEvent) -> Known:
    if event.kind in _OPEN:
        return Known(Phase.OPEN, path=event.path, spots=None)
    return Known(reason=event.reason)
