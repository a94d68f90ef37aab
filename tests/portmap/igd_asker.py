# SPDX-License-Identifier: GPL-2.0-or-later
"""The client of a router on real sockets.

`python -m tests.portmap.igd_asker OWN ROUTER` reads lines, `open tcp PORT LIFETIME`
and `close tcp PORT`, and prints what happens.
"""

from __future__ import annotations

import asyncio
import sys
from ipaddress import IPv4Address
from typing import cast

from qubesforward.portmap.igd_client import Exchange, IgdClient
from qubesforward.portmap.mapping import Key, Transport
from qubesforward.portmap.ssdp import PORT


class Asker(asyncio.DatagramProtocol):
    def __init__(self, own: str, router: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.client = IgdClient(IPv4Address(own), IPv4Address(router))
        self.timer: asyncio.TimerHandle | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.datagrams = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self.client.receive_datagram(data, IPv4Address(str(addr[0])))
        self.turn()

    def turn(self) -> None:
        now = self.loop.time()
        for data, address in self.client.take_datagrams():
            self.datagrams.sendto(data, (str(address), PORT))
        exchange = self.client.take_exchange(now)
        if exchange is not None:
            task = self.loop.create_task(self.carry_out(exchange))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        for event in self.client.take_events():
            print(event, flush=True)
        if self.timer is not None:
            self.timer.cancel()
        at = self.client.get_timer()
        self.timer = self.loop.call_at(at, self.ring) if at is not None else None

    def ring(self) -> None:
        self.client.handle_timer(self.loop.time())
        self.turn()

    async def carry_out(self, exchange: Exchange) -> None:
        try:
            reader, writer = await asyncio.open_connection(
                str(exchange.address), exchange.port
            )
            writer.write(exchange.request)
            while not exchange.is_done:
                data = await reader.read(65536)
                if not data:
                    self.client.receive_end(exchange, self.loop.time())
                    break
                self.client.receive(exchange, data, self.loop.time())
            writer.close()
        except OSError:
            self.client.fail(exchange, self.loop.time())
        self.turn()

    def command(self) -> None:
        words = sys.stdin.readline().split()
        if not words:
            self.loop.stop()
            return
        key, now = Key(Transport(words[1]), int(words[2])), self.loop.time()
        if words[0] == "open":
            self.client.open(key, key.inner, int(words[3]), now)
        else:
            self.client.close(key, now)
        self.turn()


async def ask(own: str, router: str) -> None:
    asker = Asker(own, router)
    await asker.loop.create_datagram_endpoint(lambda: asker, local_addr=(own, 0))
    asker.loop.add_reader(sys.stdin, asker.command)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(ask(*sys.argv[1:]))
