# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log: a file of our own, and the journal (design, section 9).

A log that cannot be written opens nothing new and keeps nothing from being closed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from qubesforward.daemon.audit_event import (
    AuditEvent,
    Happening,
    encode_event,
    select_events,
)
from qubesforward.daemon.audit_file import AuditFile
from qubesforward.daemon.recall import Place, Record, recall_records
from qubesforward.errors import ForwardError

_log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Events that are kept for a file that cannot be written; older ones are counted."""


class AuditUnavailable(ForwardError):
    """The log cannot be written, so nothing new may be opened."""


class Audit:
    """Writes events down, and remembers those that it could not write.

    `problem` is why the file cannot be written, empty while it can.
    """

    def __init__(self, file: AuditFile, now: Callable[[], float]) -> None:
        self._file = file
        self._now = now
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self.problem = ""

    def record(self, events: Sequence[AuditEvent]) -> None:
        """Log what has happened. A file that cannot be written is tried again."""
        for event in events:
            self._waiting.append(encode_event(self._stamp(event)))
            if len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self._dropped += 1
            _log.info("%s", _format_journal(event))
        self.retry()

    def require(self, events: Sequence[AuditEvent]) -> None:
        """Log what is to be done, or raise `AuditUnavailable`: then it must not be."""
        self.retry()
        lines = b"".join(encode_event(self._stamp(each)) for each in events)
        if self._waiting or not self._write(lines):
            raise AuditUnavailable(
                f"the audit log cannot be written, so nothing is opened:"
                f" {self.problem}; closing still works"
            )
        for event in events:
            _log.info("%s", _format_journal(event))

    def retry(self) -> None:
        """Write what waits to be written, if there is anything."""
        if not self._waiting:
            return
        lines = b"".join(self._waiting)
        if self._dropped:
            reason = f"{self._dropped} events before this could not be written"
            lines = encode_event(self._stamp(_lost(reason))) + lines
        if self._write(lines):
            self._waiting.clear()
            self._dropped = 0

    def _write(self, lines: bytes) -> bool:
        try:
            self._file.append(lines)
        except OSError as error:
            problem = f"{self._file.path}: {error.strerror}"
            if problem != self.problem:
                _log.error("audit log: %s", problem)
            self.problem = problem
            return False
        if self.problem:
            _log.warning("audit log: %s is written again", self._file.path)
        self.problem = ""
        return True

    def read(self, qube: str, since: float) -> tuple[list[AuditEvent], bool]:
        """Return what `select_events` does, of the file; raise OSError."""
        return select_events(self._file.read_backwards(), qube, since)

    def recall(self) -> dict[Place, Record]:
        """Return what `recall_records` does, of the file; raise OSError."""
        return recall_records(self._file.read_backwards())

    def _stamp(self, event: AuditEvent) -> AuditEvent:
        return replace(event, time=self._now())


def _lost(reason: str) -> AuditEvent:
    return AuditEvent(Happening.LOST, reason=reason)


def _format_journal(event: AuditEvent) -> str:
    words = [str(event.kind), event.qube, event.rule]
    words.append(event.by and f"by {event.by}")
    words.append("through " + " ".join(event.path) if event.path else "")
    line = " ".join(word for word in words if word)
    text = f"{line}: {event.reason}" if event.reason else line
    return "".join(c if " " <= c <= "~" else "?" for c in f"audit: {text}")
