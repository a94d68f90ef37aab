# SPDX-License-Identifier: GPL-2.0-or-later
"""What the LAN's router does for forwards that are to reach the internet.

The gateway of the outermost hop asks the router; here is what it said. A hop speaks
for its own router only.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv4Network

from qubesforward.daemon.router_memory import LIFETIME, Port
from qubesforward.model.hosts import Address
from qubesforward.model.rule import ForwardRule, Proto
from qubesforward.qubes.mapping_wire import Failed, Failure, Open, Opened

MOST_PORTS = 64
"""Ports of one range that a router is asked for: each is a request of its own."""

_INSIDE = [
    IPv4Network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "0.0.0.0/8"),
    )
]
"""Addresses that the internet does not know: private ones (RFC 1918), those of
providers' own NAT (RFC 6598), and those of no network at all (RFC 6890)."""

Spot = tuple[str, Proto, int]
"""Outermost hop, protocol, port."""


class Extent(StrEnum):
    """How far an exposure reaches, the farthest first."""

    INTERNET = "internet"
    LAN = "lan"
    """No router was asked, or none has answered yet."""
    CARRIER = "carrier"
    """The router's own outside is not the internet: another NAT comes after it."""
    SILENT = "silent"
    """No router answers: nobody beyond the LAN gets in."""
    REFUSED = "refused"
    """The router says no."""


class Edges:
    """What routers have said, by hop, protocol and port of the hop."""

    def __init__(self) -> None:
        self._told: dict[Spot, Opened | Failed] = {}
        self._outsides: dict[str, Address] = {}

    def note(self, hop: str, message: Opened | Failed) -> None:
        """Take in what a hop's gateway says of its router."""
        self._told[hop, message.proto, message.port] = message

    def note_outside(self, hop: str, address: Address | None) -> None:
        """Take in which address a hop's router has on its other side, if it says so."""
        if address is None:
            self._outsides.pop(hop, None)
        else:
            self._outsides[hop] = address

    def keep(self, hop: str, wanted: Iterable[Port]) -> None:
        """Forget what is not asked of this hop's router any more."""
        kept = {(hop, *one) for one in wanted}
        self._told = {
            spot: said
            for spot, said in self._told.items()
            if spot[0] != hop or spot in kept
        }

    def find(self, hop: str, proto: Proto, port: int) -> Opened | Failed | None:
        """Return what the hop's router said of one of its ports, if anything."""
        return self._told.get((hop, proto, port))

    def address(self, hop: str) -> Address | None:
        """Return the address of the hop's router on its other side, if known."""
        for spot, said in self._told.items():
            if spot[0] == hop and isinstance(said, Opened):
                return said.address
        return self._outsides.get(hop)


def extent_of(said: Opened | Failed | None) -> Extent:
    """Return how far an exposure reaches, by what the router said of it."""
    if said is None:
        return Extent.LAN
    if isinstance(said, Failed):
        return Extent.REFUSED if said.reason is Failure.REFUSED else Extent.SILENT
    is_inside = any(said.address in network for network in _INSIDE)
    return Extent.CARRIER if is_inside else Extent.INTERNET


def list_opens(rules: Iterable[ForwardRule]) -> dict[Port, Open]:
    """Return what a router is to be asked for these forwards, by protocol and port."""
    found = {}
    for rule in rules:
        if rule.srchost is not None and rule.srchost.version != 4:
            continue
        ports = range(rule.srcports.first, rule.srcports.last + 1)[:MOST_PORTS]
        for proto in rule.protos:
            for port in ports:
                found[proto, port] = Open(proto, port, LIFETIME)
    return found
