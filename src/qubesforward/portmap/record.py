# SPDX-License-Identifier: GPL-2.0-or-later
"""What a table of mappings knows of one key."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from qubesforward.portmap.mapping import Holder, Network, Reason, Wish


class State(StrEnum):
    """Of one key; a key without a record is in none."""

    ASKED = "asked"
    HELD = "held"
    RENEWING = "renewing"
    DENIED = "denied"


@dataclass
class Lease:
    """What one holder wants, what it was granted last, and until when it holds."""

    wish: Wish
    end: float = 0.0
    granted: Wish | None = None


@dataclass
class Record:
    """One key: what is held or asked.

    `end`: when the grant, or the denial, ends. `sources`: to whom the mapping is open.
    `asked`: to whom it would be by the question that is open. `settled`: when the last
    question was answered, `asked_for`: the lifetime that it was about. `barred`: until
    then no longer or wider mapping is asked for, because that was denied. `outer` of a
    denied one is the only port that it was asked for at, and that was taken.
    `is_static`: it is there without anybody's asking, and stays when nobody holds it.
    """

    state: State
    leases: dict[Holder, Lease] = field(default_factory=dict)
    outer: int = 0
    end: float = 0.0
    settled: float = float("-inf")
    asked_for: int = 0
    reason: Reason = Reason.DENIED
    sources: frozenset[Network] = field(default_factory=frozenset)
    asked: frozenset[Network] = field(default_factory=frozenset)
    barred: float = float("-inf")
    is_static: bool = False

    @property
    def is_open(self) -> bool:
        """Whether there is a mapping."""
        return self.state in (State.HELD, State.RENEWING)

    @property
    def ends(self) -> list[float]:
        """When it ends, or a lease of it; nothing does while somebody is asked."""
        if self.state is State.DENIED:
            return [self.end]
        leases = self.leases.values() if self.state is State.HELD else ()
        return [lease.end for lease in leases]

    @property
    def wanted_sources(self) -> frozenset[Network]:
        """Who may connect if all holders get their will; empty for anyone."""
        return _join([lease.wish.sources for lease in self.leases.values()])

    def sources_with(self, wish: Wish) -> frozenset[Network]:
        """Return who may connect if the others and this wish get their will."""
        others = [
            lease.wish.sources
            for holder, lease in self.leases.items()
            if holder != wish.holder
        ]
        return _join([*others, wish.sources])

    def bars(self, wish: Wish) -> bool:
        """Whether a denial is about this wish too: that of one port is of no other."""
        if self.reason is not Reason.CONFLICT or not self.outer:
            return True
        return wish.exact and wish.outer == self.outer


def _join(each: list[frozenset[Network]]) -> frozenset[Network]:
    """Unite the sources of several wishes; one of them that is empty means anyone."""
    return frozenset().union(*each) if all(each) else frozenset()
