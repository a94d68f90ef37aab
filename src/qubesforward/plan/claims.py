# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has which port at which entrance of which hop: conflicts between forwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.hosts import Network, networks_overlap
from qubesforward.model.ports import PortRange

_Owner = TypeVar("_Owner")

_Key = tuple[str, str, str, int]
"""Hop, entrance, protocol, family."""


@dataclass(slots=True)
class _Claim(Generic[_Owner]):
    ports: PortRange
    src: Network
    is_self: bool
    owner: _Owner


@dataclass(slots=True)
class _Space(Generic[_Owner]):
    """The claims of one entrance: single ports by number, ranges in a list.

    With thousands of single ports and few ranges, a look-up costs a few steps.
    """

    single: dict[int, list[_Claim[_Owner]]] = field(default_factory=dict)
    ranges: list[_Claim[_Owner]] = field(default_factory=list)

    def near(self, ports: PortRange) -> Iterator[_Claim[_Owner]]:
        for claim in self.ranges:
            if claim.ports.overlaps(ports):
                yield claim
        if len(ports) <= len(self.single):
            numbers = [
                p for p in range(ports.first, ports.last + 1) if p in self.single
            ]
        else:
            numbers = [p for p in self.single if p in ports]
        for number in numbers:
            yield from self.single[number]


class Claims(Generic[_Owner]):
    """Ports taken so far; owners are whatever the caller names them by."""

    def __init__(self) -> None:
        self._spaces: dict[_Key, _Space[_Owner]] = {}

    def find_owner(self, hop: str, entry: Entry) -> _Owner | None:
        """Return who already has something that `entry` of `hop` needs."""
        space = self._spaces.get(_key(hop, entry))
        if space is None:
            return None
        is_self = entry.entrance is Entrance.SELF
        for claim in space.near(entry.ports):
            # Doors of a target are shared: `merge_doors` makes them one.
            if claim.is_self and is_self:
                continue
            if networks_overlap(claim.src, entry.src):
                return claim.owner
        return None

    def take(self, hop: str, entry: Entry, owner: _Owner) -> None:
        """Note that `owner` has what `entry` of `hop` needs."""
        space = self._spaces.setdefault(_key(hop, entry), _Space())
        is_self = entry.entrance is Entrance.SELF
        claim = _Claim(entry.ports, entry.src, is_self, owner)
        if len(entry.ports) == 1:
            space.single.setdefault(entry.ports.first, []).append(claim)
        else:
            space.ranges.append(claim)


def _key(hop: str, entry: Entry) -> _Key:
    # A qube that is a target and an inner hop gets both kinds of packets by the
    # same uplink and to the same address: only the port can tell them apart.
    entrance = Entrance.UPLINK if entry.entrance is Entrance.SELF else entry.entrance
    return hop, entrance, entry.proto, entry.family
