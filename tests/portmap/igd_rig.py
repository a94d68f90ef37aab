# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway in memory, and programs of its client that talk to it in bytes."""

from __future__ import annotations

from ipaddress import IPv4Address

from qubesforward.portmap.igd import IgdConnection, IgdLimits, IgdServer
from qubesforward.portmap.mapping import Reason
from qubesforward.portmap.soap import (
    Arguments,
    Fault,
    parse_answer,
    render_call,
)
from qubesforward.portmap.table import Asked, Settled, Table

CLIENT, GATEWAY, OUTSIDE = "10.137.0.20", "10.137.0.6", "198.51.100.7"
UUID = "7f3a0c52-9d1e-4b6f-8a57-0123456789ab"
PATH = "/control/connection"
V1 = "urn:schemas-upnp-org:service:WANIPConnection:1"
V2 = "urn:schemas-upnp-org:service:WANIPConnection:2"


def mapping(outer: object = 80, inner: object = 8080, **other: object) -> Arguments:
    """Arguments of AddPortMapping."""
    arguments = {
        "NewRemoteHost": "",
        "NewExternalPort": outer,
        "NewProtocol": "TCP",
        "NewInternalPort": inner,
        "NewInternalClient": CLIENT,
        "NewEnabled": 1,
        "NewPortMappingDescription": "a program",
        "NewLeaseDuration": 600,
        **{f"New{name}": value for name, value in other.items()},
    }
    return tuple((name, str(value)) for name, value in arguments.items())


def which(outer: object = 80, transport: str = "TCP", remote: str = "") -> Arguments:
    """Arguments that name one mapping."""
    return (
        ("NewRemoteHost", remote),
        ("NewExternalPort", str(outer)),
        ("NewProtocol", transport),
    )


def ports(
    first: object, last: object, transport: str = "TCP", *more: tuple[str, str]
) -> Arguments:
    """Arguments that name a range of mappings."""
    return (
        ("NewStartPort", str(first)),
        ("NewEndPort", str(last)),
        ("NewProtocol", transport),
        ("NewManage", "0"),
        *more,
    )


def render_post(body: bytes, action: str, *fields: str, path: str = PATH) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {GATEWAY}:5000",
        f"Content-Length: {len(body)}",
        'Content-Type: text/xml; charset="utf-8"',
        f'SOAPAction: "{action}"',
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_answer(output: bytes) -> tuple[int, bytes]:
    head, _, body = output.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    return int(head[9:12]), body


class Rig:
    """`allows`: whether each question is answered at once, with yes."""

    def __init__(self, limits: IgdLimits | None = None) -> None:
        self.now = 1000.0
        self.table = Table()
        client, gateway = IPv4Address(CLIENT), IPv4Address(GATEWAY)
        self.server = IgdServer(
            self.table, client, gateway, 5000, UUID, self.now, limits
        )
        self.server.set_outside(IPv4Address(OUTSIDE), self.now)
        self.allows = True
        self.is_static = False
        self.asked: list[Asked] = []

    def connect(self) -> IgdConnection:
        connection = self.server.connect(self.now)
        assert connection is not None
        return connection

    def turn(self) -> None:
        """Do what the table asks for."""
        while events := self.table.take_events():
            for event in events:
                if isinstance(event, Asked):
                    self.asked.append(event)
                    if self.allows:
                        wish = event.wish
                        self.table.grant(
                            wish.key,
                            wish.outer,
                            wish.lifetime,
                            self.now,
                            is_static=self.is_static,
                        )
                elif isinstance(event, Settled):
                    self.server.settle(event.key, self.now)

    def deny(self, reason: Reason, retry: int = 30) -> None:
        """Answer the last question with no."""
        self.table.deny(self.asked[-1].wish.key, reason, retry, self.now)
        self.turn()

    def send(self, data: bytes, connection: IgdConnection | None = None) -> bytes:
        """Send a request; return what comes back, maybe nothing."""
        connection = connection or self.connect()
        connection.receive(data, self.now)
        self.turn()
        return connection.take_output()

    def post(
        self,
        action: str,
        arguments: Arguments = (),
        service: str = V1,
        path: str = PATH,
    ) -> bytes:
        """Render a call."""
        body = render_call(service, action, arguments)
        return render_post(body, f"{service}#{action}", path=path)

    def call(
        self,
        action: str,
        arguments: Arguments = (),
        service: str = V1,
        path: str = PATH,
    ) -> dict[str, str]:
        """Call an action; raise Fault if that is the answer."""
        connection = self.connect()
        output = self.send(self.post(action, arguments, service, path), connection)
        connection.lose()
        return self.read(action, output)

    def read(self, action: str, output: bytes) -> dict[str, str]:
        """Read an answer; raise Fault if that is what it is."""
        status, body = read_answer(output)
        try:
            arguments = parse_answer(action, body)
        except Fault:
            assert status == 500
            raise
        assert status == 200
        return arguments

    def fault(
        self,
        action: str,
        arguments: Arguments = (),
        service: str = V1,
        path: str = PATH,
    ) -> int:
        """Call an action that is refused; return the code."""
        try:
            self.call(action, arguments, service, path)
        except Fault as fault:
            return fault.code
        return 0

    def held(self) -> list[tuple[str, int, int]]:
        """Return what is open: protocol, outer and inner port."""
        return [
            (key.transport.value, record.outer, key.inner)
            for key, record in self.table.list_open()
        ]

    def get(self, path: str) -> tuple[int, bytes]:
        """Get a document."""
        connection = self.connect()
        request = f"GET {path} HTTP/1.1\r\nHost: {GATEWAY}:5000\r\n\r\n"
        output = self.send(request.encode(), connection)
        connection.lose()
        return read_answer(output)
