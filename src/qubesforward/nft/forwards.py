# SPDX-License-Identifier: GPL-2.0-or-later
"""From entries to the elements of our table, and the least change between them."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import Proto
from qubesforward.nft.elements_wire import Element
from qubesforward.nft.marks import TAG
from qubesforward.nft.shapes import USUAL

NUMBER_MASK = 0x0FFFFFFF
"""The bits of an ID that fit into a connection mark beside our tag."""

# Numbers of the protocols and families: IPPROTO_*, NFPROTO_*.
_PROTO = {Proto.TCP: 6, Proto.UDP: 17}
_NFPROTO = {4: b"\x02", 6: b"\x0a"}

_DOOR = struct.Struct(">B3xH2x")
_PROTO_ALONE = struct.Struct(">B3x")
_PORT = struct.Struct(">H2x")
_PORT_ALONE = struct.Struct(">H")
"""What is all that a key or data consists of is not padded."""
_MARK = struct.Struct("=I")

_KEPT_BY_KERNEL = frozenset({"severed4", "severed6", "asked"})
"""Sets whose elements come from packets: never part of what is wanted."""

_SLACK = 2.0
"""Seconds by which an end that was read back may be off: the kernel counts from when
it took the element in, which is late where it took in ten thousand."""

Place = tuple[str, bytes, bytes]
"""Which element: its set, its key and the end of its range."""


def mark_of(entry_id: str) -> int:
    """Return the connection mark of an entry, by its eight hex digits."""
    return TAG | (int(entry_id, 16) & NUMBER_MASK)


def encode_mark(mark: int) -> bytes:
    """Encode a mark as a key."""
    return _MARK.pack(mark)


def decode_mark(key: bytes) -> int:
    """Read a mark that is a key."""
    return int(_MARK.unpack(key)[0])


def place(element: Element) -> Place:
    """Return what tells this element from the others."""
    return element.set, element.key, element.end


def entry_elements(entry_id: str, entry: Entry) -> list[Element]:
    """Return all that the table must hold for one entry."""
    mark = encode_mark(mark_of(entry_id))
    elements = [door_element(entry_id, entry)]
    if entry.is_door:
        return elements
    elements.append(Element("live", mark, until=entry.until))
    elements += _translation(entry, mark)
    if entry.bypass:
        elements.append(Element("detour", mark, until=entry.until))
    if entry.mapped:
        elements += _way_out(entry)
    return elements


def door_element(entry_id: str, entry: Entry) -> Element:
    """Return the element that packets are first found by."""
    data = b"" if entry.is_door else encode_mark(mark_of(entry_id))
    name = f"{entry.entrance}{entry.family}"
    proto = _PROTO[entry.proto]
    first = _DOOR.pack(proto, entry.ports.first)
    if entry.entrance in (Entrance.SERVE, Entrance.ANSWER):
        key = first + entry.src.network_address.packed
        return Element(name, key, b"", data, entry.until)
    if len(entry.ports) == 1 and entry.src.prefixlen == 0:
        return Element(name, first, b"", data, entry.until)
    length = entry.src.prefixlen
    if len(entry.ports) == 1 and length in USUAL[entry.family]:
        key = first + entry.src.network_address.packed
        return Element(f"{name}_{length}", key, b"", data, entry.until)
    last = _DOOR.pack(proto, entry.ports.last)
    return Element(
        f"{name}_wide",
        first + entry.src.network_address.packed,
        last + entry.src.broadcast_address.packed,
        data,
        entry.until,
    )


def _translation(entry: Entry, mark: bytes) -> Iterator[Element]:
    # None for doors only, which do not come here.
    to = b"" if entry.to is None else entry.to.packed
    toports = entry.ports if entry.toports is None else entry.toports
    family = entry.family
    # These have no timeout: a mark that is not live any more leads nowhere.
    if toports == entry.ports:
        yield Element(f"keep{family}", mark, data=to)
    elif len(toports) == 1:
        yield Element(f"fixed{family}", mark, data=to + _PORT.pack(toports.first))
    else:
        for outer, inner in zip(_numbers(entry.ports), _numbers(toports), strict=True):
            yield Element(
                f"each{family}",
                mark + _PORT.pack(outer),
                data=to + _PORT.pack(inner),
            )


def _way_out(entry: Entry) -> Iterator[Element]:
    """Give what a mapping needs in the other direction, from the inside out."""
    to = b"" if entry.to is None else entry.to.packed
    toports = entry.ports if entry.toports is None else entry.toports
    proto, outer = _PROTO[entry.proto], entry.ports.first
    yield Element(
        f"out{entry.family}",
        _PROTO_ALONE.pack(proto) + to + _PORT.pack(toports.first),
        data=_PORT_ALONE.pack(outer),
        until=entry.until,
    )
    held = _NFPROTO[entry.family].ljust(4, b"\0") + _DOOR.pack(proto, outer)
    yield Element("held", held, until=entry.until)


def _numbers(ports: PortRange) -> range:
    return range(ports.first, ports.last + 1)


def hop_elements(*, has_uplink: bool, astray: Collection[int]) -> list[Element]:
    """Return what the table must hold for the place of this qube in the chain.

    `astray`: the IP versions whose default route is not the uplink, so that the
    qube's own answers need to be sent the way that the question came.
    """
    families = () if has_uplink else (4, 6)
    elements = [Element("outermost", _NFPROTO[family]) for family in families]
    elements += [Element("astray", _NFPROTO[family]) for family in astray]
    return elements


@dataclass(frozen=True, slots=True)
class Change:
    """Elements to take away and to put in, in one transaction."""

    removed: list[Element] = field(default_factory=list)
    added: list[Element] = field(default_factory=list)


def is_over(element: Element, now: float) -> bool:
    """Whether the element's time is over."""
    return element.until is not None and element.until <= now


def diff_elements(
    present: Mapping[Place, Element], wanted: Iterable[Element], now: float
) -> Change:
    """Return the least change that makes of what is `present` what is `wanted`.

    A changed element keeps its counter, if `present` knows it. What has run out of
    time is never removed: the kernel has done that.
    """
    change = Change()
    rest = dict(present)
    for element in wanted:
        if is_over(element, now):
            continue
        old = rest.pop(place(element), None)
        if old is None:
            change.added.append(element)
        elif old.data != element.data or not _ends_alike(old.until, element.until):
            change.added.append(element._replace(counter=old.counter))
            _remove(old, change, now)
    for old in rest.values():
        _remove(old, change, now)
    return change


def _remove(old: Element, change: Change, now: float) -> None:
    if not is_over(old, now) and old.set not in _KEPT_BY_KERNEL:
        change.removed.append(old)


def _ends_alike(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    # Ends that are remembered are whole seconds, and exact.
    slack = 0 if isinstance(one, int) and isinstance(other, int) else _SLACK
    return abs(one - other) <= slack
