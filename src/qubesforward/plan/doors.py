# SPDX-License-Identifier: GPL-2.0-or-later
"""The input openings of a target, made disjoint.

Two forwards may lead to the same inner port, with sources that overlap. Each kernel
element must be the only one that matches, and must live as long as the longest of
the forwards that need it; so what they need is merged here, before it is an entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from qubesforward.model.hosts import Network, networks_overlap
from qubesforward.model.ports import PortRange


@dataclass(frozen=True, slots=True)
class Door:
    """What must be open: inner ports, for whom, until when (None: no end)."""

    ports: PortRange
    src: Network
    until: int | None


def merge_doors(doors: Iterable[Door]) -> list[Door]:
    """Cover what `doors` cover, with no overlaps; ends are the latest of each place.

    All of one protocol and one family. Doors that overlap no other come back as
    they are, so that one more forward leaves the doors of the others alone.
    """
    merged: list[Door] = []
    for cluster in _clusters(doors):
        needed = _without_contained(cluster)
        if len(needed) == 1:
            merged += needed
        else:
            merged += _split(needed)
    return merged


def _clusters(doors: Iterable[Door]) -> Iterator[list[Door]]:
    """Group doors whose ports overlap, directly or through others."""
    cluster: list[Door] = []
    last = 0
    for door in sorted(doors, key=lambda door: door.ports):
        if cluster and door.ports.first > last:
            yield cluster
            cluster = []
            last = 0
        cluster.append(door)
        last = max(last, door.ports.last)
    if cluster:
        yield cluster


def _outlives(one: int | None, other: int | None) -> bool:
    return one is None or (other is not None and one >= other)


def _contains(outer: Door, inner: Door) -> bool:
    return (
        outer.ports.first <= inner.ports.first
        and inner.ports.last <= outer.ports.last
        and _is_subnet(inner.src, outer.src)
        and _outlives(outer.until, inner.until)
    )


def _is_subnet(inner: Network, outer: Network) -> bool:
    return networks_overlap(inner, outer) and inner.prefixlen >= outer.prefixlen


def _without_contained(cluster: list[Door]) -> list[Door]:
    kept: list[Door] = []
    for door in dict.fromkeys(cluster):
        if any(_contains(other, door) for other in kept):
            continue
        kept = [other for other in kept if not _contains(door, other)]
        kept.append(door)
    return kept


def _split(cluster: list[Door]) -> Iterator[Door]:
    edges = sorted(
        {door.ports.first for door in cluster}
        | {door.ports.last + 1 for door in cluster}
    )
    for first, end in pairwise(edges):
        here = [door for door in cluster if first in door.ports]
        for src, until in _split_sources(here):
            yield Door(PortRange(first, end - 1), src, until)


def _split_sources(doors: list[Door]) -> list[tuple[Network, int | None]]:
    """Give every source address to the door that lives longest there."""
    taken: list[tuple[Network, int | None]] = []
    longest_first = sorted(
        doors, key=lambda door: (door.until is not None, -(door.until or 0))
    )
    for door in longest_first:
        pieces = [door.src]
        for network, _until in taken:
            pieces = [rest for piece in pieces for rest in _subtract(piece, network)]
        taken += [(piece, door.until) for piece in pieces]
    return taken


def _subtract(piece: Network, network: Network) -> list[Network]:
    if not networks_overlap(piece, network):
        return [piece]
    if _is_subnet(piece, network):
        return []
    return list(piece.address_exclude(network))  # type: ignore[arg-type]
