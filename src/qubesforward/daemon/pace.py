# SPDX-License-Identifier: GPL-2.0-or-later
"""How soon what was granted is planned."""

from __future__ import annotations

_SOON = 0.01
_REST = 10.0
_LONGEST = 1.0
"""Seconds until what was granted is planned, and how often as long as that took there
is none, but never longer than this: a program that asks for a thousand ports is planned
a few times."""


class Pace:
    """Says when to commit. All times are of one clock, in seconds."""

    def __init__(self) -> None:
        self._committed: float | None = None
        self._rests_until = 0.0

    def delay(self, now: float) -> float:
        """Return after how many seconds what is granted now is to be committed."""
        return max(_SOON, self._rests_until - now)

    def note_commit(self, now: float) -> None:
        """Take in that a pass has been asked for."""
        self._committed = now

    def note_pass(self, now: float) -> None:
        """Take in the end of a pass, of whatever cause."""
        if self._committed is None:
            return
        took = now - self._committed
        self._rests_until = now + min(_REST * took, _LONGEST)
        self._committed = None
