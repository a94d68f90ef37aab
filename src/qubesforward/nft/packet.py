# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a condition of a foreign rule fits the packets of an entry.

Conditions are as nft lists them in JSON (libnftables-json(5)). An answer is yes, no,
or None: it depends on the packet, or is nothing that is understood here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any

from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.hosts import Address, Network
from qubesforward.model.rule import Proto
from qubesforward.nft.forwards import mark_of
from qubesforward.nft.marks import SELF, SERVED, TOLD

PREROUTING, FORWARD, INPUT = "prerouting", "forward", "input"

_Range = tuple[int, int]
"""First and last value, both included."""

_PROTOS = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "sctp": 132,
    "dccp": 33,
    "udplite": 136,
}
_NFPROTOS = {"ipv4": 2, "ipv6": 10}
_ETHERTYPES = {"ip": 0x0800, "ip6": 0x86DD}
_GROUPS = {"default": 0}

_DOOR_MARKS = {
    Entrance.SELF: SELF,
    Entrance.SERVE: SERVED,
    Entrance.ANSWER: TOLD,
}
_ANY_PORT = (1, 65535)
_WORD_BITS = 32
_DOWNSTREAM = "vif*"
"""How Qubes' rules name the interfaces of the qubes below."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What is known of the first packet of a connection at one hook.

    Values are ranges in which each packet of the entry lies; what has no value is
    not known. `groups` are of the interface that it came in by and leaves by.
    """

    family: int
    proto: Proto
    dport: _Range
    saddr: _Range
    daddr: _Range | None = None
    groups: tuple[_Range, _Range | None] = ((0, 2), None)
    mark: int | None = None
    translated: bool | None = None


def packet_of(entry_id: str, entry: Entry, hook: str) -> Packet:
    """Return what is known of an entry's packets at a hook that they pass."""
    ports, to = entry.ports, entry.to
    if hook == FORWARD and entry.toports is not None:
        ports = entry.toports
    dport = ports.first, ports.last
    if entry.entrance is Entrance.ANSWER:
        dport = _ANY_PORT
    came_in = {
        Entrance.EXTERNAL: (0, 0),
        Entrance.LOCAL: (0, 2),
        Entrance.SERVE: (2, 2),
    }.get(entry.entrance, (1, 1))
    known = Packet(
        entry.family,
        entry.proto,
        dport,
        _range_of_network(entry.src),
        groups=(came_in, None),
    )
    if hook == PREROUTING:
        # Our own chain may be before or after: nothing is said of what it changes.
        return known
    return replace(
        known,
        daddr=None if to is None else _range_of_address(to),
        groups=(came_in, None if entry.is_door else (2, 2)),
        mark=_DOOR_MARKS.get(entry.entrance, mark_of(entry_id)),
        translated=not entry.is_door,
    )


def judge_match(packet: Packet, match: Mapping[str, Any]) -> bool | None:
    """Say whether a ``match`` statement fits the packet."""
    left, right, op = match.get("left"), match.get("right"), match.get("op")
    if _is_foreign(packet, left):
        return False
    fits = judge_equal(packet, left, right)
    if op in ("==", "in"):
        return fits
    return None if fits is None or op != "!=" else not fits


def judge_equal(packet: Packet, left: Any, right: Any) -> bool | None:
    """Say whether a field of the packet has a value, or one of a set."""
    if _is_foreign(packet, left):
        return False
    match left:
        case {"ct": {"key": "state"}}:
            return "new" in _words(right) if _words(right) else None
        case {"ct": {"key": "status"}}:
            return packet.translated if _words(right) == {"dnat"} else None
        case {"ct": {"key": "direction"}}:
            return {"original": True, "reply": False}.get(str(right))
        case {"meta": {"key": "iifname"}} if right == _DOWNSTREAM:
            return _is_within(packet.groups[0], [(2, 2)])
        case {"meta": {"key": "oifname"}} if right == _DOWNSTREAM:
            return _is_within(packet.groups[1], [(2, 2)])
        case {"meta": {"key": "iif" | "iifname"}} if right == "lo":
            return False
        case {"&": masked}:
            mark = _mask_mark(packet, masked)
            return (
                None if mark is None else _is_within((mark, mark), _ranges(right, {}))
            )
    value, names = _find_value(packet, left)
    return _is_within(value, _ranges(right, names))


