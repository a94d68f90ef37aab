# SPDX-License-Identifier: GPL-2.0-or-later
"""The entries of all that is open, by hop, as it comes and goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.rule import Proto
from qubesforward.plan.doors import Door
from qubesforward.plan.planner import Step, render_doors

_Counted = TypeVar("_Counted")

_DoorKey = tuple[str, Proto, int]
"""Target, protocol, family."""


@dataclass(slots=True)
class Opened:
    """What every hop must have, kept up to date for what changes only.

    Counted, because two may need the same: one that goes must not take it along.
    """

    counts: dict[str, dict[Entry, int]] = field(default_factory=dict)
    doors: dict[_DoorKey, dict[Door, int]] = field(default_factory=dict)
    merged: dict[_DoorKey, list[Entry]] = field(default_factory=dict)
    frozen: dict[str, frozenset[Entry]] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    stale_doors: set[_DoorKey] = field(default_factory=set)

    def add(self, steps: Iterable[Step], number: int = 1) -> None:
        """Add what is needed once more, or with -1 once less."""
        for step in steps:
            entry = step.entry
            if entry.entrance is Entrance.SELF:
                key = step.qube, entry.proto, entry.family
                door = Door(entry.ports, entry.src, entry.until)
                _count(self.doors.setdefault(key, {}), door, number)
                self.stale_doors.add(key)
            else:
                _count(self.counts.setdefault(step.qube, {}), entry, number)
                self.stale.add(step.qube)

    def freeze(self) -> dict[str, frozenset[Entry]]:
        """Return all entries by hop; a hop that did not change has the same object."""
        for key in self.stale_doors:
            qube, proto, _family = key
            here = self.counts.setdefault(qube, {})
            for entry in self.merged.pop(key, ()):
                _count(here, entry, -1)
            if needed := self.doors[key]:
                self.merged[key] = render_doors(proto, needed)
                for entry in self.merged[key]:
                    _count(here, entry, 1)
            else:
                del self.doors[key]
            self.stale.add(qube)
        for qube in self.stale:
            if self.counts[qube]:
                self.frozen[qube] = frozenset(self.counts[qube])
            else:
                del self.counts[qube]
                self.frozen.pop(qube, None)
        self.stale_doors.clear()
        self.stale.clear()
        return dict(self.frozen)


def _count(counts: dict[_Counted, int], one: _Counted, number: int) -> None:
    left = counts.get(one, 0) + number
    if left:
        counts[one] = left
    else:
        del counts[one]
