# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the wanted entries this qube applies, and why not the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush

from qubesforward.model.entry import Entrance, Entry
from qubesforward.nft.overlaps import Occupied
from qubesforward.nft.refusals import Surroundings, find_refusal

FindRefusal = Callable[[Entry, Surroundings], str | None]
"""Says why a qube cannot have an entry whatever else it has, None if it can."""


class Selection:
    """The entries that are applied, by ID, and the reasons of those refused.

    Kept up to date for what changed only, so that one more entry costs the same
    beside ten thousand. An entry whose time is over is neither applied nor refused:
    dom0 knows what time it is. `bypasses` and `doors` count the applied entries that
    may go past a tunnel, and those of a target.
    """

    def __init__(self, find_refusal: FindRefusal = find_refusal) -> None:
        self._find_refusal = find_refusal
        self.accepted: dict[str, Entry] = {}
        self.refused: dict[str, str] = {}
        self.bypasses = 0
        self.doors = 0
        self._occupied = Occupied()
        self._barred: dict[str, tuple[Entry, str]] = {}
        self._ends: list[tuple[int, str]] = []

    def update(
        self,
        wanted: Mapping[str, Entry],
        touched: Iterable[str],
        here: Surroundings,
        now: float,
    ) -> dict[str, Entry | None]:
        """Decide again on `touched` IDs, on those refused and on those now over.

        Returns what was applied before, None for nothing, for each ID for which that
        changed.
        """
        ids = {*touched, *self.refused, *self._take_due(now)}
        before = {entry_id: self.accepted.get(entry_id) for entry_id in ids}
        # All are let go first, so that what is free afterwards does not depend on
        # the order; then those that have their place keep it before others get it.
        for entry_id in ids:
            self._forget(entry_id)
        for entry_id in sorted(ids, key=lambda one: (before[one] is None, one)):
            entry = wanted.get(entry_id)
            if entry is not None:
                self._decide(entry_id, entry, here, now)
        return {
            entry_id: old
            for entry_id, old in before.items()
            if old is not self.accepted.get(entry_id)
        }

    def bar(self, entry_id: str, reason: str) -> None:
        """Refuse an applied entry because the kernel does, until it is unbarred."""
        entry = self.accepted.get(entry_id)
        if entry is not None:
            self._forget(entry_id)
            self._barred[entry_id] = entry, reason
            self.refused[entry_id] = reason

    def unbar(self) -> None:
        """Let what the kernel refused be tried again."""
        self._barred.clear()

    def is_live(self, mark: int) -> bool:
        """Whether connections with this mark belong to an applied entry."""
        return self._occupied.has_mark(mark)

    def find_next_end(self) -> int | None:
        """Return the earliest time at which an applied entry ends, None if never."""
        while self._ends:
            until, entry_id = self._ends[0]
            entry = self.accepted.get(entry_id)
            if entry is not None and entry.until == until:
                return until
            heappop(self._ends)
        return None

    def _take_due(self, now: float) -> list[str]:
        due = []
        while (until := self.find_next_end()) is not None and until <= now:
            due.append(heappop(self._ends)[1])
        return due

    def _decide(
        self, entry_id: str, entry: Entry, here: Surroundings, now: float
    ) -> None:
        if entry.until is not None and entry.until <= now:
            return
        reason = (
            self._find_bar(entry_id, entry)
            or self._find_refusal(entry, here)
            or self._occupied.find_obstacle(entry_id, entry)
        )
        if reason:
            self.refused[entry_id] = reason
        else:
            self._accept(entry_id, entry)

    def _find_bar(self, entry_id: str, entry: Entry) -> str | None:
        barred, reason = self._barred.get(entry_id, (None, ""))
        return reason if barred is entry else None

    def _accept(self, entry_id: str, entry: Entry) -> None:
        self.accepted[entry_id] = entry
        self._occupied.take(entry_id, entry)
        self.bypasses += entry.bypass
        self.doors += entry.entrance is Entrance.SELF
        if entry.until is not None:
            heappush(self._ends, (entry.until, entry_id))

    def _forget(self, entry_id: str) -> None:
        self.refused.pop(entry_id, None)
        entry = self.accepted.pop(entry_id, None)
        if entry is not None:
            self._occupied.release(entry_id, entry)
            self.bypasses -= entry.bypass
            self.doors -= entry.entrance is Entrance.SELF
