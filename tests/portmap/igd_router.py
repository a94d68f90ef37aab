# SPDX-License-Identifier: GPL-2.0-or-later
"""Routers for the client: our own server, and scripted ones with bugs that exist."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

from qubesforward.portmap.client_events import ClientEvent, EdgeChanged, MappingOpened
from qubesforward.portmap.igd import IgdServer
from qubesforward.portmap.igd_client import Exchange, IgdClient
from qubesforward.portmap.mapping import Key, Transport
from qubesforward.portmap.soap import (
    Arguments,
    Call,
    parse_call,
    render_answer,
    render_fault,
)
from qubesforward.portmap.table import Asked, Settled, Table

OWN, ROUTER = IPv4Address("192.168.1.2"), IPv4Address("192.168.1.1")
EDGE = IPv4Address("198.51.100.7")
WEB = Key(Transport.TCP, 443)
OPENED = MappingOpened(WEB, 443, 7200, EDGE)

FOUND = (
    b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
    b"LOCATION: http://192.168.1.1:49152/root.xml\r\n\r\n"
)

DESCRIPTION = (
    '<?xml version="1.0"?>\r\n<root xmlns="urn:schemas-upnp-org:device-1-0"><device>'
    "<friendlyName>A &amp; B</friendlyName><serviceList><service><serviceType>"
    "urn:schemas-upnp-org:service:WANIPConnection:{version}</serviceType>"
    "<controlURL>/ctl</controlURL></service></serviceList></device></root>\r\n\0"
)


def render_http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _render_any_fault(code: int) -> bytes:
    return render_fault(501).replace(b"501", str(code).encode())


class Pair:
    """A client, and what answers its exchanges. None from there is silence.

    `is_found`: whether searches are answered at once.
    """

    def __init__(self, answer: Callable[[Exchange], bytes | None]) -> None:
        self.now = 100.0
        self.client = IgdClient(OWN, ROUTER)
        self.answer = answer
        self.searches: list[tuple[bytes, IPv4Address]] = []
        self.events: list[ClientEvent] = []
        self.exchanges = 0
        self.is_found = False
        self.silent: list[Exchange] = []

    def turn(self) -> list[ClientEvent]:
        """Carry out what the client wants now; return its events since."""
        searches = self.client.take_datagrams()
        self.searches += searches
        if searches and self.is_found:
            self.client.receive_datagram(FOUND, ROUTER)
        while (exchange := self.client.take_exchange(self.now)) is not None:
            self.exchanges += 1
            assert exchange.address == ROUTER
            output = self.answer(exchange)
            if output is None:
                self.silent.append(exchange)
                break
            self.client.receive(exchange, output, self.now)
            if not exchange.is_done:
                self.client.receive_end(exchange, self.now)
            assert exchange.is_done
        events = self.client.take_events()
        self.events += events
        return events

    def find(self, untrusted_answer: bytes = FOUND) -> list[ClientEvent]:
        self.client.receive_datagram(untrusted_answer, ROUTER)
        return self.turn()

    def open(self, key: Key = WEB, lifetime: int = 7200) -> None:
        self.client.open(key, key.inner, lifetime, self.now)
        self.turn()

    def close(self, key: Key = WEB) -> list[ClientEvent]:
        self.client.close(key, self.now)
        return self.turn()

    def pass_time(self, seconds: float) -> list[ClientEvent]:
        """Let time pass, with all timers in it."""
        end, events = self.now + seconds, []
        for _ in range(10_000):
            timer = self.client.get_timer()
            if timer is None or timer > end:
                break
            self.now = max(self.now, timer)
            self.client.handle_timer(self.now)
            events += self.turn()
        else:
            raise AssertionError("a timer that does nothing")
        self.now = end
        return events


class Scripted:
    """A router that does as it is told: answers, or codes of faults, by action."""

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.calls: list[Call] = []
        self.answers: dict[str, Arguments] = {
            "GetStatusInfo": (("NewConnectionStatus", "Connected"),),
            "GetExternalIPAddress": (("NewExternalIPAddress", str(EDGE)),),
            "AddPortMapping": (),
            "DeletePortMapping": (),
        }
        self.faults: dict[str, list[int]] = {}
        self.is_silent = False
        self.body = DESCRIPTION.replace("{version}", str(version)).encode()

    def __call__(self, exchange: Exchange) -> bytes | None:
        if self.is_silent:
            return None
        head, _, body = exchange.request.partition(b"\r\n\r\n")
        if head.startswith(b"GET "):
            return render_http(self.body)
        action = head.partition(b"SOAPAction: ")[2].partition(b"\r\n")[0].decode()
        call = parse_call(action, body)
        self.calls.append(call)
        faults = self.faults.get(call.action)
        if faults:
            return render_http(_render_any_fault(faults.pop(0)), "500 Error")
        if call.action not in self.answers:
            return render_http(render_fault(401), "500 Error")
        answer = self.answers[call.action]
        return render_http(render_answer(call.service, call.action, answer))

    def asked(self, action: str) -> list[dict[str, str]]:
        """Return the arguments of all calls of an action."""
        return [
            call.untrusted_arguments for call in self.calls if call.action == action
        ]


def opened(router: Scripted) -> Pair:
    """A client for which this router leads port 443."""
    pair = Pair(router)
    pair.open()
    assert pair.find() == [EdgeChanged(EDGE), OPENED]
    return pair


class OurRouter:
    """Our own server in the place of a router."""

    def __init__(self) -> None:
        self.now = 100.0
        self.table = Table()
        uuid = "7f3a0c52-9d1e-4b6f-8a57-0123456789ab"
        self.server = IgdServer(self.table, OWN, ROUTER, 5000, uuid, self.now)
        self.server.set_outside(EDGE, self.now)

    def __call__(self, exchange: Exchange) -> bytes | None:
        assert exchange.port == 5000
        connection = self.server.connect(self.now)
        assert connection is not None
        connection.receive(exchange.request, self.now)
        while events := self.table.take_events():
            for event in events:
                if isinstance(event, Asked):
                    wish = event.wish
                    self.table.grant(wish.key, wish.outer, wish.lifetime, self.now)
                elif isinstance(event, Settled):
                    self.server.settle(event.key, self.now)
        output = connection.take_output()
        connection.lose()
        return output

    def held(self) -> list[tuple[str, int, int]]:
        return [
            (key.transport.value, record.outer, key.inner)
            for key, record in self.table.list_open()
        ]
