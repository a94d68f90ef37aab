# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves the bytes of UPnP IGD between this hop and its router."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from ipaddress import IPv4Address

from qubesforward.gateway.links import Router
from qubesforward.portmap.client_events import ClientEvent
from qubesforward.portmap.igd_client import Exchange, IgdClient
from qubesforward.portmap.mapping import Key
from qubesforward.portmap.ssdp import PORT as SSDP_PORT

_LARGEST = 2048
_PIECE = 4096
_AT_ONCE = 32


class RouterIgd:
    """One router, asked by UPnP. `take` gets what happened.

    Raises OSError if there is no way there.
    """

    def __init__(self, router: Router, take: Callable[[ClientEvent], None]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._exchange: asyncio.Task[None] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            own = _find_own(router)
        except OSError:
            self._socket.close()
            raise
        self._client = IgdClient(own, router.address)
        self._loop.add_reader(self._socket, self._read)

    def open(self, key: Key, lifetime: int) -> None:
        """Have the router lead its port of this number, or another, to ours."""
        self._client.open(key, key.inner, lifetime, self._loop.time())
        self._turn()

    def watch(self, wanted: bool) -> None:
        """Ask for the router's address on its other side, whatever is open."""
        self._client.watch(wanted, self._loop.time())
        self._turn()

    def close(self, key: Key) -> None:
        """Let it lead nothing there any more."""
        self._client.close(key, self._loop.time())
        self._turn()

    def withdraw(self, key: Key, outer: int) -> None:
        """Let its port lead nothing there, which an earlier run may have asked for."""
        self._client.withdraw(key, outer, self._loop.time())
        self._turn()

    def end(self) -> None:
        """Stop asking; what is open ends with its lifetime."""
        if self._timer is not None:
            self._timer.cancel()
        if self._exchange is not None:
            self._exchange.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, (address, _port) = self._socket.recvfrom(_LARGEST)
            except OSError:
                break
            self._client.receive_datagram(data, IPv4Address(address))
        self._turn()

    def _turn(self) -> None:
        """Send what is due, tell what happened, and arm the timer."""
        if self._socket.fileno() < 0:
            return
        now = self._loop.time()
        at = self._client.get_timer()
        if at is not None and at <= now:
            self._client.handle_timer(now)
        for data, address in self._client.take_datagrams():
            with contextlib.suppress(OSError):
                self._socket.sendto(data, (str(address), SSDP_PORT))
        if (exchange := self._client.take_exchange(now)) is not None:
            if self._exchange is not None:
                # Of the one before, all that could come has come, or is too late.
                self._exchange.cancel()
            self._exchange = asyncio.create_task(self._perform(exchange))
        for event in self._client.take_events():
            self._take(event)
        if self._socket.fileno() < 0:
            # Who was told has ended this.
            return
        if self._timer is not None:
            self._timer.cancel()
        at = self._client.get_timer()
        self._timer = None if at is None else self._loop.call_at(at, self._turn)

    async def _perform(self, exchange: Exchange) -> None:
        """Make one connection: a request, and its answer."""
        writer = None
        try:
            reader, writer = await asyncio.open_connection(
                str(exchange.address), exchange.port
            )
            writer.write(exchange.request)
            while not exchange.is_done:
                data = await reader.read(_PIECE)
                if not data:
                    self._client.receive_end(exchange, self._loop.time())
                    break
                self._client.receive(exchange, data, self._loop.time())
        except OSError:
            self._client.fail(exchange, self._loop.time())
        finally:
            if writer is not None:
                writer.transport.abort()
        self._loop.call_soon(self._turn)


def _find_own(router: Router) -> IPv4Address:
    """Return this hop's address towards the router."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect((str(router.address), SSDP_PORT))
        return IPv4Address(one.getsockname()[0])
