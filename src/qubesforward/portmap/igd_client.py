# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the LAN's router by UPnP IGD, for ports that are to reach the internet.

::

    client = IgdClient(own, router)
    client.open(key, outer, lifetime, now); client.close(key, now)
    client.take_datagrams()                    → searches, and to whose port 1900
    client.receive_datagram(data, address)
    client.take_exchange(now)                  → a connection to make, one at a time:
        send exchange.request to exchange.address, exchange.port; then
        client.receive(exchange, data, now), .receive_end(exchange, now)
        or .fail(exchange, now); close it as soon as exchange.is_done
    client.handle_timer(now)                   at client.get_timer()
    client.take_events()                       → what the router did (client_events)

Whoever moves the bytes looks at all three `take_…` after each call. The router may be
anybody's: what it says is bounded, it is believed about nothing but its own ports, and
it cannot send us to another address than its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from qubesforward.portmap.client_events import (
    ClientEvent,
    EdgeChanged,
    MappingClosed,
    MappingLost,
    MappingOpened,
    MappingRefused,
    NoAnswer,
)
from qubesforward.portmap.http_client import Answer, AnswerReader, MalformedResponse
from qubesforward.portmap.igd_finder import Question, RouterFinder, Stage, ask, read
from qubesforward.portmap.igd_opening import (
    CHECK,
    DELETE,
    ENDLESS,
    REFUSED_FOR,
    Opening,
    Quirks,
    State,
)
from qubesforward.portmap.mapping import Key, Via
from qubesforward.portmap.soap import Fault, MalformedSoap

EXCHANGE_TIME = 6.0
"""Seconds for one question: cheap routers need two."""

EDGE_TIME = 600.0
EDGE_RETRY = 30.0
"""Seconds after which the outside address is asked for again; after no answer."""

MAX_FAILURES = 3
"""Questions without an answer, one after another: then the router is searched for."""

_GONE = 714
"""NoSuchEntryInArray: what is to be deleted is not there."""


class Exchange:
    """One connection to the router: a request, and the answer that it gets."""

    def __init__(self, question: Question, until: float) -> None:
        self.address = question.url.address
        self.port = question.url.port
        self.request = question.request
        self.until = until
        self.is_done = False
        self.reader = AnswerReader(question.max_body)


@dataclass(frozen=True, slots=True)
class _Call:
    """What was asked: an action, and for which opening; neither: by the finder."""

    action: str = ""
    opening: Opening | None = None


