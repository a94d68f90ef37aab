# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves bytes between UPnP's HTTP connections and the server that understands them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from qubesforward.gateway.served import Mover, Served
from qubesforward.portmap.igd import IgdConnection


class Web(asyncio.Protocol):
    """One connection; `find` tells which client an address is."""

    def __init__(self, find: Callable[[str], Served | None]) -> None:
        self._find = find
        self._loop = asyncio.get_running_loop()
        self._served: Served | None = None
        self._connection: IgdConnection | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take in a connection; of a stranger, or one too many, it is ended."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._served = self._find(peer[0]) if peer else None
        igd = None if self._served is None else self._served.igd
        if igd is not None:
            self._connection = igd.connect(self._loop.time())
        if self._connection is None:
            self._transport.abort()
        else:
            self._movers[self._connection] = self
            self._turn()

    @property
    def _movers(self) -> dict[IgdConnection, Mover]:
        return {} if self._served is None else self._served.movers

    def data_received(self, data: bytes) -> None:
        """Take in bytes."""
        if self._connection is not None:
            self._connection.receive(data, self._loop.time())
            self._turn()

    def eof_received(self) -> bool:
        """Take in that the client sends no more; what it waits for still goes out."""
        if self._connection is not None:
            self._connection.receive_end(self._loop.time())
            self._turn()
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        """Take in that the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._movers.pop(self._connection, None)
            self._connection.lose()

    def pause_writing(self) -> None:
        """Read no more from who does not read either."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._transport.resume_reading()

    def _turn(self) -> None:
        if self._served is not None:
            self._served.pump(self._loop.time())

    def end(self) -> None:
        """Let go of the connection at once."""
        self._transport.abort()

    def move(self) -> None:
        """Send what there is to send, and arrange for what comes later."""
        connection = self._connection
        if connection is None:
            return
        if connection.is_lost:
            # Also where it is closing: who reads nothing would keep it for ever.
            self._transport.abort()
        if self._transport.is_closing():
            return
        if output := connection.take_output():
            self._transport.write(output)
        if connection.is_closing:
            self._transport.close()
        if self._timer is not None:
            self._timer.cancel()
        at = connection.get_timer()
        self._timer = None if at is None else self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        if self._connection is not None:
            self._connection.handle_timer(self._loop.time())
            self.move()
