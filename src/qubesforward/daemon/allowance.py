# SPDX-License-Identifier: GPL-2.0-or-later
"""How many events a qube may cause by its word alone.

The log has a size, so whoever could fill it at will could have it forget.
"""

from __future__ import annotations

BURST = 1000
"""Events at once: a hop that refuses every forward of a large computer."""

SECONDS_EACH = 600.0
"""After which one more may be caused: at that pace, the log lasts for months."""


class Allowance:
    """Counts for each qube by itself. Times are in seconds, of any one clock."""

    def __init__(self, burst: int = BURST, seconds_each: float = SECONDS_EACH) -> None:
        self._burst = burst
        self._seconds_each = seconds_each
        self._left: dict[str, tuple[float, float]] = {}

    def count(self, qube: str, now: float) -> int:
        """Return how many events of this qube may be logged now, at most `burst`."""
        left, since = self._left.get(qube, (float(self._burst), now))
        left += max(now - since, 0.0) / self._seconds_each
        self._left[qube] = (min(left, float(self._burst)), now)
        return int(self._left[qube][0])

    def take(self, qube: str, now: float, number: int = 1) -> None:
        """Note that events of this qube are being logged."""
        self.count(qube, now)
        left, since = self._left[qube]
        self._left[qube] = (max(left - number, 0.0), since)
