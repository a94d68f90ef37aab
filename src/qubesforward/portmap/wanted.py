# SPDX-License-Identifier: GPL-2.0-or-later
"""One mapping that a client of a router wants, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from qubesforward.portmap import natpmp_wire, pcp_wire
from qubesforward.portmap.mapping import Address, Key, Transport, Via
from qubesforward.portmap.resending import natpmp_pause, pcp_pause, renewal_time

EDGE = Key(Transport.UDP, 0)
"""Stands for the router's address, which NAT-PMP has a request of its own for."""


class State(Enum):
    """What a client does for a mapping: the table is in `datagram_client`."""

    ASKING = auto()
    RESTING = auto()
    CLOSING = auto()


@dataclass
class Wanted:
    """A mapping, and when to do something for it next (`due`).

    `external`: its port at the router, 0 while it is not open; `suggested`: what it was
    last, or what the caller would like. `opened` and `end` are of the last yes.
    """

    key: Key
    nonce: bytes
    suggested: int
    lifetime: int
    due: float
    state: State = State.ASKING
    external: int = 0
    opened: float = 0.0
    end: float = 0.0
    tries: int = 0
    pause: float | None = None
    last_sent: float = float("-inf")

    def begin(self, state: State, due: float) -> None:
        """Begin to send, as if for the first time."""
        self.state, self.due = state, due
        self.tries, self.pause = 0, None

    def open(self, external: int, lifetime: float, now: float, lot: float) -> None:
        """Take in a yes."""
        self.external = self.suggested = external
        self.opened, self.end = now, now + lifetime
        self.state, self.tries = State.RESTING, 0
        self.due = self._renewal(float("-inf"), lot)

    def close(self) -> bool:
        """Take in that it is not open any more; whether it was."""
        was_open = self.external > 0
        self.external = 0
        return was_open

    def rest(self, until: float) -> None:
        """Let it be for a while: the router said no."""
        self.state, self.due = State.RESTING, until

    def sent(self, via: Via, now: float, lot: float) -> None:
        """Take in that a request went out; see when the next one does."""
        self.tries += 1
        self.last_sent = now
        if self.state is State.RESTING:
            self.due = self._renewal(now, lot)
        elif via is Via.PCP:
            self.pause = pcp_pause(self.pause, lot)
            self.due = now + self.pause
        else:
            self.due = now + natpmp_pause(self.tries)

    def _renewal(self, last: float, lot: float) -> float:
        return renewal_time(self.opened, self.end, self.tries, last, lot)


def encode_natpmp(wanted: Wanted) -> bytes:
    """Encode the request for a mapping, for its deletion, or for the address."""
    if wanted.key == EDGE:
        return natpmp_wire.encode_request(natpmp_wire.AddressRequest())
    suggested, lifetime = _wishes(wanted)
    transport, inner = wanted.key.transport, wanted.key.inner
    request = natpmp_wire.MapRequest(transport, inner, suggested, lifetime)
    return natpmp_wire.encode_request(request)


def encode_pcp(wanted: Wanted, own: Address, edge: Address | None) -> bytes:
    """Encode the request for a mapping, at its present edge, or for its deletion."""
    suggested, lifetime = _wishes(wanted)
    has_edge = edge is not None and lifetime and wanted.external
    request = pcp_wire.MapRequest(
        lifetime,
        wanted.nonce,
        pcp_wire.NUMBERS[wanted.key.transport],
        wanted.key.inner,
        suggested,
        edge if has_edge and edge else type(own)(0),
    )
    return pcp_wire.encode_map_request(request, own)


def _wishes(wanted: Wanted) -> tuple[int, int]:
    """Return the outer port and the lifetime to ask for: both 0 for a deletion."""
    if wanted.state is State.CLOSING:
        return 0, 0
    return wanted.suggested, wanted.lifetime
