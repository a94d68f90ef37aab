# SPDX-License-Identifier: GPL-2.0-or-later
"""PCP on the wire, both ways: RFC 6887, sections 7, 11.1 and 14.1."""

from __future__ import annotations

import struct
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from qubesforward.portmap.errors import MalformedRequest, MalformedResponse
from qubesforward.portmap.mapping import Address, Transport
from qubesforward.portmap.pcp_options import (
    MAPPED,
    NO_OPTIONS,
    Options,
    decode_options,
)
from qubesforward.portmap.pcp_result import Result

VERSION = 2
IS_RESPONSE = 0x80
"""In the second octet: the R bit."""

LONGEST = 1100
"""Octets of a message: section 7."""

PROTOCOLS = {6: Transport.TCP, 17: Transport.UDP}
NUMBERS = {transport: number for number, transport in PROTOCOLS.items()}
"""IANA's numbers of the protocols that have ports to map."""

_REQUEST = struct.Struct(">BBxxI16s")
_RESPONSE = struct.Struct(">BBxBII12s")
_MAP = struct.Struct(">12sBxxxHH16s")
_ZERO = bytes(12)


class Opcode(IntEnum):
    """Opcodes of RFC 6887."""

    ANNOUNCE = 0
    MAP = 1
    PEER = 2


_SIZES = {Opcode.ANNOUNCE: 24, Opcode.MAP: 60, Opcode.PEER: 80}
"""Octets that a request has at least, by its opcode."""


class AnnounceRequest(NamedTuple):
    """A question for the epoch."""


class MapRequest(NamedTuple):
    """A request for a mapping; lifetime 0 (seconds) deletes.

    `protocol` is a number of IANA, 0 for all; `internal` port 0 is all ports, and
    `suggested` port 0 any. `address` is the suggested outside one, zero for any.
    """

    lifetime: int
    nonce: bytes
    protocol: int
    internal: int
    suggested: int
    address: Address
    options: Options = NO_OPTIONS


Request = AnnounceRequest | MapRequest


class Response(NamedTuple):
    """The header of any answer; `lifetime` and `epoch` in seconds."""

    version: int
    opcode: int
    result: int
    lifetime: int
    epoch: int


class MapResponse(NamedTuple):
    """An answer to a request for a mapping."""

    result: int
    lifetime: int
    epoch: int
    nonce: bytes
    protocol: int
    internal: int
    external: int
    address: Address


def pack_address(address: Address) -> bytes:
    """Return the sixteen octets of a field for addresses: section 5."""
    packed = address.packed
    return MAPPED + packed if len(packed) == 4 else packed


def unpack_address(field: bytes) -> Address:
    """Return the address in a field of sixteen octets."""
    if field.startswith(MAPPED):
        return IPv4Address(field[12:])
    return IPv6Address(field)


def decode_request(untrusted_data: bytes, source: bytes) -> Request:
    """Decode what a client sent. Raises MalformedRequest.

    `source`: the sixteen octets of the address that the datagram came from. The order
    of the checks, which decides the error, is that of section 8.2.
    """
    if len(untrusted_data) < 2 or untrusted_data[1] & IS_RESPONSE:
        raise MalformedRequest("too short, or a response")
    if untrusted_data[0] != VERSION:
        raise MalformedRequest("another version", Result.UNSUPP_VERSION)
    length = len(untrusted_data)
    if length < _REQUEST.size:
        raise MalformedRequest("shorter than a header")
    _, opcode, lifetime, untrusted_client = _REQUEST.unpack_from(untrusted_data)
    if length > LONGEST or length % 4 or length < _SIZES.get(opcode, 0):
        raise MalformedRequest("length", Result.MALFORMED_REQUEST)
    if untrusted_client != source:
        raise MalformedRequest(
            "another client's address", Result.ADDRESS_MISMATCH, is_parsed=True
        )
    if opcode == Opcode.MAP:
        return _decode_map(untrusted_data, lifetime)
    if opcode == Opcode.ANNOUNCE:
        options = untrusted_data[_REQUEST.size :]
        decode_options(options, may_shape=False, has_port=False)
        return AnnounceRequest()
    raise MalformedRequest("opcode", Result.UNSUPP_OPCODE)


