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


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of orders to one hop.

    `src` is always given and tells the family (``0.0.0.0/0`` is anyone). `to` and
    `toports` are set on every entrance but `Entrance.SELF`. `toports` is as long
    as `ports`, or a single port. `until` is absolute seconds, None for no end.
    `bypass` lets an uplink or external entry work beside a tunnel.
    """

    entrance: Entrance
    proto: Proto
    ports: PortRange
    src: Network
    to: Address | None = None
    toports: PortRange | None = None
    until: int | None = None
    bypass: bool = False

    def __post_init__(self) -> None:
        if self.proto not in FORWARD_PROTOS:
            raise InvalidRule(f"proto={self.proto}: an entry takes tcp or udp")
        if self.entrance is Entrance.SELF:
            if self.to is not None or self.toports is not None:
                raise InvalidRule("in=self: takes neither to nor toports")
            return
        if self.to is None or self.toports is None:
            raise InvalidRule(f"in={self.entrance}: needs to and toports")
        if self.to.version != self.src.version:
            raise InvalidRule(f"to={self.to}: not of the family of src={self.src}")
        if len(self.toports) not in (1, len(self.ports)):
            raise InvalidRule(f"toports={self.toports}: do not fit ports={self.ports}")

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
    return " ".join(words)


_ELEMENTS = frozenset("in proto ports src to toports until bypass".split())


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
    )
