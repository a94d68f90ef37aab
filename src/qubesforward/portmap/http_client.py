# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP towards a router: requests as bytes, and a reader for one answer.

The router is not trusted: everything is bounded, and it is told nothing twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from qubesforward.portmap.http_head import (
    END,
    Head,
    MalformedHead,
    parse_head,
    render_head,
)

_MAX_HEAD = 8192
_MAX_PATH = 512

_STATUS = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")
_LENGTH = re.compile(r"[0-9]{1,9}")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,7})[ \t]*+(?:;[^\r\n]*)?\r\n")
_PATH = re.compile(r"/[!-~]*")
_URL = re.compile(r"http://([0-9.]{7,15})(?::([0-9]{1,5}))?(/[!-~]*)?", re.IGNORECASE)


class MalformedResponse(Exception):
    """This is no answer of a web server, or one that is too large."""


@dataclass(frozen=True, slots=True)
class Url:
    """A place on a web server whose address is a number."""

    address: IPv4Address
    port: int
    path: str

    @property
    def host(self) -> str:
        """Return what goes into the field Host."""
        return f"{self.address}:{self.port}"

    def resolve(self, untrusted_reference: str) -> Url | None:
        """Return the URL that a reference from here means, None if it is not usable.

        Only this address is: a router that sends us elsewhere aims at somebody.
        """
        untrusted_reference = untrusted_reference.strip()
        if "://" in untrusted_reference:
            url = parse_url(untrusted_reference)
            return url if url is not None and url.address == self.address else None
        if not untrusted_reference.startswith("/"):
            untrusted_reference = (
                f"{self.path.rpartition('/')[0]}/{untrusted_reference}"
            )
        too_long = len(untrusted_reference) > _MAX_PATH
        if too_long or not _PATH.fullmatch(untrusted_reference):
            return None
        return Url(self.address, self.port, untrusted_reference)


def parse_url(untrusted_text: str) -> Url | None:
    """Read an http URL whose host is an IPv4 address; None if it is anything else."""
    match = _URL.fullmatch(untrusted_text.strip()[: _MAX_PATH + 1])
    if match is None or len(untrusted_text.strip()) > _MAX_PATH:
        return None
    try:
        address = IPv4Address(match[1])
    except AddressValueError:
        return None
    port = int(match[2] or 80)
    return Url(address, port, match[3] or "/") if 0 < port < 65536 else None


def render_get(url: Url) -> bytes:
    """Write a request for a document."""
    fields = [("Host", url.host), ("Connection", "close")]
    return render_head(f"GET {url.path} HTTP/1.1", fields)


def render_post(url: Url, service: str, action: str, body: bytes) -> bytes:
    """Write a request that carries a SOAP call."""
    fields = [
        ("Host", url.host),
        ("Connection", "close"),
        ("Content-Type", 'text/xml; charset="utf-8"'),
        ("Content-Length", str(len(body))),
        ("SOAPAction", f'"{service}#{action}"'),
    ]
    return render_head(f"POST {url.path} HTTP/1.1", fields) + body


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    untrusted_body: bytes


class AnswerReader:
    """Reads one answer, whose body has at most `max_body` bytes."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._untrusted_buffer = bytearray()
        self._head: Head | None = None
        self._status = 0
        self._length: int | None = None
        self._is_chunked = False
        self._body = bytearray()

    def receive(self, untrusted_data: bytes) -> Answer | None:
        """Take in bytes; return the answer once it is whole; MalformedResponse."""
        self._untrusted_buffer += untrusted_data
        while self._head is None:
            if not self._read_head():
                return None
        if self._is_chunked:
            return self._read_chunks()
        self._check(len(self._untrusted_buffer))
        if self._length is None or len(self._untrusted_buffer) < self._length:
            return None
        return Answer(self._status, bytes(self._untrusted_buffer[: self._length]))

    def receive_end(self) -> Answer:
        """Take in that no more comes, which ends a body without a length."""
        if self._head is None or self._is_chunked or self._length is not None:
            raise MalformedResponse("it ends too early")
        return Answer(self._status, bytes(self._untrusted_buffer))

    def _check(self, length: int) -> None:
        if length > self._max_body:
            raise MalformedResponse("too long")

    def _read_head(self) -> bool:
        end = self._untrusted_buffer.find(END, 0, _MAX_HEAD)
        if end < 0:
            if len(self._untrusted_buffer) >= _MAX_HEAD:
                raise MalformedResponse("no end of the head")
            return False
        try:
            head = parse_head(bytes(self._untrusted_buffer[:end]))
        except MalformedHead as error:
            raise MalformedResponse(str(error)) from None
        del self._untrusted_buffer[: end + len(END)]
        match = _STATUS.fullmatch(head.untrusted_start)
        if match is None:
            raise MalformedResponse("no status")
        self._status = int(match[1])
        if self._status < 200:
            # RFC 7231 (6.2): any number of these may come before the answer.
            return True
        self._head = head
        self._is_chunked = head.get("transfer-encoding").lower() == "chunked"
        untrusted_length = head.get("content-length")
        if untrusted_length and not self._is_chunked:
            if not _LENGTH.fullmatch(untrusted_length):
                raise MalformedResponse("no length")
            self._length = int(untrusted_length)
            self._check(self._length)
        return True

    def _read_chunks(self) -> Answer | None:
        buffer = self._untrusted_buffer
        while match := _CHUNK.match(buffer):
            size, start = int(match[1], 16), match.end()
            self._check(len(self._body) + size)
            # What may come after the last one says nothing about the body.
            if size == 0:
                return Answer(self._status, bytes(self._body))
            if len(buffer) < start + size + 2:
                return None
            self._body += buffer[start : start + size]
            if buffer[start + size : start + size + 2] != b"\r\n":
                raise MalformedResponse("a piece of another size")
            del buffer[: start + size + 2]
        if len(buffer) > 256:
            raise MalformedResponse("not the size of a piece")
        return None