def _find_value(packet: Packet, left: Any) -> tuple[_Range | None, Mapping[str, int]]:
    proto = (_PROTOS[packet.proto],) * 2
    is_four = packet.family == 4
    match left:
        case (
            {"meta": {"key": "l4proto"}}
            | {"payload": {"field": "protocol" | "nexthdr"}}
        ):
            return proto, _PROTOS
        case {"meta": {"key": "nfproto"}}:
            return (2, 2) if is_four else (10, 10), _NFPROTOS
        case {"meta": {"key": "protocol"}}:
            return (_ETHERTYPES["ip" if is_four else "ip6"],) * 2, _ETHERTYPES
        case {"meta": {"key": "iifgroup"}}:
            return packet.groups[0], _GROUPS
        case {"meta": {"key": "oifgroup"}}:
            return packet.groups[1], _GROUPS
        case {"payload": {"field": "version"}}:
            return (packet.family,) * 2, {}
        case {"payload": {"field": "saddr"}}:
            return packet.saddr, {}
        case {"payload": {"field": "daddr"}}:
            return packet.daddr, {}
        case {"payload": {"field": "dport"}}:
            return packet.dport, {}
        case {"ct": {"key": "mark"}} if packet.mark is not None:
            return (packet.mark,) * 2, {}
    return None, {}


def _is_foreign(packet: Packet, left: Any) -> bool:
    """Whether a field belongs to another protocol: then no comparison ever fits."""
    match left:
        case {"payload": {"protocol": str(protocol)}}:
            own = {packet.proto, "th", "ip" if packet.family == 4 else "ip6"}
            return protocol not in own and protocol in {"ip", "ip6", *_PROTOS}
    return False


def _mask_mark(packet: Packet, masked: Any) -> int | None:
    if packet.mark is None or not isinstance(masked, list) or len(masked) != 2:
        return None
    is_mark = masked[0] == {"ct": {"key": "mark"}}
    return packet.mark & masked[1] if is_mark and isinstance(masked[1], int) else None


def _is_within(value: _Range | None, ranges: list[_Range] | None) -> bool | None:
    if value is None or ranges is None:
        return None
    first, last = value
    if any(low <= first and last <= high for low, high in ranges):
        return True
    if all(last < low or high < first for low, high in ranges):
        return False
    return None


def _words(right: Any) -> set[str]:
    """Return the flags that the right side names; none if it is not about names."""
    items = right.get("set", []) if isinstance(right, dict) else right
    items = items if isinstance(items, list) else [items]
    return {item for item in items if isinstance(item, str)}


def _ranges(right: Any, names: Mapping[str, int]) -> list[_Range] | None:
    """Return the values of the right side; None if any of them is not understood."""
    match right:
        case {"set": list(items)}:
            found: list[_Range] = []
            for item in items:
                ranges = _ranges(item, names)
                if ranges is None:
                    return None
                found += ranges
            return found
        case {"elem": {"val": value}}:
            return _ranges(value, names)
    one = _range(right, names)
    return None if one is None else [one]


def _range(right: Any, names: Mapping[str, int]) -> _Range | None:
    match right:
        case {"prefix": {"addr": int(number), "len": int(length)}} if (
            0 <= length <= _WORD_BITS
        ):
            # A number under a mask is listed as a prefix too.
            return number, number | (1 << (_WORD_BITS - length)) - 1
        case {"prefix": {"addr": str(text), "len": int(length)}}:
            try:
                return _range_of_network(ip_network(f"{text}/{length}"))
            except ValueError:
                return None
        case {"range": list(ends)} if len(ends) == 2:
            first, last = _number(ends[0], names), _number(ends[1], names)
            return None if first is None or last is None else (first, last)
    value = _number(right, names)
    return None if value is None else (value, value)


def _number(value: Any, names: Mapping[str, int]) -> int | None:
    if isinstance(value, int):
        return value
    if not isinstance(value, str):
        return None
    if value in names:
        return names[value]
    try:
        return int(ip_address(value))
    except ValueError:
        return None


def _range_of_network(network: Network) -> _Range:
    return int(network.network_address), int(network.broadcast_address)


def _range_of_address(address: Address) -> _Range:
    return int(address), int(address)
