# SPDX-License-Identifier: GPL-2.0-or-later
"""The wire format of QubesDB: bytes to messages and back. No I/O.

A message is a header of 72 bytes (`u8` type, `char[64]` path ended by NUL, padding,
`u32` length; native order) and data. Source: include/qubesdb.h of
qubes-core-qubesdb, and how its daemon checks what it reads.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from qubesforward.errors import MalformedMessage

MAX_PATH = 63
"""Bytes of the longest path: the field of 64 ends with a NUL."""

MAX_VALUE = 3072
"""Bytes of the longest value on the wire.

The daemon of Qubes itself refuses a value of exactly this size, so what we compose
should stay below it.
"""

_HEADER = struct.Struct("@B64s3xI")
_PATH = re.compile(r"/[a-zA-Z0-9_.:/-]*")
_PRINTABLE = re.compile(rb"[ -~]*")


class MessageType(IntEnum):
    """What a message is: requests first, then what a server sends."""

    READ = 0
    WRITE = 1
    MULTIREAD = 2
    LIST = 3
    RM = 4
    WATCH = 5
    UNWATCH = 6
    OK = 7
    ERROR_NOENT = 8
    ERROR = 9
    ANSWER_READ = 10
    ANSWER_MULTIREAD = 11
    ANSWER_LIST = 12
    ANSWER_WATCH = 13


REQUESTS = frozenset(kind for kind in MessageType if kind < MessageType.OK)
ANSWERS = frozenset(kind for kind in MessageType if kind >= MessageType.OK)


@dataclass(frozen=True, slots=True)
class Message:
    """One message in either direction; the end of a listing has an empty path."""

    type: MessageType
    path: str
    data: bytes = b""


def find_path_fault(path: str) -> str | None:
    """Return what is wrong with a path that is to be sent; None if nothing."""
    if len(path) > MAX_PATH:
        return f"a path has at most {MAX_PATH} characters"
    if not _PATH.fullmatch(path):
        return "a path starts with / and has letters, digits and _ . : / - only"
    return None


def find_entry_fault(path: str, value: bytes) -> str | None:
    """Return what is wrong with an entry that is to be written; None if nothing."""
    if path.endswith("/"):
        return "the path of an entry does not end with /"
    if len(value) > MAX_VALUE:
        return f"a value has at most {MAX_VALUE} bytes, not {len(value)}"
    if b"\0" in value:
        return "a value has no NUL bytes"
    return find_path_fault(path)


def encode_message(message: Message) -> bytes:
    """Return the bytes of a message.

    Raises MalformedMessage when path or data do not fit into one.
    """
    path, data = message.path, message.data
    if len(path) > MAX_PATH or not (path.isascii() and path.isprintable()):
        raise MalformedMessage(f"QubesDB: not a path: {path[:80]!a}")
    if len(data) > MAX_VALUE:
        raise MalformedMessage(f"QubesDB: {len(data)} bytes of data are too many")
    return _HEADER.pack(message.type, path.encode("ascii"), len(data)) + data


class MessageReader:
    """Cuts a stream of bytes into messages, of the types that may arrive here."""

    def __init__(self, expected: frozenset[MessageType]) -> None:
        self._expected = frozenset(int(kind) for kind in expected)
        self._untrusted_buffer = bytearray()

    def feed(self, untrusted_data: bytes) -> Iterator[Message]:
        """Take in bytes; iterate to get the messages that are complete.

        Whoever stops iterating finds the rest by feeding ``b""``. Raises
        MalformedMessage, after the messages before the fault, and from then on.
        """
        self._untrusted_buffer += untrusted_data
        return self._cut()

    def _cut(self) -> Iterator[Message]:
        buffer = self._untrusted_buffer
        while len(buffer) >= _HEADER.size:
            untrusted_type, untrusted_path, untrusted_size = _HEADER.unpack_from(buffer)
            if untrusted_type not in self._expected:
                raise MalformedMessage(
                    f"QubesDB: message of type {untrusted_type} not expected here"
                )
            if untrusted_size > MAX_VALUE:
                raise MalformedMessage(
                    f"QubesDB: {untrusted_size} bytes of data are too many"
                )
            path = _decode_path(untrusted_path)
            size = _HEADER.size + untrusted_size
            if len(buffer) < size:
                return
            data = bytes(buffer[_HEADER.size : size])
            del buffer[:size]
            yield Message(MessageType(untrusted_type), path, data)


def _decode_path(untrusted_path: bytes) -> str:
    # Behind the NUL the daemon of Qubes leaves what happened to be in memory.
    untrusted_text, end, _garbage = untrusted_path.partition(b"\0")
    if not end or not _PRINTABLE.fullmatch(untrusted_text):
        raise MalformedMessage("QubesDB: a path without end, or not of printable ASCII")
    return untrusted_text.decode("ascii")
