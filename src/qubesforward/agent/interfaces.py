# SPDX-License-Identifier: GPL-2.0-or-later
"""Which interfaces this qube has, where its packets go, and where others dial it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from qubesforward.agent.netlink import NETLINK_ROUTE, NetlinkError, NetlinkSocket
from qubesforward.agent.route_wire import (
    GET_ADDRESSES,
    GET_LINKS,
    GET_ROUTE,
    GET_RULES,
    Link,
    LinkAddress,
    decode_address,
    decode_default_route,
    decode_link,
    decode_route_link,
    decode_rule_mark,
    encode_addresses_request,
    encode_links_request,
    encode_listing_request,
    encode_route_request,
)
from qubesforward.model.hosts import Address
from qubesforward.nft.layout import TUNNEL_KINDS

UPLINK_GROUP = 1
DOWNSTREAM_GROUP = 2
"""The interface groups that Qubes gives to eth0 and to vifs."""

_FAR_AWAY = {
    4: (ip_address("1.0.0.1"), ip_address("200.0.0.1")),
    6: (ip_address("2001:200::1"), ip_address("3ffe::1")),
}
"""Somewhere on the internet. Two places each, because many VPN programs leave the
default route alone and put two routes, of half the addresses each, beside it. The
kernel is asked for the way there, so rules and tables of any kind count; nothing is
sent."""


@dataclass(frozen=True, slots=True)
class Interfaces:
    """The interfaces of this qube at one moment.

    `default_links` are those that packets to the internet leave by, by IP version;
    `gateways` the default routes of the main table, used or not, as IP version, link
    and gateway.
    """

    links: Sequence[Link] = ()
    addresses: Sequence[LinkAddress] = ()
    default_links: Mapping[int, Sequence[Link]] = field(default_factory=dict)
    gateways: Sequence[tuple[int, Link, Address]] = ()

    @property
    def uplink(self) -> Link | None:
        """The interface to this qube's own netvm, if it has one."""
        return next((one for one in self.links if one.group == UPLINK_GROUP), None)

    def is_tunnel(self, link: Link) -> bool:
        """Whether a link leads through a tunnel.

        Beside an uplink every other way out counts as one: it was made to be used
        instead, whatever its kind.
        """
        if link.is_loopback or link.group in (UPLINK_GROUP, DOWNSTREAM_GROUP):
            return False
        return self.uplink is not None or link.kind in TUNNEL_KINDS

    @property
    def tunnels(self) -> dict[int, str]:
        """The tunnel that the default route is, by IP version, where it is one.

        A tunnel that is down takes its routes along. Beside an uplink, where nothing
        else leads out, it still counts: else each reconnect would be a bypass.
        """
        has_uplink = self.uplink is not None
        idle = [o for o in self.links if has_uplink and o.kind in TUNNEL_KINDS]
        return {
            family: link.name
            for family in (4, 6)
            for link in self.default_links.get(family) or idle
            if self.is_tunnel(link)
        }

    @property
    def ways_in(self) -> tuple[str, ...]:
        """Interfaces beside an uplink at which `local` entries may be entered."""
        if self.uplink is None:
            return ()
        return tuple(
            link.name
            for link in self.links
            if link.kind in TUNNEL_KINDS and self.is_tunnel(link)
        )

    @property
    def astray(self) -> frozenset[int]:
        """IP versions in which answers of this qube's own would not use its uplink."""
        if self.uplink is None:
            return frozenset()
        return frozenset(
            family
            for family, links in self.default_links.items()
            if any(link.group != UPLINK_GROUP for link in links)
        )

    @property
    def outside(self) -> list[Address]:
        """Addresses that the outside dials: physical cards first, then tunnels."""
        links = {
            link.index: link
            for link in self.links
            if not link.is_loopback
            and link.group not in (UPLINK_GROUP, DOWNSTREAM_GROUP)
        }
        usable = [one for one in self.addresses if one.is_usable and one.index in links]
        usable.sort(
            key=lambda one: (
                self.is_tunnel(links[one.index]),
                one.address.version,
                one.index,
            )
        )
        return [one.address for one in usable]


def read_interfaces(
    kernel: NetlinkSocket, *, by_names: bool = False, has_netvm: bool = False
) -> Interfaces:
    """Ask the kernel for all this. Raises `ApplyError` or `MalformedMessage`.

    With `by_names` interfaces without a group are those that their names say, of
    which the uplink's is one only where Qubes says that there is a netvm.
    """
    links = [
        decode_link(answer)
        for answer in kernel.dump(GET_LINKS, encode_links_request(), "links")
    ]
    if by_names:
        links = [_group_by_name(link, has_netvm) for link in links]
    decoded = [
        decode_address(answer)
        for answer in kernel.dump(
            GET_ADDRESSES, encode_addresses_request(), "addresses"
        )
    ]
    by_index = {link.index: link for link in links}
    default_links = {}
    for family, places in _FAR_AWAY.items():
        indices = [_find_way(kernel, to) for to in places]
        ways = [by_index[index] for index in indices if index in by_index]
        default_links[family] = list(dict.fromkeys(ways))
    return Interfaces(
        links,
        [one for one in decoded if one is not None],
        default_links,
        list(_read_gateways(kernel, by_index)),
    )


def _group_by_name(link: Link, has_netvm: bool) -> Link:
    """Give a link the group that Qubes would give it since release 4.2."""
    if link.group == 0 and link.name.startswith("vif"):
        return replace(link, group=DOWNSTREAM_GROUP)
    if link.group == 0 and link.name == "eth0" and has_netvm:
        return replace(link, group=UPLINK_GROUP)
    return link


def _read_gateways(
    kernel: NetlinkSocket, links: Mapping[int, Link]
) -> Iterator[tuple[int, Link, Address]]:
    for family in _FAR_AWAY:
        request = encode_listing_request(family)
        for answer in kernel.dump(GET_ROUTE, request, "routes"):
            route = decode_default_route(answer)
            if route is not None and route[0] in links:
                yield family, links[route[0]], route[1]


def find_marked_way(kernel: NetlinkSocket, family: int, mark: int) -> int | None:
    """Return the index of the link by which marked packets leave, None if by none."""
    return _find_way(kernel, _FAR_AWAY[family][0], mark)


def has_rule_for(kernel: NetlinkSocket, family: int, mark: int) -> bool:
    """Whether a routing rule of IP version 4 or 6 asks for this packet mark."""
    answers = kernel.dump(GET_RULES, encode_listing_request(family), "routing rules")
    return any(decode_rule_mark(answer) == mark for answer in answers)


def _find_way(kernel: NetlinkSocket, to: Address, mark: int = 0) -> int | None:
    try:
        return decode_route_link(
            kernel.ask(GET_ROUTE, encode_route_request(to, mark), "route")
        )
    except NetlinkError:
        # No route at all, or one that says unreachable.
        return None


def open_route_socket() -> NetlinkSocket:
    """Return a socket for `read_interfaces`."""
    return NetlinkSocket(NETLINK_ROUTE)
