# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks a router for its address on its other side, where nothing is mapped yet.

NAT-PMP has a request for that (RFC 6886, 3.2); PCP tells it with a mapping only.
"""

from __future__ import annotations

from qubesforward.portmap import natpmp_wire
from qubesforward.portmap.client_events import EdgeChanged
from qubesforward.portmap.errors import MalformedResponse
from qubesforward.portmap.mapping import Address
from qubesforward.portmap.resending import NATPMP_TRIES, natpmp_pause

_AGAIN = 300.0
"""Seconds after an answer: many routers never announce another address."""

_REST = 30.0
_LONGEST_REST = 1024.0
"""Seconds of silence after a router did not answer, doubled each time."""


class EdgeWatch:
    """Asks one router, from `now` on for as long as it is there."""

    def __init__(self, now: float) -> None:
        self._due = now
        self._tries = 0
        self._rest = _REST
        self._edge: Address | None = None
        self._events: list[EdgeChanged] = []

    def get_timer(self) -> float:
        """Return when `handle_timer` has something to do."""
        return self._due

    def handle_timer(self, now: float) -> list[bytes]:
        """Return what is to be sent to the router's port 5351 now."""
        if now < self._due:
            return []
        if self._tries >= NATPMP_TRIES:
            self._tries = 0
            self._due = now + self._rest
            self._rest = min(2 * self._rest, _LONGEST_REST)
            return []
        self._tries += 1
        self._due = now + natpmp_pause(self._tries)
        return [natpmp_wire.encode_request(natpmp_wire.AddressRequest())]

    def receive_datagram(self, untrusted_data: bytes, now: float) -> None:
        """Take in a datagram from there; what is no such answer changes nothing."""
        try:
            response = natpmp_wire.decode_response(untrusted_data)
        except MalformedResponse:
            return
        if not isinstance(response, natpmp_wire.AddressResponse):
            return
        self._tries, self._rest = 0, _REST
        edge = None if response.result else response.address
        self._due = now + (_AGAIN if edge is not None else _REST)
        if edge != self._edge:
            self._edge = edge
            self._events.append(EdgeChanged(edge))

    def take_events(self) -> list[EdgeChanged]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events
