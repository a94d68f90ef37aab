# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/1.1 for one connection of a client: bytes and the time in, requests out.

One request at a time: what a client sends beyond the one that it waits for ends the
connection after the answer (nothing that speaks UPnP does it), so that nobody can make
answers pile up here.

| state | whole head | whole body | answer | last answer | fault, time-out |
|---|---|---|---|---|---|
| head | → body | | | | → closing |
| body | | → held | | | → closing |
| held | | | → head | → closing | |
| closing | | | | | → lost |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from qubesforward.portmap.http_head import (
    END,
    Head,
    MalformedHead,
    is_host,
    parse_head,
    render_head,
)
from qubesforward.portmap.ssdp import SERVER

MAX_HEAD = 4096
MAX_BODY = 16 * 1024
MAX_REQUESTS = 64
"""On one connection; browsers and servers at large use about 100."""

REQUEST_TIME = 10.0
"""Seconds from the start of a request, or of the connection, to the request's end."""

IDLE_TIME = 15.0
LINGER_TIME = 5.0
"""Seconds that a client has to take the last answer."""

_START = re.compile(r"([A-Z-]{1,16}) ([!-~]{1,256}) HTTP/1\.([01])")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class State(StrEnum):
    """Of a connection."""

    HEAD = "head"
    BODY = "body"
    HELD = "held"
    CLOSING = "closing"
    LOST = "lost"


class _Event(StrEnum):
    HEAD = "whole head"
    BODY = "whole body"
    ANSWER = "answer"
    LAST_ANSWER = "last answer"
    FAULT = "fault"


