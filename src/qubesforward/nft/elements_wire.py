# SPDX-License-Identifier: GPL-2.0-or-later
"""Elements of nftables sets on the wire of nfnetlink, both ways.

Rules go through libnftables; elements do not, because it takes a kilobyte of memory
and five microseconds for each, where this takes a tenth and a third of that, and
because only so what is read back is exactly what was written: keys and data are the
bytes that the kernel compares. Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from qubesforward.errors import MalformedMessage
from qubesforward.nft.netlink_wire import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    decode_attributes,
    decode_text,
    encode_message,
    encode_nested,
    encode_text,
    iter_attributes,
)

NFPROTO_INET = 1
NFNL_SUBSYS_NFTABLES = 10
_BATCH_BEGIN = 0x10
_BATCH_END = 0x11
_SUBSYS = NFNL_SUBSYS_NFTABLES << 8
NEWSETELEM = _SUBSYS | 12
GETSETELEM = _SUBSYS | 13
DELSETELEM = _SUBSYS | 14

# NFTA_SET_ELEM_LIST_*
_TABLE = 1
_SET = 2
_ELEMENTS = 3
_LIST_ELEM = 1
# NFTA_SET_ELEM_*
_KEY = 1
_DATA = 2
_TIMEOUT = 4
_EXPIRATION = 5
_EXPR = 7
_KEY_END = 10
# NFTA_DATA_*, NFTA_EXPR_*, NFTA_COUNTER_*
_DATA_VALUE = 1
_EXPR_NAME = 1
_EXPR_DATA = 2
_COUNTER_BYTES = 1
_COUNTER_PACKETS = 2

_NESTED = 0x8000
_PREFIX = struct.Struct("=HHHH")
_HEADER = struct.Struct("=HH")
_U64 = struct.Struct(">Q")

_LONGEST_LIST = 60_000
"""Bytes of elements in one message: an attribute's length has 16 bits."""

_LONGEST_TIMEOUT = 10 * 366 * 86400
"""Seconds. The kernel takes no more than some centuries; no hop runs for ten years."""

NFGENMSG = struct.pack(">BBH", NFPROTO_INET, 0, 0)


class Counter(NamedTuple):
    """What passed by an element."""

    packets: int
    bytes: int


class Element(NamedTuple):
    """One element of a set, or of a map, which has `data`.

    `key`, and `end` where the set holds ranges, and `data` are as in the kernel's
    registers: each of several fields padded to four bytes. `until` is in seconds
    since 1970.
    """

    set: str
    key: bytes
    end: bytes = b""
    data: bytes = b""
    until: float | None = None
    counter: Counter | None = None


def encode_nfnetlink(family: int, *attributes: bytes) -> bytes:
    """Encode the payload of an nfnetlink message: its small header and attributes."""
    return struct.pack(">BBH", family, 0, 0) + b"".join(attributes)


def encode_dump(table: str, set_name: str) -> bytes:
    """Encode the payload of a request for all elements of a set."""
    return encode_nfnetlink(
        NFPROTO_INET, encode_text(_TABLE, table), encode_text(_SET, set_name)
    )


def encode_get(table: str, element: Element) -> bytes:
    """Encode the payload of a request for one element, by its key."""
    return encode_dump(table, element.set) + encode_nested(
        _ELEMENTS, _encode_element(element, b"")
    )


def encode_batch(
    table: str,
    removed: Iterable[Element],
    added: Iterable[Element],
    now: float,
    *,
    exclusive: bool = True,
) -> tuple[bytes, int]:
    """Encode one transaction that takes elements away and then puts others in.

    Returns it with the sequence number of the message that the kernel confirms when
    all of it is done. An element that is to be changed is removed and added;
    `exclusive` makes it an error to add what is there.
    """
    adding = NLM_F_REQUEST | NLM_F_CREATE | (NLM_F_EXCL if exclusive else 0)
    messages = [
        (DELSETELEM, NLM_F_REQUEST, payload)
        for payload in _encode_lists(table, removed, None)
    ] + [(NEWSETELEM, adding, payload) for payload in _encode_lists(table, added, now)]
    last = len(messages)
    frame = struct.pack(">BBH", 0, 0, NFNL_SUBSYS_NFTABLES)
    parts = [encode_message(_BATCH_BEGIN, NLM_F_REQUEST, 0, frame)]
    for seq, (kind, flags, payload) in enumerate(messages, 1):
        ack = NLM_F_ACK if seq == last else 0
        parts.append(encode_message(kind, flags | ack, seq, payload))
    parts.append(encode_message(_BATCH_END, NLM_F_REQUEST, last + 1, frame))
    return b"".join(parts), last


