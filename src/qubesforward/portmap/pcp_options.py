# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of PCP messages: RFC 6887, 7.3 and 13."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from qubesforward.portmap.errors import MalformedRequest
from qubesforward.portmap.mapping import Network
from qubesforward.portmap.pcp_result import Result

MAPPED = bytes(10) + b"\xff\xff"
"""The first 96 bits of an IPv4 address in a field of 128: section 5."""

_MAPPED_BITS = 96
_HEADER = struct.Struct(">BxH")
_FILTER = struct.Struct(">xBH16s")
_IS_OPTIONAL = 0x80


class Code(IntEnum):
    """Options that RFC 6887 defines."""

    THIRD_PARTY = 1
    PREFER_FAILURE = 2
    FILTER = 3


class Options(NamedTuple):
    """What a request's options ask for.

    `exact`: the suggested outer port or none (PREFER_FAILURE). `clears`: earlier
    filters go, and `filters`, in their order, come to those that stay. `processed`:
    the octets of the options that the answer repeats.
    """

    exact: bool = False
    clears: bool = False
    filters: frozenset[Network] = frozenset()
    processed: bytes = b""


NO_OPTIONS = Options()


def decode_options(
    untrusted_data: bytes, *, may_shape: bool, has_port: bool
) -> Options:
    """Decode all options of a request. Raises MalformedRequest.

    `may_shape`: it is a request for a mapping, not a deletion or another opcode, so
    PREFER_FAILURE and FILTER make sense (11.3); `has_port`: it suggests an outer port,
    without which PREFER_FAILURE is invalid (13.2).
    """
    exact = clears = False
    filters: list[Network] = []
    processed = []
    # The structure of all of them comes first: 7.3.
    for code, untrusted_value, whole in list(_split(untrusted_data)):
        if code & _IS_OPTIONAL:
            continue
        if code not in (Code.PREFER_FAILURE, Code.FILTER):
            # THIRD_PARTY is among them: nobody may ask for somebody else here.
            raise MalformedRequest(
                "option not supported", Result.UNSUPP_OPTION, is_parsed=True
            )
        if not may_shape:
            raise _malformed("option where it makes no sense")
        if code == Code.PREFER_FAILURE:
            if exact or untrusted_value or not has_port:
                raise _malformed("PREFER_FAILURE twice, with data or without a port")
            exact = True
        else:
            network = _decode_filter(untrusted_value)
            if network is None:
                clears = True
                filters.clear()
            else:
                filters.append(network)
        processed.append(whole)
    return Options(exact, clears, frozenset(filters), b"".join(processed))


def encode_options(*, exact: bool, filters: frozenset[Network] | None) -> bytes:
    """Encode options of a request; filters, unless None, take the place of earlier."""
    data = encode_option(Code.PREFER_FAILURE, b"") if exact else b""
    if filters is None:
        return data
    data += encode_option(Code.FILTER, _FILTER.pack(0, 0, MAPPED + bytes(4)))
    for network in sorted(filters, key=str):
        data += encode_option(Code.FILTER, _encode_filter(network))
    return data


def encode_option(code: int, data: bytes) -> bytes:
    """Encode one option, padded to a multiple of four octets."""
    return _HEADER.pack(code, len(data)) + data + bytes(-len(data) % 4)


def _split(untrusted_data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield code, data, and all octets of each option."""
    offset = 0
    while offset < len(untrusted_data):
        start = offset + _HEADER.size
        if start > len(untrusted_data):
            raise _malformed("half a header")
        code, length = _HEADER.unpack_from(untrusted_data, offset)
        end = start + length + -length % 4
        if end > len(untrusted_data):
            raise _malformed("longer than the message")
        yield code, untrusted_data[start : start + length], untrusted_data[offset:end]
        offset = end


def _decode_filter(untrusted_value: bytes) -> Network | None:
    """Decode a FILTER; None for the one that takes all earlier ones away."""
    if len(untrusted_value) != _FILTER.size:
        raise _malformed("length of FILTER")
    bits, port, packed = _FILTER.unpack(untrusted_value)
    if bits == 0:
        return None
    is_v4 = packed.startswith(MAPPED)
    if bits > 128 or (is_v4 and bits < _MAPPED_BITS):
        raise _malformed("prefix length of FILTER")
    if port:
        # The kernel's sets hold no ports of the other side; a filter that is not
        # enforced to the letter is refused.
        raise MalformedRequest(
            "FILTER for a port", Result.EXCESSIVE_REMOTE_PEERS, is_parsed=True
        )
    if is_v4:
        v4 = int.from_bytes(packed[12:], "big")
        return IPv4Network((v4, bits - _MAPPED_BITS), strict=False)
    return IPv6Network((int.from_bytes(packed, "big"), bits), strict=False)


def _encode_filter(network: Network) -> bytes:
    packed = network.network_address.packed
    if isinstance(network, IPv4Network):
        return _FILTER.pack(network.prefixlen + _MAPPED_BITS, 0, MAPPED + packed)
    return _FILTER.pack(network.prefixlen, 0, packed)


def _malformed(why: str) -> MalformedRequest:
    return MalformedRequest(why, Result.MALFORMED_OPTION)