def _decode_map(untrusted_data: bytes, lifetime: int) -> MapRequest:
    nonce, protocol, internal, suggested, field = _MAP.unpack_from(
        untrusted_data, _REQUEST.size
    )
    options = NO_OPTIONS
    if len(untrusted_data) > _SIZES[Opcode.MAP]:
        options = decode_options(
            untrusted_data[_SIZES[Opcode.MAP] :],
            may_shape=lifetime > 0,
            has_port=suggested > 0,
        )
    if protocol == 0 and internal > 0:
        raise MalformedRequest("a port of all protocols", Result.MALFORMED_REQUEST)
    address = unpack_address(field)
    return MapRequest(lifetime, nonce, protocol, internal, suggested, address, options)


def encode_error(
    untrusted_data: bytes, result: int, lifetime: int, epoch: int, *, is_parsed: bool
) -> bytes:
    """Encode an error: a copy of the request with another header (8.2).

    A request that is shorter than a header, which has an answer if its version is
    unknown, is filled up with zeros.
    """
    copied = untrusted_data[:LONGEST].ljust(_RESPONSE.size, b"\0")
    header = _RESPONSE.pack(
        VERSION,
        copied[1] | IS_RESPONSE,
        result,
        lifetime,
        epoch,
        _ZERO if is_parsed else copied[12:24],
    )
    return header + copied[_RESPONSE.size :] + bytes(-len(copied) % 4)


def encode_announcement(epoch: int) -> bytes:
    """Encode an ANNOUNCE, asked for or not: a bare header (14.1)."""
    opcode = Opcode.ANNOUNCE | IS_RESPONSE
    return _RESPONSE.pack(VERSION, opcode, Result.SUCCESS, 0, epoch, _ZERO)


def encode_map_response(response: MapResponse, options: bytes = b"") -> bytes:
    """Encode a success, with the options that were processed, or an update (14.2)."""
    result, lifetime, epoch, nonce, protocol, internal, external, address = response
    opcode = Opcode.MAP | IS_RESPONSE
    header = _RESPONSE.pack(VERSION, opcode, result, lifetime, epoch, _ZERO)
    field = pack_address(address)
    return header + _MAP.pack(nonce, protocol, internal, external, field) + options


def encode_map_request(
    request: MapRequest, client: Address, options: bytes = b""
) -> bytes:
    """Encode a request; `request.options` is for decoded ones and not looked at."""
    lifetime, nonce, protocol, internal, suggested, address, _ = request
    field = pack_address(address)
    header = _REQUEST.pack(VERSION, Opcode.MAP, lifetime, pack_address(client))
    return header + _MAP.pack(nonce, protocol, internal, suggested, field) + options


def encode_announce_request(client: Address) -> bytes:
    """Encode a question for the epoch."""
    return _REQUEST.pack(VERSION, Opcode.ANNOUNCE, 0, pack_address(client))


def decode_response(untrusted_data: bytes) -> Response | MapResponse:
    """Decode what a server sent. Raises MalformedResponse.

    An answer in another version, which says that this one is not spoken (section 9),
    and an error about anything else than a mapping, is a `Response`.
    """
    length = len(untrusted_data)
    if length < 4 or not untrusted_data[1] & IS_RESPONSE:
        raise MalformedResponse("too short, or a request")
    version, opcode, _, result = untrusted_data[:4]
    opcode &= ~IS_RESPONSE
    if result == Result.UNSUPP_VERSION:
        return Response(version, opcode, result, 0, 0)
    if version != VERSION:
        raise MalformedResponse("another version")
    if not _RESPONSE.size <= length <= LONGEST or length % 4:
        raise MalformedResponse("length")
    _, _, _, lifetime, epoch, _ = _RESPONSE.unpack_from(untrusted_data)
    if opcode != Opcode.MAP:
        return Response(version, opcode, result, lifetime, epoch)
    if length < _SIZES[Opcode.MAP]:
        raise MalformedResponse("too short for a mapping")
    nonce, protocol, internal, external, field = _MAP.unpack_from(
        untrusted_data, _RESPONSE.size
    )
    return MapResponse(
        result,
        lifetime,
        epoch,
        nonce,
        protocol,
        internal,
        external,
        unpack_address(field),
    )
