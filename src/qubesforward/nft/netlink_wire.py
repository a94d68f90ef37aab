# SPDX-License-Identifier: GPL-2.0-or-later
"""The framing that all netlink families share: messages and attributes.

Numbers of the framing are in the machine's byte order; what is inside nfnetlink
attributes is in network order. Layouts: netlink(7), linux/netlink.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from qubesforward.errors import MalformedMessage

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_CREATE = 0x400
NLM_F_EXCL = 0x200
NLM_F_APPEND = 0x800

NLMSG_ERROR = 2
NLMSG_DONE = 3

_NESTED = 0x8000
_KIND_MASK = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_UNPACK_ATTRIBUTE = _ATTRIBUTE.unpack_from


class Message(NamedTuple):
    """One netlink message; `payload` is what follows the 16 bytes of the header."""

    kind: int
    flags: int
    seq: int
    payload: bytes


def encode_message(kind: int, flags: int, seq: int, payload: bytes) -> bytes:
    """Put the header before a payload; the payload's length is a multiple of 4."""
    return _HEADER.pack(_HEADER.size + len(payload), kind, flags, seq, 0) + payload


def decode_messages(data: bytes) -> Iterator[Message]:
    """Split what one receive call gave; raise `MalformedMessage` if it is cut off."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise MalformedMessage("netlink: the header is cut off")
        length, kind, flags, seq, _port = _HEADER.unpack_from(data, offset)
        if not _HEADER.size <= length <= len(data) - offset:
            raise MalformedMessage("netlink: a message's length is not its own")
        yield Message(kind, flags, seq, data[offset + _HEADER.size : offset + length])
        offset += _aligned(length)


def encode_attribute(kind: int, payload: bytes) -> bytes:
    """Encode one attribute, padded to a multiple of 4 bytes."""
    padding = b"\0" * (-len(payload) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + padding


def encode_nested(kind: int, *attributes: bytes) -> bytes:
    """Encode an attribute that holds attributes."""
    return encode_attribute(kind | _NESTED, b"".join(attributes))


def encode_text(kind: int, text: str) -> bytes:
    """Encode an attribute that holds a NUL-terminated name."""
    return encode_attribute(kind, text.encode("ascii") + b"\0")


def iter_attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Give each attribute's kind and payload; raise `MalformedMessage`."""
    end = len(data)
    while end - offset >= 4:
        length, kind = _UNPACK_ATTRIBUTE(data, offset)
        if not 4 <= length <= end - offset:
            raise MalformedMessage("netlink: an attribute's length is not its own")
        yield kind & _KIND_MASK, data[offset + 4 : offset + length]
        offset += length + 3 & ~3


def decode_attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return payloads by kind; of a kind that comes twice, the last."""
    return dict(iter_attributes(data, offset))


def decode_text(payload: bytes) -> str:
    """Read a NUL-terminated name."""
    return payload.rstrip(b"\0").decode("ascii", "replace")


def decode_u32(payload: bytes) -> int:
    """Read a 32-bit number in the machine's order; raise `MalformedMessage`."""
    if len(payload) != 4:
        raise MalformedMessage(f"netlink: a number of {len(payload)} bytes")
    return int(struct.unpack("=I", payload)[0])


def _aligned(length: int) -> int:
    return (length + 3) & ~3
