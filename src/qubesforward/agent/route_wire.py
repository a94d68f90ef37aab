# SPDX-License-Identifier: GPL-2.0-or-later
"""Links, addresses and routes on the wire of rtnetlink. No I/O.

Layouts: rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

from qubesforward.errors import MalformedMessage
from qubesforward.model.hosts import Address
from qubesforward.nft.netlink_wire import (
    decode_attributes,
    decode_text,
    decode_u32,
    encode_attribute,
)

GET_LINKS = 18
GET_ADDRESSES = 22
GET_ROUTE = 26

# RTNLGRP_*: links; addresses, routes and rules of both families.
GROUPS = (1, 5, 7, 8, 9, 11, 19)

AF_INET = 2
AF_INET6 = 10
_LOOPBACK = 772
"""ARPHRD_LOOPBACK"""

_IFINFOMSG = struct.Struct("=BxHiII")
_IFADDRMSG = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=BBBBBBBBI")

# IFLA_*, IFLA_INFO_*
_NAME = 3
_LINK_INFO = 18
_GROUP = 27
_INFO_KIND = 1
# IFA_*, IFA_F_*
_ADDRESS = 1
_LOCAL = 2
_FLAGS = 8
_TEMPORARY = 0x01
_DADFAILED = 0x08
_DEPRECATED = 0x20
_TENTATIVE = 0x40
# RTA_*
_DST = 1
_OIF = 4


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface; `kind` is empty for physical cards."""

    index: int
    name: str
    group: int
    kind: str
    is_loopback: bool


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """An address of an interface; `is_usable`: others may dial it, and go on to."""

    index: int
    address: Address
    is_usable: bool


def encode_links_request() -> bytes:
    """Encode the payload of a request for all links."""
    return _IFINFOMSG.pack(0, 0, 0, 0, 0)


def encode_addresses_request() -> bytes:
    """Encode the payload of a request for all addresses."""
    return _IFADDRMSG.pack(0, 0, 0, 0, 0)


def encode_route_request(to: Address) -> bytes:
    """Encode the payload that asks which way a packet to there would take."""
    family = AF_INET if to.version == 4 else AF_INET6
    header = _RTMSG.pack(family, to.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    return header + encode_attribute(_DST, to.packed)


def decode_link(payload: bytes) -> Link:
    """Read one link; raise `MalformedMessage`."""
    _family, kind, index, _flags, _change = _unpack(_IFINFOMSG, payload)
    found = decode_attributes(payload, _IFINFOMSG.size)
    info = decode_attributes(found.get(_LINK_INFO, b""))
    return Link(
        index,
        decode_text(found.get(_NAME, b"")),
        decode_u32(found.get(_GROUP, bytes(4))),
        decode_text(info.get(_INFO_KIND, b"")),
        kind == _LOOPBACK,
    )


def decode_address(payload: bytes) -> LinkAddress | None:
    """Read one address, None if of a family of no interest; or MalformedMessage."""
    family, _length, flags, scope, index = _unpack(_IFADDRMSG, payload)
    if family not in (AF_INET, AF_INET6):
        return None
    found = decode_attributes(payload, _IFADDRMSG.size)
    # On a point-to-point link ADDRESS is the other end's.
    packed = found.get(_LOCAL, found.get(_ADDRESS, b""))
    try:
        address = ip_address(packed)
    except ValueError:
        raise MalformedMessage("rtnetlink: not an address") from None
    if _FLAGS in found:
        flags = decode_u32(found[_FLAGS])
    bad = 0
    if family == AF_INET6:
        bad = _TEMPORARY | _DADFAILED | _DEPRECATED | _TENTATIVE
    return LinkAddress(index, address, scope == 0 and not flags & bad)


def decode_route_link(payload: bytes) -> int | None:
    """Return the index of the link that a route leads to, None if to none."""
    _unpack(_RTMSG, payload)
    found = decode_attributes(payload, _RTMSG.size)
    return decode_u32(found[_OIF]) if _OIF in found else None


def _unpack(header: struct.Struct, payload: bytes) -> tuple[int, ...]:
    if len(payload) < header.size:
        raise MalformedMessage("rtnetlink: the header is cut off")
    return header.unpack_from(payload)
