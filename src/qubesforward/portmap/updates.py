# SPDX-License-Identifier: GPL-2.0-or-later
"""What clients are told unasked of mappings that ended: RFC 6887, 14.2.

Each of these datagrams is sent three times, since any of them may be lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from qubesforward.portmap.mapping import Key
from qubesforward.portmap.table import Withdrawn

_PAUSES = (0.25, 0.5)
"""Seconds between the three."""

_MOST = 1024
"""Mappings that are told of at once; of more, those that came last."""


@dataclass(slots=True)
class _Update:
    event: Withdrawn
    sent: int
    due: float


class Updates:
    """When to tell of what again. The first time is the caller's."""

    def __init__(self) -> None:
        self._updates: dict[Key, _Update] = {}

    def __len__(self) -> int:
        """Return of how many mappings is to be told."""
        return len(self._updates)

    def put(self, event: Withdrawn, now: float) -> None:
        """Take in that it was told for the first time."""
        self._updates.pop(event.key, None)
        self._updates[event.key] = _Update(event, 1, now + _PAUSES[0])
        if len(self._updates) > _MOST:
            del self._updates[next(iter(self._updates))]

    def drop(self, key: Key) -> None:
        """Take in that the client speaks of this key again: it need not be told."""
        self._updates.pop(key, None)

    def get_timer(self) -> float | None:
        """Return when something is to be told again, None for never."""
        return min((each.due for each in self._updates.values()), default=None)

    def take(self, now: float) -> list[Withdrawn]:
        """Return what is to be told again now."""
        due = [each for each in self._updates.values() if each.due <= now]
        for each in due:
            each.sent += 1
            if each.sent > len(_PAUSES):
                del self._updates[each.event.key]
            else:
                each.due = now + _PAUSES[each.sent - 1]
        return [each.event for each in due]
