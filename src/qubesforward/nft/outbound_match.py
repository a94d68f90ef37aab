# SPDX-License-Identifier: GPL-2.0-or-later
"""What the outbound rules of one source match, with names and DNS servers filled in.

Both the nft commands and the question whether a running connection is still
permitted are derived from the same `Match` list, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Network,
    IPv6Network,
    collapse_addresses,
    ip_network,
)
from itertools import groupby

from qubesforward.model.hosts import Address, Network
from qubesforward.model.ports import LAST_PORT
from qubesforward.model.rule import Action, DstHost, OutboundRule, Proto

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
"""Protocol numbers (IANA), as netfilter reports them."""

DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Match:
    """Packets that all the given parts match are accepted, or else rejected.

    `to` holds networks of one family that do not overlap; `asked` the addresses
    that the client itself dialled; `protos` protocol numbers, ascending, empty for
    any; `ports` is inclusive. None matches everything.
    """

    accept: bool
    to: tuple[Network, ...] | None = None
    asked: tuple[Address, ...] | None = None
    protos: tuple[int, ...] = ()
    ports: tuple[int, int] | None = None
    icmptype: int | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """One connection of a source: `asked` is what it dialled, `to` where it goes.

    They differ where the hop translates the destination. `port` is the translated
    destination port, `icmptype` the type of the first packet; None where the
    protocol has none.
    """

    proto: int
    asked: Address
    to: Address
    port: int | None = None
    icmptype: int | None = None


def plan_matches(
    rules: Iterable[OutboundRule],
    family: int,
    names: Mapping[str, Collection[Address]],
    dns: Collection[Address],
) -> list[Match]:
    """Return what `rules` match in one family (4 or 6), in their order.

    `names` holds the addresses known for each name, `dns` the DNS servers of the
    source; both may mix families. A rule that can match nothing in this family is
    left out. Neighbours with the same verdict that differ only in the destination
    become one match.
    """
    matches = (_plan_match(rule, family, names, dns) for rule in rules)
    return _merge(match for match in matches if match is not None)


def permits(matches: Iterable[Match], flow: Flow) -> bool:
    """Whether a source with these matches may have this connection."""
    for match in matches:
        if _covers(match, flow):
            return match.accept
    return False


def _plan_match(
    rule: OutboundRule,
    family: int,
    names: Mapping[str, Collection[Address]],
    dns: Collection[Address],
) -> Match | None:
    to = _find_destinations(rule.dsthost, family, names)
    protos = _find_protos(rule, family)
    ports = rule.dstports
    asked = None
    if ports is not None:
        # Qubes takes 65536 as a port; there is none.
        ports = (ports[0], min(ports[1], LAST_PORT))
    if rule.specialtarget is not None:
        first, last = ports or (DNS_PORT, DNS_PORT)
        if not first <= DNS_PORT <= last:
            return None
        ports = (DNS_PORT, DNS_PORT)
        asked = tuple(sorted(_of_family(dns, family), key=int))
    if ports is not None:
        protos = tuple(proto for proto in protos or (TCP, UDP) if proto in (TCP, UDP))
        if not protos or ports[0] > ports[1]:
            return None
    if to == () or asked == ():
        return None
    accept = rule.action is Action.ACCEPT
    return Match(accept, to, asked, protos, ports, rule.icmptype)


def _find_destinations(
    dsthost: DstHost | None, family: int, names: Mapping[str, Collection[Address]]
) -> tuple[Network, ...] | None:
    if dsthost is None:
        return None
    if dsthost.kind == "dsthost":
        known = _of_family(names.get(dsthost.text, ()), family)
        return tuple(ip_network(address) for address in known)
    if dsthost.kind != f"dst{family}":
        return ()
    network = ip_network(dsthost.text, strict=False)
    return (network,) if network.prefixlen else None


def _find_protos(rule: OutboundRule, family: int) -> tuple[int, ...]:
    if rule.icmptype is not None or rule.proto is Proto.ICMP:
        return (ICMP if family == 4 else ICMPV6,)
    if rule.proto is None:
        return ()
    return (TCP if rule.proto is Proto.TCP else UDP,)


def _of_family(addresses: Iterable[Address], family: int) -> list[Address]:
    return [address for address in addresses if address.version == family]


def _merge(matches: Iterable[Match]) -> list[Match]:
    # Order counts only between different verdicts, so a run of equal ones can be
    # grouped at will: a thousand addresses become one set instead of a thousand
    # rules that each packet would have to pass.
    merged: list[Match] = []
    for _, run in groupby(matches, key=lambda match: match.accept):
        shapes: dict[Match, list[Network] | None] = {}
        for match in run:
            shape = replace(match, to=None)
            together = shapes.setdefault(shape, [])
            if match.to is None or together is None:
                shapes[shape] = None
            else:
                together.extend(match.to)
        for shape, networks in shapes.items():
            to = None if networks is None else _collapse(networks)
            merged.append(replace(shape, to=to))
    return merged


def _collapse(networks: list[Network]) -> tuple[Network, ...]:
    # The kernel refuses a set whose ranges overlap.
    if isinstance(networks[0], IPv4Network):
        four = (network for network in networks if isinstance(network, IPv4Network))
        return tuple(collapse_addresses(four))
    six = (network for network in networks if isinstance(network, IPv6Network))
    return tuple(collapse_addresses(six))


def _covers(match: Match, flow: Flow) -> bool:
    if match.to is not None and not any(flow.to in network for network in match.to):
        return False
    if match.asked is not None and flow.asked not in match.asked:
        return False
    if match.protos and flow.proto not in match.protos:
        return False
    if match.ports is not None:
        first, last = match.ports
        if flow.port is None or not first <= flow.port <= last:
            return False
    return match.icmptype is None or match.icmptype == flow.icmptype
