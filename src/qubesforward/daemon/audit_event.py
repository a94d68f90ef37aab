# SPDX-License-Identifier: GPL-2.0-or-later
"""The events of the audit log, and their form: one JSON object a line.

JSON writes a line end inside a text as two characters, so whatever is in a comment
or a reason, one event is one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from qubesforward.errors import MalformedMessage

LONGEST_REASON = 300
"""Characters: some reasons are a hop's own words."""

LONGEST_LINE = 8192
"""Bytes of a line that is read: above the longest rule with the longest reason."""

MOST_EVENTS = 2000
MOST_BYTES = 1024 * 1024
"""What one answer holds at most, the newest events first taken."""


class Happening(StrEnum):
    """What happened: to a rule, to a forward as it is seen from outside, to us."""

    ADDED = "added"
    CHANGED = "changed"
    """Only its end or its comment: nothing was closed meanwhile."""
    REMOVED = "removed"
    CONFIRMED = "confirmed"
    """A copied list was taken as the qube's own."""
    EXPIRED = "expired"
    DENIED = "denied"
    """A call to change rules that was not followed."""

    REQUESTED = "requested"
    """A program of the qube asks for a port, and the user is asked."""
    GRANTED = "granted"
    """It gets one; the reason says who or what agreed."""
    DECLINED = "declined"
    """It gets none, by the user's word, or because nobody answered."""

    OPENED = "opened"
    """Every hop has acknowledged it."""
    FOUND = "found"
    """It is open, and was before anybody here could see it being opened."""
    UNSURE = "unsure"
    """It was open; whether it still is, a hop does not say."""
    CLOSED = "closed"
    REFUSED = "refused"
    """It is wanted and cannot be opened: a hop says no, or planning does."""

    STARTED = "started"
    STOPPED = "stopped"
    LOST = "lost"
    """Events that are not in the log; the reason says how many, or which."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event.

    `time` is seconds since 1970. `rule` is an API line, of a `DENIED` one what was
    asked for, cleaned. `owner` is the qube whose rule it is, where that is not
    `qube` itself. `origin` tells how the rule came to be, `by` who called. `path`
    are the hops that it leads through, the outermost first.
    """

    kind: Happening
    qube: str = ""
    rule: str = ""
    reason: str = ""
    origin: str = ""
    by: str = ""
    owner: str = ""
    path: tuple[str, ...] = ()
    time: float = 0.0


_TEXTS = ("qube", "rule", "reason", "origin", "by", "owner")


def clean_text(untrusted_text: str, longest: int = LONGEST_REASON) -> str:
    """Return at most `longest` characters, printable ASCII only."""
    cut = untrusted_text[:longest]
    return "".join(c if " " <= c <= "~" else "?" for c in cut)


def encode_event(event: AuditEvent) -> bytes:
    """Write an event as a line, with its line end; what is empty is left out."""
    reason = clean_text(event.reason)
    fields = describe_event(replace(event, reason=reason))
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def describe_event(event: AuditEvent) -> dict[str, Any]:
    """Return the JSON object of an event; the time is UTC, as ISO 8601 has it."""
    moment = datetime.fromtimestamp(event.time, UTC).isoformat(timespec="milliseconds")
    fields: dict[str, Any] = {
        "time": moment.replace("+00:00", "Z"),
        "event": str(event.kind),
    }
    fields |= {name: text for name in _TEXTS if (text := getattr(event, name))}
    if event.path:
        fields["path"] = list(event.path)
    return fields


def decode_event(untrusted_line: bytes) -> AuditEvent:
    """Read a line; raise `MalformedMessage` for one that is no event."""
    if len(untrusted_line) > LONGEST_LINE:
        raise MalformedMessage(f"audit log: a line of over {LONGEST_LINE} bytes")
    try:
        untrusted = json.loads(untrusted_line)
        kind = Happening(untrusted["event"])
        time = datetime.fromisoformat(untrusted["time"]).timestamp()
        path = tuple(untrusted.get("path", ()))
        texts = {name: untrusted.get(name, "") for name in _TEXTS}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedMessage("audit log: a line that is no event") from error
    if not all(isinstance(text, str) for text in (*texts.values(), *path)):
        raise MalformedMessage("audit log: a field that is no text")
    return AuditEvent(kind, path=path, time=time, **texts)


def select_events(
    untrusted_lines: Iterable[bytes], qube: str, since: float
) -> tuple[list[AuditEvent], bool]:
    """Take the newest events of a qube (empty: of all), not older than `since`.

    The lines come newest first, the events go out oldest first. Also returns
    whether there are more than one answer holds. What is no event is passed over.
    """
    marker = json.dumps(qube).encode("ascii")
    found: list[AuditEvent] = []
    size = 0
    for untrusted_line in untrusted_lines:
        if qube and marker not in untrusted_line:
            continue
        try:
            event = decode_event(untrusted_line)
        except MalformedMessage:
            continue
        # The clock may have been set: an older line can be of a later time.
        if event.time < since or (qube and event.qube != qube):
            continue
        size += len(untrusted_line)
        if len(found) >= MOST_EVENTS or size > MOST_BYTES:
            return found[::-1], True
        found.append(event)
    return found[::-1], False
