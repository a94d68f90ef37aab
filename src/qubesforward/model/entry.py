# SPDX-License-Identifier: GPL-2.0-or-later
"""Hop entries: what one network qube, or the target, is told (design, section 7).

An entry holds addresses and ports and nothing else: a hop must not learn the names
or comments of the qubes behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import (
    Address,
    Network,
    parse_address,
    parse_network,
)
from qubesforward.model.ports import PortRange, parse_ports
from qubesforward.model.rule import FORWARD_PROTOS, Proto
from qubesforward.model.values import parse_choice, parse_moment, parse_yes

LONGEST_ENTRY = 3072
"""Bytes that a QubesDB value can hold (Qubes' QUBESDB_MAX_DATA)."""

PORTMAP_PORT = 5351
"""NAT-PMP and PCP servers (RFC 6886, 3; RFC 6887, 19.1)."""

NEWS_PORT = 5350
"""Where programs hear that a gateway has lost their mappings, or that its outside is
another one (RFC 6886, 3.2.1; RFC 6887, 14)."""

SSDP_PORT = 1900
"""UPnP Device Architecture 1.1, 1.3.2: where a group is asked, and answers from."""


class Entrance(StrEnum):
    """By which interfaces packets may come in to be forwarded by an entry."""

    EXTERNAL = "external"
    """Outermost hop: any interface but downstream vifs and lo."""
    UPLINK = "uplink"
    """Inner hop: its uplink only (interface group 1)."""
    LOCAL = "local"
    """Internal: downstream vifs, and tunnels where the hop has an uplink."""
    SELF = "self"
    """The target: opens its own input, on its uplink."""
    SERVE = "serve"
    """A hop: opens its own input to one qube below, on that one's vif."""
    ANSWER = "answer"
    """The target: hears one host's answers to what it asked a group (SSDP)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of orders to one hop.

    `src` is always given and tells the family (``0.0.0.0/0`` is anyone). `to` and
    `toports` are set on every entrance that is no door. `toports` is as long
    as `ports`, or a single port. `until` is absolute seconds, None for no end.
    `bypass` lets an uplink or external entry work beside a tunnel. `mapped`: what
    `to` itself sends upwards from port `toports` leaves with port `ports`.
    """

    entrance: Entrance
    proto: Proto
    ports: PortRange
    src: Network
    to: Address | None = None
    toports: PortRange | None = None
    until: int | None = None
    bypass: bool = False
    mapped: bool = False

    def __post_init__(self) -> None:
        if self.proto not in FORWARD_PROTOS:
            raise InvalidRule(f"proto={self.proto}: an entry takes tcp or udp")
        if self.mapped:
            self._check_mapped()
        if self.is_door:
            if self.to is not None or self.toports is not None:
                raise InvalidRule(f"in={self.entrance}: takes neither to nor toports")
            if self.entrance is not Entrance.SELF:
                self._check_single()
            return
        if self.to is None or self.toports is None:
            raise InvalidRule(f"in={self.entrance}: needs to and toports")
        if self.to.version != self.src.version:
            raise InvalidRule(f"to={self.to}: not of the family of src={self.src}")
        if len(self.toports) not in (1, len(self.ports)):
            raise InvalidRule(f"toports={self.toports}: do not fit ports={self.ports}")

    def _check_mapped(self) -> None:
        if self.entrance not in (Entrance.EXTERNAL, Entrance.UPLINK):
            raise InvalidRule(f"mapped=yes: not with in={self.entrance}")
        # A range would be a port each to move, and no protocol asks for one.
        if len(self.ports) != 1 or self.toports is None or len(self.toports) != 1:
            raise InvalidRule("mapped=yes: takes one port, and one port to go to")

    def _check_single(self) -> None:
        kind = f"in={self.entrance}"
        if self.bypass:
            raise InvalidRule(f"{kind}: does not take bypass")
        if len(self.ports) != 1:
            raise InvalidRule(f"ports={self.ports}: {kind} takes a single port")
        if self.src.prefixlen != self.src.max_prefixlen:
            raise InvalidRule(f"src={self.src}: {kind} takes the address of one qube")
        # Every qube may give itself any address of a link's own.
        if self.src.version == 6 and self.src.is_link_local:
            raise InvalidRule(f"src={self.src}: not an address that a qube is given")
        if self.entrance is Entrance.ANSWER and (
            self.proto is not Proto.UDP or self.ports.first != SSDP_PORT
        ):
            raise InvalidRule(f"{kind}: takes proto=udp ports={SSDP_PORT} only")

    @property
    def is_door(self) -> bool:
        """Whether packets end in the qube that has this entry, not behind it."""
        return self.entrance in (Entrance.SELF, Entrance.SERVE, Entrance.ANSWER)

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.src.version

    @property
    def content(self) -> Entry:
        """This entry without its end: what an ID stands for as long as it lives."""
        return replace(self, until=None)


def format_entry(entry: Entry) -> str:
    """Write the value that QubesDB holds for an entry."""
    words = [
        f"in={entry.entrance}",
        f"proto={entry.proto}",
        f"ports={entry.ports}",
        f"src={entry.src}",
    ]
    if entry.to is not None:
        words += [f"to={entry.to}", f"toports={entry.toports}"]
    if entry.until is not None:
        words.append(f"until={entry.until}")
    if entry.bypass:
        words.append("bypass=yes")
    if entry.mapped:
        words.append("mapped=yes")
    return " ".join(words)


_ELEMENTS = frozenset("in proto ports src to toports until bypass mapped".split())


def parse_entry(untrusted_text: str) -> Entry:
    """Read a QubesDB value; raise `InvalidRule` if it is not an entry."""
    if len(untrusted_text) > LONGEST_ENTRY:
        raise InvalidRule(f"entry of {len(untrusted_text)} characters: too long")
    found: dict[str, str] = {}
    for untrusted_word in untrusted_text.split(" "):
        name, equals, untrusted_value = untrusted_word.partition("=")
        if not equals or name not in _ELEMENTS:
            raise InvalidRule(f"{untrusted_word[:40]!a}: not an element of an entry")
        if name in found:
            raise InvalidRule(f"{name}: given twice")
        found[name] = untrusted_value
    for name in ("in", "proto", "ports", "src"):
        if name not in found:
            raise InvalidRule(f"{name}: missing")
    return Entry(
        entrance=parse_choice(Entrance, found["in"], "in"),
        proto=parse_choice(Proto, found["proto"], "proto"),
        ports=parse_ports(found["ports"], "ports"),
        src=parse_network(found["src"], "src"),
        to=parse_address(found["to"], "to") if "to" in found else None,
        toports=parse_ports(found["toports"], "toports")
        if "toports" in found
        else None,
        until=parse_moment(found["until"], "until") if "until" in found else None,
        bypass="bypass" in found and parse_yes(found["bypass"], "bypass"),
        mapped="mapped" in found and parse_yes(found["mapped"], "mapped"),
    )
