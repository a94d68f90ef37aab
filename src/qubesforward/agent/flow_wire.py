# SPDX-License-Identifier: GPL-2.0-or-later
"""Tracked connections on the wire of ctnetlink. No I/O.

Layouts: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from qubesforward.errors import MalformedMessage
from qubesforward.nft.elements_wire import NFGENMSG, encode_nfnetlink
from qubesforward.nft.netlink_wire import (
    decode_attributes,
    encode_attribute,
    encode_nested,
)

_NFNL_SUBSYS_CTNETLINK = 1
GET_FLOWS = _NFNL_SUBSYS_CTNETLINK << 8 | 1
DELETE_FLOW = _NFNL_SUBSYS_CTNETLINK << 8 | 2

_NFPROTO = {0: 0, 4: 2, 6: 10}

# CTA_*
_TUPLE_ORIG = 1
_TUPLE_REPLY = 2
_MARK = 8
_ID = 12
_ZONE = 18
_MARK_MASK = 21
_FILTER = 25
# CTA_FILTER_*; the bits by which the kernel knows parts of a side (its
# nf_internals.h): from Linux 5.8 on. An older one gives more than is asked for.
_FILTER_ORIG = 1
_FILTER_REPLY = 2
_BY_PROTO = 1 << 3
# CTA_TUPLE_*, CTA_IP_*, CTA_PROTO_*
_TUPLE_IP = 1
_TUPLE_PROTO = 2
_IP_SRC = {2: 1, 10: 3}
_IP_DST = {2: 2, 10: 4}
_PROTO_NUM = 1
_PROTO_SRC_PORT = 2
_PROTO_DST_PORT = 3


@dataclass(frozen=True, slots=True)
class Side:
    """What packets of one direction look like; addresses are packed.

    Ports are 0 in protocols without ports.
    """

    src: bytes
    dst: bytes
    proto: int
    src_port: int
    dst_port: int


@dataclass(frozen=True, slots=True)
class TrackedFlow:
    """One connection; `handle` is what the kernel knows it by, to be sent back."""

    family: int
    mark: int
    original: Side
    reply: Side
    handle: bytes


def encode_flow_request(family: int, mark: int, mask: int) -> bytes:
    """Encode a request for the connections of IP version 4, 6, or 0 for both.

    Only those that have `mark` in the bits of `mask`.
    """
    return encode_nfnetlink(
        _NFPROTO[family],
        encode_attribute(_MARK, struct.pack(">I", mark)),
        encode_attribute(_MARK_MASK, struct.pack(">I", mask)),
    )


def encode_protocol_request(family: int, proto: int) -> bytes:
    """Encode a request for the connections of a protocol in IP version 4 or 6."""
    known = struct.pack("=I", _BY_PROTO)
    return encode_nfnetlink(
        _NFPROTO[family],
        encode_nested(
            _TUPLE_ORIG,
            encode_nested(_TUPLE_IP),
            encode_nested(
                _TUPLE_PROTO, encode_attribute(_PROTO_NUM, proto.to_bytes(1, "big"))
            ),
        ),
        encode_nested(
            _FILTER,
            encode_attribute(_FILTER_ORIG, known),
            encode_attribute(_FILTER_REPLY, bytes(len(known))),
        ),
    )


_PORTS = re.compile(
    b"|".join(
        re.escape(struct.pack("=HH", 6, kind)) + b"(?:..)"
        for kind in (_PROTO_SRC_PORT, _PROTO_DST_PORT)
    ),
    re.DOTALL,
)


def find_ports(payload: bytes) -> set[int]:
    """Return all ports that a part of an answer may be about, without reading it.

    Quick, for where few of many connections matter; there may be some too many.
    """
    return {int.from_bytes(found[-2:], "big") for found in _PORTS.findall(payload)}


def encode_flow_deletion(flow: TrackedFlow) -> bytes:
    """Encode a request to forget exactly this connection."""
    return encode_nfnetlink(_NFPROTO[flow.family], flow.handle)


def decode_flow(payload: bytes) -> TrackedFlow:
    """Read one part of an answer; raise `MalformedMessage`."""
    found = decode_attributes(payload, len(NFGENMSG))
    nfproto = payload[0] if payload else 0
    if nfproto not in _IP_SRC or not {_TUPLE_ORIG, _TUPLE_REPLY} <= found.keys():
        raise MalformedMessage("conntrack: not a connection of IPv4 or IPv6")
    return TrackedFlow(
        4 if nfproto == 2 else 6,
        int.from_bytes(found.get(_MARK, b""), "big"),
        _decode_side(found[_TUPLE_ORIG], nfproto),
        _decode_side(found[_TUPLE_REPLY], nfproto),
        b"".join(_handle(found)),
    )


def _handle(found: dict[int, bytes]) -> Iterator[bytes]:
    yield encode_nested(_TUPLE_ORIG, found[_TUPLE_ORIG])
    # The ID tells it from a later connection with the same addresses and ports.
    for kind in (_ID, _ZONE):
        if kind in found:
            yield encode_attribute(kind, found[kind])


def _decode_side(data: bytes, nfproto: int) -> Side:
    parts = decode_attributes(data)
    ip = decode_attributes(parts.get(_TUPLE_IP, b""))
    proto = decode_attributes(parts.get(_TUPLE_PROTO, b""))
    return Side(
        ip.get(_IP_SRC[nfproto], b""),
        ip.get(_IP_DST[nfproto], b""),
        int.from_bytes(proto.get(_PROTO_NUM, b""), "big"),
        int.from_bytes(proto.get(_PROTO_SRC_PORT, b""), "big"),
        int.from_bytes(proto.get(_PROTO_DST_PORT, b""), "big"),
    )
