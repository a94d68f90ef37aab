# SPDX-License-Identifier: GPL-2.0-or-later
"""How soon what was granted is planned."""

from __future__ import annotations

_QUIET = 0.02
_LONGEST = 1.0
"""Seconds without a further change after which all of them are planned together, and
how long the first of them waits at most: a program that asks for a thousand ports in a
row is planned once or twice, and one that asks for one does not notice."""


class Pace:
    """Says when to commit. All times are of one clock, in seconds."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0

    def note_change(self, now: float) -> None:
        """Take in that there is something to plan."""
        if self._first is None:
            self._first = now
        self._last = now

    def delay(self, now: float) -> float:
        """Return after how many seconds to commit: 0 or less for now."""
        if self._first is None:
            return _QUIET
        return min(self._last + _QUIET, self._first + _LONGEST) - now

    def note_commit(self) -> None:
        """Take in that what has changed until now is being planned."""
        self._first = None
