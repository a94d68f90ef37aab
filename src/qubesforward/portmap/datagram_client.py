# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the LAN's router, by PCP (RFC 6887) or else NAT-PMP (RFC 6886).

Bytes and the time in, bytes and events out. Each mapping that is wanted is in one of
these states; what is `open` besides follows from answers and lifetimes alone.

| state | a timer | a yes | a no |
|---|---|---|---|
| asking | sends again, ever later | → resting | → resting |
| resting, open | renews; at its end → asking | renewed | → resting, not open |
| resting, not open | → asking | → resting, open | stays |
| closing | sends again, a few times; gone | gone | gone |

PCP comes first. A router that says that it speaks NAT-PMP is believed, at once or, if
PCP may still be answered, after its head start; one that says nothing is asked in
either by turns, until it answers. An answer in PCP always wins.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

from qubesforward.portmap import natpmp_wire, pcp_wire
from qubesforward.portmap.client_events import (
    ClientEvent,
    EdgeChanged,
    MappingClosed,
    MappingLost,
    MappingOpened,
    MappingRefused,
    NoAnswer,
)
from qubesforward.portmap.epoch import Epoch
from qubesforward.portmap.errors import MalformedResponse
from qubesforward.portmap.head_start import HeadStart
from qubesforward.portmap.mapping import Address, Key, Via
from qubesforward.portmap.pcp_result import LONG_LIVED, SHORT_LIVED, Result
from qubesforward.portmap.resending import NATPMP_TRIES
from qubesforward.portmap.wanted import (
    EDGE,
    State,
    Wanted,
    encode_natpmp,
    encode_pcp,
)

SERVER_PORT = 5351

_PCP_TRIES = 2
"""Requests without an answer, nine seconds, before NAT-PMP is tried. RFC 6887 lets a
client ask on for ever; old routers know NAT-PMP and drop what they do not know."""

_PATIENCE = 5
"""Requests in NAT-PMP without an answer before the caller is told: eight seconds."""

_CLOSING_TRIES = {Via.PCP: 3, Via.NATPMP: 5}

_TURN = 1.0
"""Seconds for which NAT-PMP's requests wait for one another; the RFC (3.7) wants them
one at a time, and a lost one shall not hold up all."""

_LONGEST = 24 * 60 * 60.0
"""Seconds of an absurdly long lifetime, of a mapping or of an error: RFC 6887, 15."""

_RECREATION = 5.0
"""Seconds, at most, after which lost mappings are asked for: RFC 6886, 3.7."""

_REST = 30.0
_LONGEST_REST = 1024.0
"""Seconds of silence after both protocols were tried in vain, doubled each time; the
longest is that of RFC 6887, 8.1.1."""

_PASSING: dict[Via, frozenset[int]] = {
    Via.PCP: frozenset(
        {Result.NETWORK_FAILURE, Result.NO_RESOURCES, Result.USER_EX_QUOTA}
    ),
    Via.NATPMP: frozenset(
        {
            natpmp_wire.Result.NETWORK_FAILURE,
            natpmp_wire.Result.OUT_OF_RESOURCES,
        }
    ),
}
"""Errors that say nothing of a mapping that is open."""


