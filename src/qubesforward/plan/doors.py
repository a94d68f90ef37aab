# SPDX-License-Identifier: GPL-2.0-or-later
"""The input openings of a target, made disjoint.

Two forwards may lead to the same inner port, with sources that overlap. Each kernel
element must be the only one that matches, and must live as long as the longest of
the forwards that need it; so what they need is merged here, before it is an entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

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
        # Most doors are alone at their ports; with thousands, that has to be quick.
        needed = cluster if len(cluster) == 1 else _without_contained(cluster)
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


def _is_subnet(inner: Network, outer: Network) -> bool:
    return networks_overlap(inner, outer) and inner.prefixlen >= outer.prefixlen


def _supernets(network: Network) -> Iterator[Network]:
    """Yield the network and all that contain it, the widest last."""
    yield network
    while network.prefixlen:
        network = network.supernet()
        yield network


def _without_contained(cluster: list[Door]) -> list[Door]:
    # What may contain a door comes before it, so that one look back is enough; and
    # by the networks that could contain it, since thousands may share one port.
    widest_first = sorted(
        dict.fromkeys(cluster),
        key=lambda door: (-len(door.ports), door.src.prefixlen, -_end(door)),
    )
    kept: dict[PortRange, dict[Network, Door]] = {}
    for door in widest_first:
        around = [found for ports, found in kept.items() if _holds(ports, door.ports)]
        if not any(
            network in found and _outlives(found[network].until, door.until)
            for network in _supernets(door.src)
            for found in around
        ):
            kept.setdefault(door.ports, {})[door.src] = door
    return [door for found in kept.values() for door in found.values()]


def _end(door: Door) -> float:
    return float("inf") if door.until is None else door.until


def _holds(outer: PortRange, inner: PortRange) -> bool:
    return outer.first <= inner.first and inner.last <= outer.last


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
    apart: list[tuple[Network, int | None]] = []
    meeting = _meeting_sources(doors)
    for door in sorted(doors, key=_end, reverse=True):
        if door.src not in meeting:
            apart.append((door.src, door.until))
            continue
        pieces = [door.src]
        for network, _until in taken:
            pieces = [rest for piece in pieces for rest in _subtract(piece, network)]
        taken += [(piece, door.until) for piece in pieces]
    return apart + taken


def _meeting_sources(doors: list[Door]) -> set[Network]:
    """Return the sources that contain another, or are in another, or stand twice."""
    counted = Counter(door.src for door in doors)
    meeting = {network for network, count in counted.items() if count > 1}
    for network in counted:
        for outer in islice(_supernets(network), 1, None):
            if outer in counted:
                meeting |= {network, outer}
    return meeting


def _subtract(piece: Network, network: Network) -> list[Network]:
    if not networks_overlap(piece, network):
        return [piece]
    if _is_subnet(piece, network):
        return []
    return list(piece.address_exclude(network))  # type: ignore[arg-type]
