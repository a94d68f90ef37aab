# SPDX-License-Identifier: GPL-2.0-or-later
"""An Internet gateway for one client: its searches, its connections, its requests.

::

    server = IgdServer(table, client, gateway, http_port, uuid, now)
    server.receive_search(data, port, now)     → packets to send back to that port
    connection = server.connect(now)           → None: there are too many, close it
    connection.receive(data, now); .receive_end(now); .lose()
    server.settle(key, now)                    on the table's Settled
    server.handle_timer(now)                   at server.get_timer()
    server.take_ready()                        → connections to be looked after: write
        connection.take_output(); then close if .is_closing, abort if .is_lost

Whoever moves the bytes asks `take_ready` after each call, and stops reading from a
connection while its output does not drain.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from qubesforward.portmap.http_server import HttpConnection, Request, Response
from qubesforward.portmap.igd_actions import Actions, Outcome, Waiting
from qubesforward.portmap.igd_description import find_document, find_service
from qubesforward.portmap.igd_mappings import Mappings
from qubesforward.portmap.igd_services import Service
from qubesforward.portmap.mapping import Key
from qubesforward.portmap.soap import (
    Call,
    Fault,
    MalformedSoap,
    parse_call,
    render_answer,
    render_fault,
)
from qubesforward.portmap.ssdp import (
    Device,
    MalformedSearch,
    answer_search,
    parse_search,
    render_alive,
    render_byebye,
)
from qubesforward.portmap.table import Table

HOLD_TIME = 2.0
"""Seconds that a request waits for the user; programs give up after some five."""

_TYPES = {"", "text/xml", "application/xml"}


@dataclass(frozen=True, slots=True)
class IgdLimits:
    """What one client may take up; rates are per second, with as much again at once."""

    connections: int = 16
    requests: float = 500.0
    found: float = 60.0
    """Answers to searches; one program's burst of searches gets about 20."""


class Allowance:
    """So many a second, and one second's worth of them at once."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = rate
        self._at = now

    def take(self, amount: int, now: float) -> bool:
        """Take so many; False, and nothing taken, if there are not as many left."""
        elapsed = max(0.0, now - self._at)
        self._left = min(self._rate, self._left + elapsed * self._rate)
        self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True


@dataclass(frozen=True, slots=True)
class _Held:
    """A call that waits for the user, and until when."""

    service: Service
    call: Call
    key: Key
    until: float


class IgdConnection:
    """One connection of the client to the web server."""

    def __init__(self, server: IgdServer, http: HttpConnection) -> None:
        self._server = server
        self._http = http
        self._held: _Held | None = None

    @property
    def is_closing(self) -> bool:
        """Whether to close it when the output is out."""
        return self._http.is_closing

    @property
    def is_lost(self) -> bool:
        """Whether to close it now, whatever has not gone out."""
        return self._http.is_lost

    def take_output(self) -> bytes:
        """Return what is to be sent, once."""
        return self._http.take_output()

    def receive(self, untrusted_data: bytes, now: float) -> None:
        """Take in bytes."""
        request = self._http.receive(untrusted_data, now)
        if request is not None:
            self._answer(request, now)
        self._server.note(self)

    def receive_end(self, now: float) -> None:
        """Take in that the client sends no more."""
        self._http.receive_end(now)
        self._server.note(self)

    def lose(self) -> None:
        """Take in that the connection is gone."""
        self._server.forget(self)

    def get_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, None for never."""
        return self._held.until if self._held is not None else self._http.get_timer()

    def handle_timer(self, now: float) -> None:
        """Take in that it is later."""
        if self._held is not None and now >= self._held.until:
            self._held = None
            self._respond_fault(501, now)
        self._http.handle_timer(now)

    def settle(self, key: Key, now: float) -> None:
        """Take in that an answer for this key came."""
        held = self._held
        if held is not None and held.key == key:
            self._perform(held.service, held.call, held.until, now)

    def _answer(self, request: Request, now: float) -> None:
        if not self._server.take_request(now):
            return self._http.respond(Response(503), now)
        service = find_service(request.path)
        if request.method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            # UDA 1.1 (4.1): nothing is evented, so nobody can have subscribed.
            status = 501 if request.method == "SUBSCRIBE" else 412
            return self._http.respond(Response(status), now)
        if service is not None:
            return self._control(service, request, now)
        document = find_document(request.path, self._server.device)
        if document is None:
            return self._http.respond(Response(404), now)
        if request.method != "GET":
            return self._respond_method("GET", now)
        return self._http.respond(Response(200, document), now)

    def _respond_method(self, allowed: str, now: float) -> None:
        self._http.respond(Response(405, fields=(("Allow", allowed),)), now)

    def _control(self, service: Service, request: Request, now: float) -> None:
        if request.method != "POST":
            return self._respond_method("POST", now)
        kind = request.head.get("content-type").partition(";")[0].strip().lower()
        if kind not in _TYPES:
            return self._http.respond(Response(415), now)
        untrusted_action = request.head.get("soapaction")
        try:
            call = parse_call(untrusted_action, request.untrusted_body)
        except MalformedSoap:
            return self._http.respond(Response(400), now)
        return self._perform(service, call, now + HOLD_TIME, now)

    def _perform(self, service: Service, call: Call, until: float, now: float) -> None:
        self._held = None
        try:
            outcome: Outcome = self._server.actions.perform(service, call, now)
        except Fault as fault:
            return self._respond_fault(fault.code, now)
        if isinstance(outcome, Waiting):
            self._held = _Held(service, call, outcome.key, until)
            return None
        body = render_answer(call.service, call.action, outcome)
        return self._http.respond(Response(200, body, (("Ext", ""),)), now)

    def _respond_fault(self, code: int, now: float) -> None:
        body = render_fault(code)
        self._http.respond(Response(500, body, (("Ext", ""),)), now)


