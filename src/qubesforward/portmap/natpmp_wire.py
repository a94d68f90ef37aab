# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT-PMP on the wire, both ways: RFC 6886, sections 3.2, 3.3 and 3.5."""

from __future__ import annotations

import struct
from enum import IntEnum
from ipaddress import IPv4Address
from typing import NamedTuple

from qubesforward.portmap.errors import MalformedRequest, MalformedResponse
from qubesforward.portmap.mapping import Transport

VERSION = 0
IS_RESPONSE = 0x80
"""In the opcode. The same bit is the R bit of PCP."""

_ADDRESS = 0
_OPCODES = {Transport.UDP: 1, Transport.TCP: 2}
_TRANSPORTS = {opcode: transport for transport, opcode in _OPCODES.items()}
_LONGEST = 1100
"""Octets. RFC 6886 gives no limit; this is that of PCP, on the same port."""

_MAP_REQUEST = struct.Struct(">BBxxHHI")
_HEAD = struct.Struct(">BBHI")
_ADDRESS_RESPONSE = struct.Struct(">BBHI4s")
_MAP_RESPONSE = struct.Struct(">BBHIHHI")


class Result(IntEnum):
    """Result codes: RFC 6886, 3.5."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


class AddressRequest(NamedTuple):
    """Opcode 0: a question for the outside address."""


class MapRequest(NamedTuple):
    """Opcodes 1 and 2: a mapping; lifetime 0 (seconds) deletes.

    `internal` 0 with lifetime 0 stands for all mappings of that transport.
    """

    transport: Transport
    internal: int
    suggested: int
    lifetime: int


Request = AddressRequest | MapRequest


class AddressResponse(NamedTuple):
    """The outside address, 0.0.0.0 where `result` is none of success."""

    result: int
    epoch: int
    address: IPv4Address


class MapResponse(NamedTuple):
    """An answer to a request for a mapping; `external` and `lifetime` 0: there is none.

    Which request it answers is told by `transport` and `internal` alone.
    """

    transport: Transport
    result: int
    epoch: int
    internal: int
    external: int
    lifetime: int


class Refusal(NamedTuple):
    """An answer without fields that would tell what it answers: version or opcode."""

    opcode: int
    result: int
    epoch: int


Response = AddressResponse | MapResponse | Refusal


def decode_request(untrusted_data: bytes) -> Request:
    """Decode what a client sent. Raises MalformedRequest.

    Octets behind the fields are let be: the RFC says nothing of them.
    """
    length = len(untrusted_data)
    if not 2 <= length <= _LONGEST:
        raise MalformedRequest("too short or too long")
    version, opcode = untrusted_data[0], untrusted_data[1]
    if opcode & IS_RESPONSE:
        raise MalformedRequest("a response")
    if version != VERSION:
        raise MalformedRequest("another version", Result.UNSUPPORTED_VERSION)
    if opcode == _ADDRESS:
        return AddressRequest()
    transport = _TRANSPORTS.get(opcode)
    if transport is None:
        raise MalformedRequest("unknown opcode", Result.UNSUPPORTED_OPCODE)
    if length < _MAP_REQUEST.size:
        raise MalformedRequest("too short for a mapping")
    _, _, internal, suggested, lifetime = _MAP_REQUEST.unpack_from(untrusted_data)
    return MapRequest(transport, internal, suggested, lifetime)


def encode_request(request: Request) -> bytes:
    """Encode what a client sends."""
    if isinstance(request, AddressRequest):
        return bytes((VERSION, _ADDRESS))
    opcode = _OPCODES[request.transport]
    return _MAP_REQUEST.pack(
        VERSION, opcode, request.internal, request.suggested, request.lifetime
    )


def encode_response(response: AddressResponse | MapResponse) -> bytes:
    """Encode what a server answers."""
    if isinstance(response, AddressResponse):
        opcode = IS_RESPONSE | _ADDRESS
        result, epoch, address = response
        return _ADDRESS_RESPONSE.pack(VERSION, opcode, result, epoch, address.packed)
    transport, *fields = response
    return _MAP_RESPONSE.pack(VERSION, IS_RESPONSE | _OPCODES[transport], *fields)


def encode_refusal(untrusted_data: bytes, result: int, epoch: int) -> bytes:
    """Encode the answer to a request whose version or opcode is not known.

    An unknown opcode gets its whole request back (3.5), an unknown version eight
    octets with opcode 0, whose top bit is not set: so the RFC draws it.
    """
    if result == Result.UNSUPPORTED_VERSION:
        return _HEAD.pack(VERSION, 0, result, epoch)
    opcode = IS_RESPONSE | untrusted_data[1]
    return _HEAD.pack(VERSION, opcode, result, epoch) + untrusted_data[_HEAD.size :]


def decode_response(untrusted_data: bytes) -> Response:
    """Decode what a server sent. Raises MalformedResponse."""
    if not _HEAD.size <= len(untrusted_data) <= _LONGEST:
        raise MalformedResponse("too short or too long")
    version, opcode, result, epoch = _HEAD.unpack_from(untrusted_data)
    if version != VERSION:
        raise MalformedResponse("another version")
    if result == Result.UNSUPPORTED_VERSION:
        return Refusal(opcode & ~IS_RESPONSE, result, epoch)
    if not opcode & IS_RESPONSE:
        raise MalformedResponse("a request")
    opcode &= ~IS_RESPONSE
    if opcode == _ADDRESS:
        return _decode_address(untrusted_data, result, epoch)
    transport = _TRANSPORTS.get(opcode)
    if transport is None or (result and len(untrusted_data) < _MAP_RESPONSE.size):
        return Refusal(opcode, result, epoch)
    if len(untrusted_data) < _MAP_RESPONSE.size:
        raise MalformedResponse("too short for a mapping")
    internal, external, lifetime = _MAP_RESPONSE.unpack_from(untrusted_data)[4:]
    return MapResponse(transport, result, epoch, internal, external, lifetime)


def _decode_address(untrusted_data: bytes, result: int, epoch: int) -> Response:
    if len(untrusted_data) < _ADDRESS_RESPONSE.size:
        if result:
            return Refusal(_ADDRESS, result, epoch)
        raise MalformedResponse("too short for an address")
    packed = _ADDRESS_RESPONSE.unpack_from(untrusted_data)[4]
    # Undefined where there was no success: 3.2.
    return AddressResponse(result, epoch, IPv4Address(0 if result else packed))
