# SPDX-License-Identifier: GPL-2.0-or-later
"""What callers ask of the rules, for the audit log, and the log for callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from qubesforward.daemon.allowance import Allowance
from qubesforward.daemon.audit import Audit
from qubesforward.daemon.audit_event import (
    AuditEvent,
    Happening,
    clean_text,
    describe_event,
)
from qubesforward.daemon.rule_changes import RuleChange, list_changes
from qubesforward.daemon.status import Fields
from qubesforward.errors import Unavailable
from qubesforward.model.rule import ForwardRule
from qubesforward.model.text import format_rule
from qubesforward.model.values import parse_moment
from qubesforward.qubes.admin_server import Call

_CHANGING = frozenset(
    f"admin.vm.firewall.{name}" for name in ("Set", "Add", "Remove", "Confirm")
)
_TRUSTED = "dom0"
_LONGEST_ASKED = 300


class Ledger:
    """Logs calls around what they do."""

    def __init__(self, audit: Audit, now: Callable[[], float]) -> None:
        self._audit = audit
        self._now = now
        self._allowance = Allowance()

    @contextmanager
    def changing(
        self,
        call: Call,
        before: Sequence[ForwardRule],
        after: Sequence[ForwardRule],
        *,
        is_confirmed: bool = True,
    ) -> Iterator[None]:
        """Log a change of a qube's forwards, which the body makes.

        `is_confirmed` False: those of `before` were a copy, and not active. What
        opens something is written down first. If it cannot be, this raises
        `AuditUnavailable` and the body is not run; closing is logged when done.
        """
        changes = list_changes(before, after, is_confirmed=is_confirmed)
        opening = [_describe(call, each) for each in changes if each.opens]
        if opening:
            self._audit.require(opening)
        yield
        self._audit.record(
            [_describe(call, each) for each in changes if not each.opens]
        )

    def note_denied(self, call: Call, reason: str) -> None:
        """Log a call that was to change forwards and is answered by an error."""
        is_about = call.arg == "forward" or b"action=forward" in call.payload
        if call.method not in _CHANGING or not is_about:
            return
        if call.source != _TRUSTED:
            now = self._now()
            if not self._allowance.count(call.source, now):
                return
            self._allowance.take(call.source, now)
        untrusted_asked = call.payload[:_LONGEST_ASKED].decode("ascii", "replace")
        name = call.method.rpartition(".")[2]
        asked = clean_text(untrusted_asked.strip("\n").replace("\n", "; "))
        event = AuditEvent(
            Happening.DENIED,
            qube=call.dest,
            rule=asked,
            reason=f"{name}: {reason}",
            by=call.source,
        )
        self._audit.record([event])

    @property
    def problem(self) -> str:
        """Why the log cannot be written, empty if it can."""
        self._audit.retry()
        return self._audit.problem

    async def read(self, call: Call) -> Fields:
        """Answer `Log+forward`; the payload is seconds since 1970, or nothing."""
        untrusted_since = call.payload[:40].decode("ascii", "replace")
        since = parse_moment(untrusted_since, "since") if untrusted_since else 0
        qube = "" if call.dest == _TRUSTED else call.dest
        try:
            events, more = await asyncio.to_thread(self._audit.read, qube, since)
        except OSError as error:
            raise Unavailable(
                f"the audit log cannot be read: {error.strerror}"
            ) from error
        described = [describe_event(event) for event in events]
        return {"events": described, "more": more, "problem": self.problem}


def _describe(call: Call, change: RuleChange) -> AuditEvent:
    return AuditEvent(
        change.kind,
        qube=call.dest,
        rule=format_rule(change.rule),
        reason=change.reason,
        origin="user",
        by=call.source,
    )