class IgdServer:
    """The gateway of one client, which is known by its link and assigned address."""

    def __init__(
        self,
        table: Table,
        client: IPv4Address,
        gateway: IPv4Address,
        http_port: int,
        uuid: str,
        now: float,
        limits: IgdLimits | None = None,
    ) -> None:
        self.device = Device(uuid, gateway, http_port)
        self.actions = Actions(Mappings(table, client), self.device, now)
        self._limits = limits or IgdLimits()
        self._searches = Allowance(self._limits.found, now)
        self._requests = Allowance(self._limits.requests, now)
        self._connections: dict[IgdConnection, None] = {}
        self._ready: dict[IgdConnection, None] = {}

    def set_outside(self, address: IPv4Address | None, now: float) -> None:
        """Take in the address at the edge, None while there is no way outside."""
        self.actions.set_outside(address, now)

    def receive_search(
        self, untrusted_data: bytes, port: int, now: float
    ) -> list[tuple[bytes, int]]:
        """Take in a packet for port 1900; return answers, and to which port they go.

        They go at once: holding them back by MX spreads the answers of many devices,
        and on the link of a qube there is one.
        """
        try:
            search = parse_search(untrusted_data, self.device.address)
        except MalformedSearch:
            return []
        answers = answer_search(search, self.device)
        if not self._searches.take(len(answers), now):
            return []
        return [(answer, port) for answer in answers]

    def render_alive(self) -> list[bytes]:
        """Return the announcements to multicast on the client's link."""
        return render_alive(self.device)

    def render_byebye(self) -> list[bytes]:
        """Return what to multicast there when the gateway goes away."""
        return render_byebye(self.device)

    def connect(self, now: float) -> IgdConnection | None:
        """Take in a connection of the client; None if it has too many."""
        if len(self._connections) >= self._limits.connections:
            return None
        http = HttpConnection(self.device.address, self.device.http_port, now)
        connection = IgdConnection(self, http)
        self._connections[connection] = None
        return connection

    def settle(self, key: Key, now: float) -> None:
        """Answer the requests that waited for this key, if they can be by now."""
        for connection in list(self._connections):
            connection.settle(key, now)
            self.note(connection)

    def get_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, None for never."""
        timers = (connection.get_timer() for connection in self._connections)
        return min((one for one in timers if one is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Take in that it is later."""
        for connection in list(self._connections):
            connection.handle_timer(now)
            self.note(connection)

    def take_ready(self) -> list[IgdConnection]:
        """Return the connections that may have something to send, or to be closed."""
        ready, self._ready = list(self._ready), {}
        return ready

    def take_request(self, now: float) -> bool:
        """Count a request; False if there are too many."""
        return self._requests.take(1, now)

    def note(self, connection: IgdConnection) -> None:
        """Let a connection be looked after."""
        if connection in self._connections:
            self._ready[connection] = None

    def forget(self, connection: IgdConnection) -> None:
        """Let go of a connection that is gone."""
        self._connections.pop(connection, None)
        self._ready.pop(connection, None)
