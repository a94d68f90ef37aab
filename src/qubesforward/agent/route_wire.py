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
GET_RULES = 34

# RTNLGRP_*: links; addresses, routes and rules of both families.
GROUPS = (1, 5, 7, 8, 9, 11, 19)

AF_INET = 2
AF_INET6 = 10
AF = {4: AF_INET, 6: AF_INET6}
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
_GATEWAY = 5
_MARK = 16
_MAIN_TABLE = 254
# FRA_*
_FWMARK = 10


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


def encode_route_request(to: Address, mark: int = 0) -> bytes:
    """Encode the payload that asks which way a packet to there would take.

    `mark` is the packet's mark, by which rules may choose another way.
    """
    header = _RTMSG.pack(AF[to.version], to.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    return (
        header
        + encode_attribute(_DST, to.packed)
        + encode_attribute(_MARK, struct.pack("=I", mark))
    )


def encode_listing_request(family: int) -> bytes:
    """Encode the payload of a request for all routes or rules of IP version 4 or 6."""
    return _RTMSG.pack(AF[family], 0, 0, 0, 0, 0, 0, 0, 0)


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
    address = _decode_packed(found.get(_LOCAL, found.get(_ADDRESS, b"")))
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


def decode_default_route(payload: bytes) -> tuple[int, Address] | None:
    """Return link and gateway of a default route of the main table; else None."""
    _family, length, _src, _tos, table, *_rest = _unpack(_RTMSG, payload)
    found = decode_attributes(payload, _RTMSG.size)
    if length != 0 or table != _MAIN_TABLE or not {_OIF, _GATEWAY} <= found.keys():
        return None
    return decode_u32(found[_OIF]), _decode_packed(found[_GATEWAY])


def decode_rule_mark(payload: bytes) -> int | None:
    """Return the packet mark that a rule asks for, None if it asks for none."""
    _unpack(_RTMSG, payload)
    found = decode_attributes(payload, _RTMSG.size)
    return decode_u32(found[_FWMARK]) if _FWMARK in found else None


def _decode_packed(packed: bytes) -> Address:
    try:
        return ip_address(packed)
    except ValueError:
        raise MalformedMessage("rtnetlink: not an address") from None


def _unpack(header: struct.Struct, payload: bytes) -> tuple[int, ...]:
    if len(payload) < header.size:
        raise MalformedMessage("rtnetlink: the header is cut off")
    return header.unpack_from(payload)