def _encode_lists(
    table: str, elements: Iterable[Element], now: float | None
) -> Iterator[bytes]:
    """Give the payloads of messages, each with elements of one set."""
    # Each element becomes bytes at once: tens of thousands would take much memory.
    open_lists: dict[str, bytearray] = {}
    for element in elements:
        rest = b"" if now is None else _encode_rest(element, now)
        encoded = _encode_element(element, rest)
        listed = open_lists.setdefault(element.set, bytearray())
        if len(listed) + len(encoded) > _LONGEST_LIST:
            yield _encode_list(table, element.set, listed)
            listed.clear()
        listed += encoded
    for name, listed in open_lists.items():
        yield _encode_list(table, name, listed)


def _encode_list(table: str, set_name: str, elements: bytearray) -> bytes:
    return encode_dump(table, set_name) + encode_nested(_ELEMENTS, bytes(elements))


@cache
def _prefix(kind: int, length: int) -> tuple[bytes, bytes]:
    """Return what stands before and after a value of that many bytes."""
    before = _PREFIX.pack(length + 8, kind | _NESTED, length + 4, _DATA_VALUE)
    return before, b"\0" * (-length % 4)


def _encode_value(kind: int, value: bytes) -> bytes:
    before, after = _prefix(kind, len(value))
    return before + value + after


def _encode_element(element: Element, rest: bytes) -> bytes:
    body = _encode_value(_KEY, element.key)
    if element.end:
        body += _encode_value(_KEY_END, element.end)
    body += rest
    return _HEADER.pack(_HEADER.size + len(body), _LIST_ELEM | _NESTED) + body


def _encode_rest(element: Element, now: float) -> bytes:
    rest = b""
    if element.data:
        rest = _encode_value(_DATA, element.data)
    if element.until is not None:
        seconds = min(element.until - now, _LONGEST_TIMEOUT)
        # A timeout of zero would mean none at all.
        rest += _HEADER.pack(12, _TIMEOUT) + _U64.pack(max(1, round(seconds * 1000)))
    if element.counter is not None:
        rest += _encode_counter(element.counter)
    return rest


def _encode_counter(counter: Counter) -> bytes:
    return encode_nested(
        _EXPR,
        encode_text(_EXPR_NAME, "counter"),
        encode_nested(
            _EXPR_DATA,
            _HEADER.pack(12, _COUNTER_BYTES) + _U64.pack(counter.bytes),
            _HEADER.pack(12, _COUNTER_PACKETS) + _U64.pack(counter.packets),
        ),
    )


def decode_elements(payload: bytes, now: float) -> Iterator[Element]:
    """Read the elements of one answer; raise `MalformedMessage`."""
    listed = decode_attributes(payload, len(NFGENMSG))
    name = decode_text(listed.get(_SET, b""))
    for _kind, data in iter_attributes(listed.get(_ELEMENTS, b"")):
        yield _decode_element(name, data, now)


def _decode_element(name: str, data: bytes, now: float) -> Element:
    key = end = value = b""
    until = counter = None
    for kind, payload in iter_attributes(data):
        if kind == _KEY:
            key = _decode_value(payload)
        elif kind == _KEY_END:
            end = _decode_value(payload)
        elif kind == _DATA:
            value = _decode_value(payload)
        elif kind == _EXPIRATION:
            until = now + _decode_u64(payload) / 1000
        elif kind == _EXPR:
            counter = _decode_counter(payload)
    return Element(name, key, end, value, until, counter)


def _decode_value(data: bytes) -> bytes:
    # Always a single attribute: this is called for each of thousands of elements.
    if len(data) < _HEADER.size:
        raise MalformedMessage("netlink: a value is cut off")
    return data[_HEADER.size : _HEADER.unpack_from(data)[0]]


def _decode_u64(data: bytes) -> int:
    if len(data) != _U64.size:
        raise MalformedMessage(f"netlink: a long number of {len(data)} bytes")
    return int(_U64.unpack(data)[0])


def _decode_counter(expression: bytes) -> Counter | None:
    named = decode_attributes(expression)
    if decode_text(named.get(_EXPR_NAME, b"")) != "counter":
        return None
    numbers = decode_attributes(named.get(_EXPR_DATA, b""))
    return Counter(
        _decode_u64(numbers.get(_COUNTER_PACKETS, bytes(8))),
        _decode_u64(numbers.get(_COUNTER_BYTES, bytes(8))),
    )