_NEXT = {
    (State.HEAD, _Event.HEAD): State.BODY,
    (State.HEAD, _Event.FAULT): State.CLOSING,
    (State.BODY, _Event.BODY): State.HELD,
    (State.BODY, _Event.FAULT): State.CLOSING,
    (State.HELD, _Event.ANSWER): State.HEAD,
    (State.HELD, _Event.LAST_ANSWER): State.CLOSING,
    (State.CLOSING, _Event.FAULT): State.LOST,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request."""

    method: str
    path: str
    head: Head
    untrusted_body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer; `fields` besides those that every answer has."""

    status: int
    body: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()


class _Refusal(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HttpConnection:
    """One connection. `is_closing`: close it once the output has gone out.

    `is_lost`: nothing will be taken or given any more; give it up now.
    """

    def __init__(self, address: IPv4Address, port: int, now: float) -> None:
        self._address = address
        self._port = port
        self._state = State.HEAD
        self._untrusted_buffer = bytearray()
        self._output = bytearray()
        self._deadline: float | None = now + REQUEST_TIME
        self._requests = 0
        self._is_last = False
        self._request = Request("", "", Head("", {}), b"")
        self._length = 0

    @property
    def is_closing(self) -> bool:
        """Whether the output is the last that the client gets."""
        return self._state in (State.CLOSING, State.LOST)

    @property
    def is_lost(self) -> bool:
        """Whether not even the output matters any more."""
        return self._state is State.LOST

    @property
    def is_held(self) -> bool:
        """Whether a request waits for its answer."""
        return self._state is State.HELD

    def take_output(self) -> bytes:
        """Return what is to be sent, once."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def get_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, None for never."""
        return self._deadline

    def handle_timer(self, now: float) -> None:
        """Take in that it is later."""
        if self._deadline is None or now < self._deadline:
            return
        if self._state is State.CLOSING:
            self._move(_Event.FAULT)
            self._deadline = None
        elif self._state is State.HEAD and not self._untrusted_buffer:
            # Idle: RFC 7230 (6.5) lets us close without a word.
            self._close(_Event.FAULT, now)
        else:
            self._refuse(408, now)

    def receive(self, untrusted_data: bytes, now: float) -> Request | None:
        """Take in bytes; return the request that they complete.

        Faults are answered here; nothing is kept of a request that is refused.
        """
        if self.is_closing:
            return None
        if self._state is State.HELD:
            self._is_last = self._is_last or bool(untrusted_data.strip(b"\r\n"))
            return None
        if self._state is State.HEAD and not self._untrusted_buffer:
            # RFC 7230 (3.5): an empty line before a request is let pass.
            untrusted_data = untrusted_data.lstrip(b"\r\n")
            if untrusted_data and self._requests:
                self._deadline = now + REQUEST_TIME
        self._untrusted_buffer += untrusted_data
        try:
            return self._read()
        except _Refusal as refusal:
            self._refuse(refusal.status, now)
            return None

    def _read(self) -> Request | None:
        buffer = self._untrusted_buffer
        if self._state is State.HEAD:
            end = buffer.find(END, 0, MAX_HEAD)
            if end < 0:
                if len(buffer) >= MAX_HEAD:
                    raise _Refusal(431)
                return None
            untrusted_head = bytes(buffer[:end])
            del buffer[: end + len(END)]
            self._take_head(untrusted_head)
        if len(buffer) < self._length:
            return None
        self._move(_Event.BODY)
        self._deadline = None
        untrusted_body = bytes(buffer[: self._length])
        self._is_last = self._is_last or bool(buffer[self._length :].strip(b"\r\n"))
        buffer.clear()
        request = self._request
        return Request(request.method, request.path, request.head, untrusted_body)

    def _take_head(self, untrusted_head: bytes) -> None:
        try:
            head = parse_head(untrusted_head)
        except MalformedHead:
            raise _Refusal(400) from None
        start = _START.fullmatch(head.untrusted_start)
        if start is None:
            is_newer = re.search(r" HTTP/[2-9](\.[0-9])?$", head.untrusted_start)
            raise _Refusal(505 if is_newer else 400)
        method, untrusted_target, minor = start.groups()
        if not is_host(head.get("host"), self._address, self._port):
            raise _Refusal(403)
        # Only web pages have an origin; ours would be the one that is let in.
        if "origin" in head.untrusted_fields:
            raise _Refusal(403)
        self._length = _find_length(method, head)
        self._requests += 1
        wishes = {each.strip() for each in head.get("connection").lower().split(",")}
        is_full = self._requests >= MAX_REQUESTS
        self._is_last = minor == "0" or "close" in wishes or is_full
        self._request = Request(method, self._find_path(untrusted_target), head, b"")
        self._move(_Event.HEAD)
        self._expect(head, minor)

    def _find_path(self, untrusted_target: str) -> str:
        """Return the path of a target, which may be a whole URL (RFC 7230, 5.3.2)."""
        scheme, _, rest = untrusted_target.partition("://")
        if scheme.lower() == "http":
            untrusted_host, _, path = rest.partition("/")
            if is_host(untrusted_host, self._address, self._port):
                return f"/{path}"
        if not untrusted_target.startswith("/"):
            raise _Refusal(400)
        return untrusted_target

    def _expect(self, head: Head, minor: str) -> None:
        untrusted_expectation = head.get("expect").lower()
        if untrusted_expectation not in ("", "100-continue"):
            raise _Refusal(417)
        is_awaited = self._length > 0 and not self._untrusted_buffer
        if untrusted_expectation and minor == "1" and is_awaited:
            self._output += _CONTINUE

    def receive_end(self, now: float) -> None:
        """Take in that the client sends no more; an answer may still go out."""
        if self._state in (State.HEAD, State.BODY):
            self._close(_Event.FAULT, now)
        self._is_last = True

    def respond(self, response: Response, now: float) -> None:
        """Answer the request that waits; without one, nothing is done."""
        if self._state is not State.HELD:
            return
        self._render(response)
        if self._is_last:
            self._close(_Event.LAST_ANSWER, now)
        else:
            self._move(_Event.ANSWER)
            self._deadline = now + IDLE_TIME

    def _refuse(self, status: int, now: float) -> None:
        self._is_last = True
        self._render(Response(status))
        self._close(_Event.FAULT, now)

    def _close(self, event: _Event, now: float) -> None:
        self._move(event)
        self._untrusted_buffer.clear()
        self._deadline = now + LINGER_TIME

    def _move(self, event: _Event) -> None:
        self._state = _NEXT[self._state, event]

    def _render(self, response: Response) -> None:
        fields = [
            ("Content-Type", 'text/xml; charset="utf-8"'),
            ("Content-Length", str(len(response.body))),
            ("Connection", "close" if self._is_last else "keep-alive"),
            ("Server", SERVER),
            *response.fields,
        ]
        status = f"HTTP/1.1 {response.status} {_REASONS[response.status]}"
        self._output += render_head(status, fields) + response.body


def _find_length(method: str, head: Head) -> int:
    """Return how many bytes of body follow; refuse what is too many before it comes."""
    # RFC 7230 (3.3.3) allows a server to insist on a length. What comes in pieces is
    # sent by no client of UPnP that is known, and its size is not known beforehand.
    if "transfer-encoding" in head.untrusted_fields:
        raise _Refusal(411)
    untrusted_length = head.get("content-length")
    if "content-length" not in head.untrusted_fields:
        if method == "POST":
            raise _Refusal(411)
        return 0
    if not _LENGTH.fullmatch(untrusted_length):
        raise _Refusal(413 if untrusted_length.isdecimal() else 400)
    length = int(untrusted_length)
    if length > MAX_BODY:
        raise _Refusal(413)
    return length