class IgdClient:
    """`own`: the address at which the router reaches us; `router`: its own, on the LAN.

    Nothing is sent before something is to be opened, or `watch` says that the router's
    outside address is wanted.
    """

    def __init__(self, own: IPv4Address, router: IPv4Address) -> None:
        self._own = own
        self._finder = RouterFinder(router)
        self._quirks = Quirks()
        self._edge: IPv4Address | None = None
        self._edge_due = 0.0
        self._failures = 0
        self._openings: dict[Key, Opening] = {}
        self._watches = False
        self._exchange: Exchange | None = None
        self._call = _Call()
        self._events: list[ClientEvent] = []

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing open, wanted or being withdrawn."""
        return not self._openings

    @property
    def _is_needed(self) -> bool:
        return bool(self._openings) or self._watches

    def open(self, key: Key, outer: int, lifetime: int, now: float) -> None:
        """Have the router lead `outer`, or another port, to ours; and renew that."""
        opening = self._openings.get(key)
        if opening is None:
            self._openings[key] = Opening(key, outer, lifetime, now)
        else:
            opening.want(outer, lifetime, now)
        if self._finder.stage is Stage.IDLE:
            self._finder.begin(now)

    def watch(self, wanted: bool, now: float) -> None:
        """Ask for the router's outside address even while nothing is open."""
        self._watches = wanted
        if wanted and self._finder.stage is Stage.IDLE:
            self._finder.begin(now)

    def close(self, key: Key, now: float) -> None:
        """Have the router lead nothing to this port of ours any more."""
        opening = self._openings.get(key)
        if opening is None or opening.state is State.CLOSING:
            return
        if opening.was_asked and opening.state is not State.REFUSED:
            opening.state, opening.due, opening.failures = State.CLOSING, now, 0
            if self._finder.stage is Stage.RESTING:
                self._forget(opening, is_confirmed=False)
        else:
            self._forget(opening, is_confirmed=True)

    def withdraw(self, key: Key, outer: int, now: float) -> None:
        """Have the router close what an earlier client may have opened.

        `outer` may be another host's by now: it is looked at first.
        """
        if key in self._openings:
            self.close(key, now)
            return
        opening = Opening(key, outer, 0, now, State.CLOSING, is_unsure=True)
        self._openings[key] = opening
        if self._finder.stage is Stage.IDLE:
            self._finder.begin(now)
        elif self._finder.stage is Stage.RESTING:
            self._forget(opening, is_confirmed=False)

    def _forget(self, opening: Opening, is_confirmed: bool) -> None:
        del self._openings[opening.key]
        self._events.append(MappingClosed(opening.key, is_confirmed))

    def take_datagrams(self) -> list[tuple[bytes, IPv4Address]]:
        """Return what is to be sent, and to whose port 1900, once."""
        return self._finder.take_datagrams()

    def take_events(self) -> list[ClientEvent]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def receive_datagram(self, untrusted_data: bytes, address: IPv4Address) -> None:
        """Take in what came to the port that searches are sent from."""
        self._finder.receive_datagram(untrusted_data, address)

    def take_exchange(self, now: float) -> Exchange | None:
        """Return a connection to be made; None while there is one, or no need."""
        if self._exchange is not None:
            return None
        found = self._choose(now)
        if found is None:
            return None
        self._call, question = found
        self._exchange = Exchange(question, now + EXCHANGE_TIME)
        return self._exchange

    def _choose(self, now: float) -> tuple[_Call, Question] | None:
        """Return what to ask next."""
        question = self._finder.find_question()
        if question is not None:
            return _Call(), question
        if self._finder.stage is not Stage.READY or not self._is_needed:
            return None
        connection = self._finder.connection
        if now >= self._edge_due:
            action = "GetExternalIPAddress"
            return _Call(action), ask(connection, action, ())
        opening = min(self._openings.values(), key=lambda one: one.due, default=None)
        if opening is None or now < opening.due:
            return None
        action = opening.action(self._quirks)
        arguments = opening.arguments(self._own, self._quirks)
        opening.was_asked = True
        return _Call(action, opening), ask(connection, action, arguments)

    def receive(self, exchange: Exchange, untrusted_data: bytes, now: float) -> None:
        """Take in bytes of an answer."""
        if exchange.is_done:
            return
        try:
            answer = exchange.reader.receive(untrusted_data)
        except MalformedResponse:
            self.fail(exchange, now)
            return
        if answer is not None:
            self._finish(answer, now)

    def receive_end(self, exchange: Exchange, now: float) -> None:
        """Take in that the router has closed the connection."""
        if exchange.is_done:
            return
        try:
            answer = exchange.reader.receive_end()
        except MalformedResponse:
            self.fail(exchange, now)
            return
        self._finish(answer, now)

    def fail(self, exchange: Exchange, now: float) -> None:
        """Take in that there is no connection, or not any more."""
        if not exchange.is_done:
            self._finish(None, now)

    def _finish(self, answer: Answer | None, now: float) -> None:
        if self._exchange is None:
            return
        self._exchange.is_done = True
        self._exchange = None
        call = self._call
        if not call.action:
            self._take_found(answer, now)
            return
        try:
            arguments = read(call.action, answer)
            self._take_answer(call, arguments, now)
        except Fault as fault:
            self._failures = 0
            self._take_fault(call, fault.code, now)
        except MalformedSoap:
            self._take_silence(call, now)
        else:
            self._failures = 0

    def _take_found(self, answer: Answer | None, now: float) -> None:
        if self._finder.take_answer(answer, now):
            self._note_absence()
        elif self._finder.stage is Stage.READY:
            # It may be another router than the last one.
            self._quirks = Quirks(has_any=self._finder.connection.has_any)
            self._failures = 0
            self._edge_due = now
            for opening in self._openings.values():
                opening.due = now

    def _take_answer(self, call: _Call, arguments: dict[str, str], now: float) -> None:
        opening = call.opening
        if opening is None:
            self._note_edge(_parse_address(arguments), now)
        elif call.action == DELETE:
            self._take_deleted(opening, now, is_confirmed=True)
        elif call.action == CHECK:
            self._take_found_entry(opening, arguments, now)
        else:
            outer = opening.outer
            if call.action == "AddAnyPortMapping":
                outer = _parse_port(arguments)
            self._take_added(opening, outer, now)

    def _take_found_entry(
        self, opening: Opening, untrusted_arguments: dict[str, str], now: float
    ) -> None:
        opening.is_unsure, opening.due = False, now
        if opening.state is not State.CLOSING:
            return
        leads_to = untrusted_arguments.get("NewInternalClient", "").strip()
        port = untrusted_arguments.get("NewInternalPort", "").strip()
        if (leads_to, port) != (str(self._own), str(opening.key.inner)):
            self._forget(opening, is_confirmed=True)

    def _take_added(self, opening: Opening, outer: int, now: float) -> None:
        if opening.state is State.CLOSING:
            opening.outer, opening.due = outer, now
            return
        opening.note_added(outer, now)
        lifetime = ENDLESS if self._quirks.only_permanent else opening.lifetime
        self._events.append(MappingOpened(opening.key, outer, lifetime, self._edge))

    def _take_deleted(self, opening: Opening, now: float, is_confirmed: bool) -> None:
        if opening.state is State.CLOSING:
            self._forget(opening, is_confirmed)
        else:
            # It was wanted again meanwhile.
            opening.due = now

    def _take_fault(self, call: _Call, code: int, now: float) -> None:
        opening = call.opening
        if opening is None:
            # Without this action there is no address to tell, and that is all.
            self._note_edge(None, now)
        elif call.action in (CHECK, DELETE):
            self._take_deleted(opening, now, is_confirmed=code == _GONE)
        elif opening.state is State.CLOSING:
            # Maybe it was open before: now it is deleted.
            opening.due = now
        else:
            was_open = opening.state is State.OPEN
            opening.note_fault(code, self._quirks, now)
            if was_open:
                self._events.append(MappingLost(opening.key))
            if opening.state is State.REFUSED:
                refused = MappingRefused(opening.key, Via.IGD, code, REFUSED_FOR)
                self._events.append(refused)

    def _take_silence(self, call: _Call, now: float) -> None:
        self._failures += 1
        if call.opening is None:
            self._edge_due = now + EDGE_RETRY
        elif call.opening.state is State.CLOSING and call.opening.failures:
            self._forget(call.opening, is_confirmed=False)
        else:
            call.opening.note_silence(now)
        if self._failures >= MAX_FAILURES:
            self._finder.begin(now)

    def _note_edge(self, edge: IPv4Address | None, now: float) -> None:
        self._edge_due = now + EDGE_TIME
        if edge != self._edge:
            self._edge = edge
            self._events.append(EdgeChanged(edge))
            # A router that has just started has forgotten all mappings.
            for opening in self._openings.values():
                opening.due = now

    def _note_absence(self) -> None:
        self._events.append(NoAnswer())
        for opening in list(self._openings.values()):
            if opening.state is State.CLOSING:
                self._forget(opening, is_confirmed=False)

    def get_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, None for never."""
        timers = [self._finder.get_timer()]
        timers += [one.end for one in self._openings.values() if one.is_open]
        if self._exchange is not None:
            timers.append(self._exchange.until)
        elif self._finder.stage is Stage.READY and self._is_needed:
            timers.append(self._edge_due)
            timers += [opening.due for opening in self._openings.values()]
        return min((one for one in timers if one is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Take in that it is later."""
        if self._exchange is not None and now >= self._exchange.until:
            self.fail(self._exchange, now)
        if not self._is_needed:
            self._finder.stop()
        elif self._finder.handle_timer(now):
            self._note_absence()
        for opening in self._openings.values():
            if opening.note_end(now):
                self._events.append(MappingLost(opening.key))


def _parse_address(untrusted_arguments: dict[str, str]) -> IPv4Address | None:
    """Return the outside address; None for none, and for what is no address."""
    try:
        address = IPv4Address(untrusted_arguments.get("NewExternalIPAddress", ""))
    except AddressValueError:
        return None
    return None if address.is_unspecified or address.is_multicast else address


def _parse_port(untrusted_arguments: dict[str, str]) -> int:
    untrusted_port = untrusted_arguments.get("NewReservedPort", "").strip()
    if untrusted_port.isascii() and untrusted_port.isdigit():
        port = int(untrusted_port[:6])
        if 0 < port < 65536:
            return port
    raise MalformedSoap("no port")
