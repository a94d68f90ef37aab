# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway for one client on real sockets, with a user who answers at once or later.

Run in a namespace: `python -m tests.portmap.igd_gateway DEVICE GATEWAY CLIENT OUTSIDE`.
It reads lines: `answer allow|deny|later`, which holds from then on; `list`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import deque
from ipaddress import IPv4Address
from typing import cast

from qubesforward.portmap import ssdp
from qubesforward.portmap.igd import IgdConnection, IgdServer
from qubesforward.portmap.mapping import Reason
from qubesforward.portmap.table import Asked, Settled, Table

UUID = "7f3a0c52-9d1e-4b6f-8a57-0123456789ab"
HTTP_PORT = 5000
LATER = 0.5


class Web(asyncio.Protocol):
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.connection: IgdConnection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connection = self.gateway.server.connect(self.gateway.now())
        if self.connection is None:
            self.transport.abort()
        else:
            self.gateway.transports[self.connection] = self.transport
            self.gateway.turn()

    def data_received(self, data: bytes) -> None:
        if self.connection is not None:
            self.connection.receive(data, self.gateway.now())
            self.gateway.turn()

    def eof_received(self) -> bool:
        if self.connection is not None:
            self.connection.receive_end(self.gateway.now())
            self.gateway.turn()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.connection is not None:
            self.connection.lose()
            self.gateway.transports.pop(self.connection, None)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Gateway(asyncio.DatagramProtocol):
    def __init__(self, gateway: str, client: str, outside: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.table = Table()
        self.server = IgdServer(
            self.table,
            IPv4Address(client),
            IPv4Address(gateway),
            HTTP_PORT,
            UUID,
            self.now(),
        )
        self.server.set_outside(IPv4Address(outside), self.now())
        self.client = client
        self.transports: dict[IgdConnection, asyncio.Transport] = {}
        self.answer = "allow"
        self.timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        return self.loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.datagrams = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if addr[0] == self.client:
            now = self.now()
            for answer, port in self.server.receive_search(data, addr[1], now):
                self.datagrams.sendto(answer, (self.client, port))

    def turn(self) -> None:
        """Do what the table asks for, move bytes, and arm the timer."""
        events = deque(self.table.take_events())
        while events:
            event = events.popleft()
            if isinstance(event, Asked):
                delay = LATER if self.answer == "later" else 0
                self.loop.call_later(delay, self.decide, event)
            elif isinstance(event, Settled):
                self.server.settle(event.key, self.now())
            events.extend(self.table.take_events())
        for connection in self.server.take_ready():
            transport = self.transports[connection]
            transport.write(connection.take_output())
            if connection.is_lost:
                transport.abort()
            elif connection.is_closing:
                transport.close()
        if self.timer is not None:
            self.timer.cancel()
        at = self.server.get_timer()
        self.timer = self.loop.call_at(at, self.ring) if at is not None else None

    def decide(self, asked: Asked) -> None:
        if self.answer == "deny":
            self.table.deny(asked.wish.key, Reason.DENIED, 30, self.now())
        else:
            wish = asked.wish
            self.table.grant(wish.key, wish.outer, wish.lifetime, self.now())
        self.turn()

    def ring(self) -> None:
        self.server.handle_timer(self.now())
        self.turn()

    def command(self) -> None:
        words = sys.stdin.readline().split()
        if words[:1] == ["answer"]:
            self.answer = words[1]
            print("ok", flush=True)
        elif words == ["list"]:
            held = [
                f"{key.transport}:{key.inner}:{record.outer}"
                for key, record in self.table.list_open()
            ]
            print(*held, flush=True)
        else:
            self.loop.stop()


def open_group(device: str, gateway: str) -> socket.socket:
    """A socket for SSDP on one device."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    one.bind(("", ssdp.PORT))
    joined = struct.pack("4s4s", ssdp.GROUP.packed, IPv4Address(gateway).packed)
    one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
    return one


async def serve(device: str, address: str, client: str, outside: str) -> None:
    gateway = Gateway(address, client, outside)
    group = open_group(device, address)
    await gateway.loop.create_datagram_endpoint(lambda: gateway, sock=group)
    web = await gateway.loop.create_server(lambda: Web(gateway), address, HTTP_PORT)
    gateway.loop.add_reader(sys.stdin, gateway.command)
    print("ready", flush=True)
    await web.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