class DatagramClient:
    """Wants mappings from `router`, for the host that has the address `own`.

    Both are of one family. `draw` gives numbers of 0 to 1, evenly distributed.
    """

    def __init__(
        self, router: Address, own: Address, draw: Callable[[], float]
    ) -> None:
        self._router = router
        self._own = own
        self._draw = draw
        self._wanted: dict[Key, Wanted] = {}
        self._outbox: list[bytes] = []
        self._events: list[ClientEvent] = []
        self.via = Via.PCP
        self.has_answered = False
        self.edge: Address | None = None
        self._epoch = Epoch()
        self._rounds = 0
        self._edge_question: Wanted | None = None
        self._turn: tuple[Key | None, float] = (None, 0.0)
        self._was_told = False
        self._head_start = HeadStart()

    def start(
        self, key: Key, outer: int, lifetime: int, nonce: bytes, now: float
    ) -> None:
        """Want a mapping: `outer` is the port at the router that would be liked.

        `nonce`: twelve random octets, the same as before for a mapping from before.
        """
        self._wanted[key] = Wanted(key, nonce, outer, lifetime, now)

    def stop(self, key: Key, now: float) -> None:
        """Want a mapping no more; the router is told so if it may know of it."""
        wanted = self._wanted.get(key)
        if wanted is None or wanted.state is State.CLOSING:
            return
        was_refused = wanted.state is State.RESTING and not wanted.external
        if was_refused or wanted.last_sent == float("-inf"):
            self._close(wanted, is_confirmed=True)
            return
        wanted.begin(State.CLOSING, now)

    def withdraw(self, key: Key, nonce: bytes, now: float) -> None:
        """Have the router close what an earlier client may have opened."""
        if key in self._wanted:
            self.stop(key, now)
            return
        self._wanted[key] = wanted = Wanted(key, nonce, 0, 0, now)
        wanted.begin(State.CLOSING, now)

    def next_event(self) -> ClientEvent | None:
        """Return what has happened, one by one."""
        return self._events.pop(0) if self._events else None

    def datagrams_to_send(self) -> list[bytes]:
        """Return what to send to the router's port 5351."""
        datagrams, self._outbox = self._outbox, []
        return datagrams

    def get_timer(self) -> float | None:
        """Return when to call `handle_timer` next; None for never."""
        times = [self._due(wanted) for wanted in self._all()]
        if times and (due := self._head_start.get_timer()) is not None:
            times.append(due)
        return min(times, default=None)

    def _all(self) -> list[Wanted]:
        question = self._edge_question
        return [*([question] if question else []), *self._wanted.values()]

    def _due(self, wanted: Wanted) -> float:
        """Return when it is a mapping's time, and its turn."""
        holder, end = self._turn
        if self.via is Via.PCP or holder in (None, wanted.key):
            return wanted.due
        return max(wanted.due, end)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._outbox += self._head_start.handle_timer(now)
        if self._head_start.is_over and self._head_start.has_heard:
            self._switch(Via.NATPMP, now)
        for wanted in self._all():
            is_stale = wanted.key == EDGE and wanted is not self._edge_question
            if is_stale or self._due(wanted) > now:
                continue
            if wanted.state is State.CLOSING:
                if wanted.tries >= _CLOSING_TRIES[self.via]:
                    self._close(wanted, is_confirmed=False)
                    continue
            elif wanted.external and now >= wanted.end:
                wanted.close()
                self._events.append(MappingLost(wanted.key))
                wanted.begin(State.ASKING, now)
                self.has_answered = False
            elif wanted.state is State.RESTING and not wanted.external:
                wanted.begin(State.ASKING, now)
            if not self._gives_up(wanted, now):
                self._send(wanted, now)

    def _gives_up(self, wanted: Wanted, now: float) -> bool:
        """Try the other protocol if this one's request stayed without an answer."""
        if self.has_answered or wanted.state is not State.ASKING:
            return False
        is_v4 = isinstance(self._router, IPv4Address)
        if self.via is Via.PCP:
            if wanted.tries < _PCP_TRIES:
                return False
            if is_v4:
                self._switch(Via.NATPMP, now)
                return True
            self._tell_silence()
            return False
        if wanted.tries >= _PATIENCE:
            self._tell_silence()
        if wanted.tries < NATPMP_TRIES:
            return False
        self._rounds += 1
        self._switch(Via.PCP, now + min(_REST * 2**self._rounds, _LONGEST_REST))
        return True

    def _tell_silence(self) -> None:
        if not self._was_told:
            self._was_told = True
            self._events.append(NoAnswer())

    def _switch(self, via: Via, due: float) -> None:
        self.via = via
        self._epoch = Epoch()
        self._head_start = HeadStart()
        self._turn = (None, 0.0)
        self._edge_question = None
        if via is Via.NATPMP:
            self._ask_edge(due)
        for wanted in self._wanted.values():
            if wanted.state is not State.RESTING:
                wanted.begin(wanted.state, due)

    def _ask_edge(self, due: float) -> None:
        if self._edge_question is None:
            self._edge_question = Wanted(EDGE, b"", 0, 0, due)

    def _send(self, wanted: Wanted, now: float) -> None:
        is_renewal = wanted.state is State.RESTING
        wanted.sent(self.via, now, self._draw())
        if self.via is Via.PCP:
            if not self.has_answered and isinstance(self._router, IPv4Address):
                self._head_start.begin(now)
            self._outbox.append(encode_pcp(wanted, self._own, self.edge))
            return
        if wanted.tries == 1:
            self._turn = (wanted.key, now + _TURN)
        if is_renewal:
            # Many routers never announce another address.
            self._ask_edge(now)
        self._outbox.append(encode_natpmp(wanted))

    def receive_datagram(
        self, untrusted_data: bytes, source: Address, port: int, now: float
    ) -> None:
        """Take in a datagram, to this host or to everybody; strangers' are dropped."""
        if source != self._router or port != SERVER_PORT:
            return
        try:
            if untrusted_data[:1] == bytes((natpmp_wire.VERSION,)):
                self._receive_natpmp(natpmp_wire.decode_response(untrusted_data), now)
            else:
                self._receive_pcp(pcp_wire.decode_response(untrusted_data), now)
        except MalformedResponse:
            return

    def _receive_natpmp(self, response: natpmp_wire.Response, now: float) -> None:
        speaks = response.result == natpmp_wire.Result.UNSUPPORTED_VERSION
        if self.via is Via.PCP:
            if self.has_answered and not speaks:
                return
            # It says that it does not speak PCP, or answers late what was asked before.
            # Anything else, such as an announcement, comes from who speaks both too.
            is_sure = speaks or isinstance(response, natpmp_wire.MapResponse)
            if not is_sure and not self._head_start.is_over:
                self._head_start.has_heard = True
                return
            self._switch(Via.NATPMP, now)
        if speaks:
            self.has_answered = True
            return
        wanted = self._find_natpmp(response)
        if isinstance(response, natpmp_wire.MapResponse) and wanted is None:
            return
        self._hear(response.epoch, now)
        if isinstance(response, natpmp_wire.AddressResponse):
            self._take_edge(response, now)
        elif wanted is not None and response.result:
            is_passing = response.result in _PASSING[Via.NATPMP]
            retry = SHORT_LIVED if is_passing else LONG_LIVED
            self._take_no(wanted, response.result, retry, now)
        elif wanted is not None and isinstance(response, natpmp_wire.MapResponse):
            self._take_yes(wanted, response.external, response.lifetime, now)

    def _find_natpmp(self, response: natpmp_wire.Response) -> Wanted | None:
        """Return what is answered; a short error is about the one whose turn it is."""
        if isinstance(response, natpmp_wire.MapResponse):
            return self._wanted.get(Key(response.transport, response.internal))
        if isinstance(response, natpmp_wire.Refusal) and self._turn[0]:
            return self._wanted.get(self._turn[0])
        return None

    def _take_edge(self, response: natpmp_wire.AddressResponse, now: float) -> None:
        self._end_turn(EDGE)
        self._edge_question = None
        self._set_edge(None if response.result else response.address)
        if response.result and self._wanted:
            self._ask_edge(now + SHORT_LIVED)

    def _receive_pcp(
        self, response: pcp_wire.Response | pcp_wire.MapResponse, now: float
    ) -> None:
        if isinstance(response, pcp_wire.MapResponse):
            self._take_pcp(response, now)
        elif response.result == Result.UNSUPP_VERSION:
            # Section 9: the version that the router would have.
            if (response.version == pcp_wire.VERSION) != (self.via is Via.PCP):
                via = Via.NATPMP if self.via is Via.PCP else Via.PCP
                self._switch(via, now)
        elif response.opcode == pcp_wire.Opcode.ANNOUNCE:
            if self.via is Via.NATPMP and not self.has_answered:
                self._switch(Via.PCP, now)
            if self.via is Via.PCP:
                self._hear(response.epoch, now)

    def _take_pcp(self, response: pcp_wire.MapResponse, now: float) -> None:
        """Take in an answer, or an update that nobody asked for (14.2)."""
        transport = pcp_wire.PROTOCOLS.get(response.protocol)
        if transport is None:
            return
        wanted = self._wanted.get(Key(transport, response.internal))
        if wanted is None or wanted.nonce != response.nonce:
            return
        if self.via is Via.NATPMP:
            self._switch(Via.PCP, now)
        self._hear(response.epoch, now)
        if response.result:
            retry = min(max(response.lifetime, SHORT_LIVED), _LONGEST)
            self._take_no(wanted, response.result, retry, now)
            return
        if wanted.state is not State.CLOSING and response.lifetime:
            self._set_edge(response.address)
        self._take_yes(wanted, response.external, response.lifetime, now)

    def _take_yes(
        self, wanted: Wanted, external: int, lifetime: int, now: float
    ) -> None:
        self._end_turn(wanted.key)
        is_deletion = lifetime == 0 or external == 0
        if wanted.state is State.CLOSING:
            if is_deletion:
                self._close(wanted, is_confirmed=True)
            return
        # An answer to a deletion from before it was wanted again says nothing.
        if not is_deletion:
            lifetime = min(lifetime, int(_LONGEST))
            wanted.open(external, lifetime, now, self._draw())
            event = MappingOpened(wanted.key, external, lifetime, self.edge)
            self._events.append(event)

    def _take_no(self, wanted: Wanted, code: int, retry: float, now: float) -> None:
        self._end_turn(wanted.key)
        if wanted.state is State.CLOSING:
            self._close(wanted, is_confirmed=False)
            return
        if wanted.external and code in _PASSING[self.via]:
            # It is open until its end; the next renewal may succeed.
            return
        if wanted.close():
            self._events.append(MappingLost(wanted.key))
        self._events.append(MappingRefused(wanted.key, self.via, code, retry))
        wanted.rest(now + retry)

    def _hear(self, epoch: int, now: float) -> None:
        """Take in that the router lives, and since when."""
        self.has_answered, self._was_told, self._rounds = True, False, 0
        self._head_start = HeadStart()
        follows = (
            self._epoch.follows_in_pcp
            if self.via is Via.PCP
            else self._epoch.follows_in_natpmp
        )
        is_lost = not follows(epoch, now)
        for wanted in self._wanted.values():
            if is_lost and wanted.external and wanted.state is State.RESTING:
                wanted.begin(State.ASKING, now + _RECREATION * self._draw())

    def _end_turn(self, key: Key) -> None:
        if self._turn[0] == key:
            self._turn = (None, 0.0)

    def _set_edge(self, edge: Address | None) -> None:
        if edge != self.edge:
            self.edge = edge
            self._events.append(EdgeChanged(edge))

    def _close(self, wanted: Wanted, *, is_confirmed: bool) -> None:
        del self._wanted[wanted.key]
        if not self._wanted:
            self._edge_question = None
        self._events.append(MappingClosed(wanted.key, is_confirmed))
