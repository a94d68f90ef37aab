# SPDX-License-Identifier: GPL-2.0-or-later
"""Which entry has which ports at which entrance: no packet may match two.

Dom0 plans without overlaps, so this is for entries that are wrong. The kernel would
refuse some of them and take others in an order that nobody chose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.hosts import networks_overlap
from qubesforward.nft.forwards import mark_of
from qubesforward.nft.marks import DOOR_MARKS

_Key = tuple[str, str, int]
"""Entrance, protocol, family."""

_WayOut = tuple[str, object, int]
"""Protocol, address or family, port: an inner socket, or an outer port."""

_Claim = tuple[str, Entry]
"""An ID and its entry."""

_BUCKET = 256
"""Ports to a bucket: of ranges, only those in the same buckets are compared."""


@dataclass(slots=True)
class _Space:
    single: dict[int, tuple[_Claim, ...]] = field(default_factory=dict)
    ranges: dict[int, dict[str, Entry]] = field(default_factory=dict)

    def near(self, entry: Entry) -> Iterator[str]:
        ports = entry.ports
        for bucket in _buckets(entry):
            for entry_id, other in self.ranges.get(bucket, {}).items():
                if _overlap(entry, other):
                    yield entry_id
        numbers = range(ports.first, ports.last + 1)
        few = numbers if len(ports) <= len(self.single) else list(self.single)
        for number in few:
            for entry_id, other in self.single.get(number, ()):
                if _overlap(entry, other):
                    yield entry_id

    def add(self, entry_id: str, entry: Entry) -> None:
        if len(entry.ports) == 1:
            port = entry.ports.first
            self.single[port] = (*self.single.get(port, ()), (entry_id, entry))
            return
        for bucket in _buckets(entry):
            self.ranges.setdefault(bucket, {})[entry_id] = entry

    def remove(self, entry_id: str, entry: Entry) -> None:
        if len(entry.ports) == 1:
            port = entry.ports.first
            rest = tuple(one for one in self.single[port] if one[0] != entry_id)
            if rest:
                self.single[port] = rest
            else:
                del self.single[port]
            return
        for bucket in _buckets(entry):
            del self.ranges[bucket][entry_id]


class Occupied:
    """The ports and marks that applied entries have."""

    def __init__(self) -> None:
        self._spaces: dict[_Key, _Space] = {}
        self._marks: dict[int, str] = {}
        self._ways_out: dict[_WayOut, str] = {}

    def find_obstacle(self, entry_id: str, entry: Entry) -> str | None:
        """Say why this entry cannot stand beside those taken, None if it can."""
        mark = mark_of(entry_id)
        if mark in DOOR_MARKS:
            return f"{entry_id}: an ID must not end in these digits"
        owner = self._marks.get(mark)
        if owner is not None and owner != entry_id:
            return f"{entry_id}: too much like the ID {owner}"
        space = self._spaces.get(_key(entry))
        if space is not None:
            for other_id in space.near(entry):
                if other_id != entry_id:
                    return f"ports={entry.ports}: overlaps {other_id}"
        for way in _ways_out(entry):
            other_id = self._ways_out.get(way, entry_id)
            if other_id != entry_id:
                return f"mapped=yes: what is sent is mapped by {other_id} already"
        return None

    def has_mark(self, mark: int) -> bool:
        """Whether an applied entry has this mark."""
        return mark in self._marks

    def take(self, entry_id: str, entry: Entry) -> None:
        """Note that this entry is applied."""
        self._marks[mark_of(entry_id)] = entry_id
        self._spaces.setdefault(_key(entry), _Space()).add(entry_id, entry)
        self._ways_out |= dict.fromkeys(_ways_out(entry), entry_id)

    def release(self, entry_id: str, entry: Entry) -> None:
        """Note that this entry, which was taken, is applied no longer."""
        del self._marks[mark_of(entry_id)]
        self._spaces[_key(entry)].remove(entry_id, entry)
        for way in _ways_out(entry):
            del self._ways_out[way]


def _buckets(entry: Entry) -> range:
    return range(entry.ports.first // _BUCKET, entry.ports.last // _BUCKET + 1)


def _overlap(one: Entry, other: Entry) -> bool:
    return one.ports.overlaps(other.ports) and networks_overlap(one.src, other.src)


def _ways_out(entry: Entry) -> Iterator[_WayOut]:
    """Give what no two mapped entries can have: where is from, and what it becomes.

    Entries of different sources may share an outer port, but then only one of them
    can say what it leads to when it is a source itself.
    """
    if entry.mapped and entry.toports is not None:
        yield entry.proto, entry.to, entry.toports.first
        yield entry.proto, entry.family, entry.ports.first


def _key(entry: Entry) -> _Key:
    # What a target lets in and what an inner hop forwards comes in by the same
    # uplink to the same address: only the port can tell them apart.
    is_self = entry.entrance is Entrance.SELF
    entrance = Entrance.UPLINK if is_self else entry.entrance
    return entrance, entry.proto, entry.family
