# SPDX-License-Identifier: GPL-2.0-or-later
"""How much has come through, over time: from counters that are looked at now and then.

Moments are in seconds, of any clock that only goes forward.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping

MOST = 60
"""Looks that are remembered: five minutes, if they are five seconds apart."""


class Traffic:
    """Rates of bytes per second by key."""

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[float, int]] = {}
        self._rates: dict[Hashable, deque[float]] = {}

    def note(self, counters: Mapping[Hashable, int], now: float) -> None:
        """Take in the bytes that all counters are at now; forget all other keys.

        Of looks within the same second the first counts. A counter that is lower than
        before has begun anew.
        """
        for key in self._last.keys() - counters.keys():
            del self._last[key]
            self._rates.pop(key, None)
        for key, size in counters.items():
            self._note_one(key, size, now)

    def _note_one(self, key: Hashable, size: int, now: float) -> None:
        if key not in self._last:
            self._last[key] = now, size
            return
        before, last = self._last[key]
        if now - before < 1:
            return
        grown = size - last if size >= last else size
        rates = self._rates.setdefault(key, deque(maxlen=MOST))
        rates.append(grown / (now - before))
        self._last[key] = now, size

    def rates(self, key: Hashable) -> tuple[float, ...]:
        """Return the rates of a key, the latest last."""
        return tuple(self._rates.get(key, ()))
