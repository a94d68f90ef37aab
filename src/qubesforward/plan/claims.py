# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has which port at which entrance of which hop: conflicts between forwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.hosts import Network, networks_overlap
from qubesforward.model.ports import PortRange

_Owner = TypeVar("_Owner")

_Key = tuple[str, str, str, int]
"""Hop, entrance, protocol, family."""

_BUCKET = 256
"""Ports to a bucket: of ranges, only those in the same buckets are compared."""


@dataclass(slots=True, eq=False)
class _Claim(Generic[_Owner]):
    ports: PortRange
    src: Network
    is_self: bool
    owner: _Owner
    number: int


@dataclass(slots=True)
class _Space(Generic[_Owner]):
    """The claims of one entrance: single ports by number, ranges by buckets.

    With thousands of single ports and of short ranges, a look-up costs a few steps.
    """

    single: dict[int, list[_Claim[_Owner]]] = field(default_factory=dict)
    ranges: dict[int, list[_Claim[_Owner]]] = field(default_factory=dict)

    def near(self, ports: PortRange) -> Iterator[_Claim[_Owner]]:
        """Give every claim on any of the ports."""
        if self.ranges:
            yield from self._ranges_near(ports)
        if len(ports) <= len(self.single):
            numbers: Iterable[int] = range(ports.first, ports.last + 1)
        else:
            numbers = [number for number in self.single if number in ports]
        for number in numbers:
            yield from self.single.get(number, ())

    def _ranges_near(self, ports: PortRange) -> Iterable[_Claim[_Owner]]:
        # A range is in many buckets, and is given once.
        found = {
            claim.number: claim
            for bucket in _buckets(ports)
            for claim in self.ranges.get(bucket, ())
            if claim.ports.overlaps(ports)
        }
        return found.values()

    def places(self, ports: PortRange) -> Iterator[list[_Claim[_Owner]]]:
        """Give every list that a claim on these ports is kept in."""
        if ports.first == ports.last:
            yield self.single.setdefault(ports.first, [])
        else:
            for bucket in _buckets(ports):
                yield self.ranges.setdefault(bucket, [])


class Claims(Generic[_Owner]):
    """Ports taken so far; owners are whatever the caller names them by."""

    def __init__(self) -> None:
        self._spaces: dict[_Key, _Space[_Owner]] = {}
        self._number = 0

    def find_owner(self, hop: str, entry: Entry) -> _Owner | None:
        """Return who was the first to take something that `entry` of `hop` needs."""
        claims = self._find(hop, entry)
        first = min(claims, key=lambda claim: claim.number, default=None)
        return None if first is None else first.owner

    def find_owners(self, hop: str, entry: Entry) -> list[_Owner]:
        """Return everybody who has something that `entry` of `hop` needs."""
        return [claim.owner for claim in self._find(hop, entry)]

    def _find(self, hop: str, entry: Entry) -> Iterator[_Claim[_Owner]]:
        space = self._spaces.get(_key(hop, entry))
        if space is None:
            return
        is_self = entry.entrance is Entrance.SELF
        for claim in space.near(entry.ports):
            # Doors of a target are shared: `merge_doors` makes them one.
            if claim.is_self and is_self:
                continue
            if networks_overlap(claim.src, entry.src):
                yield claim

    def take(self, hop: str, entry: Entry, owner: _Owner) -> None:
        """Note that `owner` has what `entry` of `hop` needs."""
        self._number += 1
        is_self = entry.entrance is Entrance.SELF
        claim = _Claim(entry.ports, entry.src, is_self, owner, self._number)
        space = self._spaces.setdefault(_key(hop, entry), _Space())
        for listed in space.places(entry.ports):
            listed.append(claim)

    def release(self, hop: str, entry: Entry, owner: _Owner) -> None:
        """Note that `owner`, who took it, has what `entry` needs no longer."""
        space = self._spaces[_key(hop, entry)]
        for listed in space.places(entry.ports):
            for place, claim in enumerate(listed):
                if claim.owner is owner and claim.src == entry.src:
                    del listed[place]
                    break


def _buckets(ports: PortRange) -> range:
    return range(ports.first // _BUCKET, ports.last // _BUCKET + 1)


def _key(hop: str, entry: Entry) -> _Key:
    # A qube that is a target and an inner hop gets both kinds of packets by the
    # same uplink and to the same address: only the port can tell them apart.
    entrance = Entrance.UPLINK if entry.entrance is Entrance.SELF else entry.entrance
    return hop, entrance, entry.proto, entry.family
