# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway at work: does what dom0 says, for whom dom0 says.

It waits, doing nothing, until dom0 wants it (a key in QubesDB); then it keeps a call to
dom0 open and serves the clients that it is told of, each on the interface that leads
there.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from ipaddress import IPv4Address

from qubesforward.errors import QubesDBError
from qubesforward.gateway.device import Device
from qubesforward.gateway.edge import Edge
from qubesforward.gateway.links import find_device, find_uplink
from qubesforward.gateway.served import Served
from qubesforward.gateway.session import COMMAND, Session
from qubesforward.gateway.sockets import HTTP_PORT
from qubesforward.model.hosts import Address
from qubesforward.portmap.igd import IgdServer
from qubesforward.portmap.table import Table
from qubesforward.qubes.mapping_wire import (
    Client,
    Close,
    Denied,
    FromDom0,
    Gone,
    GrantedMap,
    Held,
    NoClient,
    Open,
)
from qubesforward.qubes.qubesdb import QubesDB

_log = logging.getLogger(__name__)

WANTED = "/qubes-forward-gateway"

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
"""Seconds between tries to reach QubesDB."""

_FIND_AGAIN = 0.2
"""Seconds until it is looked again which interface leads to a client: that of a qube
that starts comes a moment after dom0 has heard of it."""

_TICK = 0.25
"""Seconds between looks at what has ended and what is to be announced."""


class Gateway:
    """The gateway of this qube, in the network namespace that it is started in."""

    def __init__(self, qubesdb: str, command: tuple[str, ...] = COMMAND) -> None:
        self._path = qubesdb
        self._loop = asyncio.get_running_loop()
        self._session = Session(self._receive, self._came, self._went, command)
        self._edge = Edge(self._session.say)
        self._clients: dict[Address, Client] = {}
        self._served: dict[Address, Served] = {}
        self._devices: dict[str, Device] = {}
        self._device_of: dict[Address, Device] = {}
        self._placing: dict[Address, asyncio.Task[None]] = {}
        self._ticking: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            try:
                db = await QubesDB.connect(self._path)
                pause = _FIRST_PAUSE
                try:
                    await self._follow(db)
                finally:
                    await db.aclose()
            except QubesDBError as error:
                _log.warning("%s", error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _follow(self, db: QubesDB) -> None:
        """Be there while dom0 wants it, until the connection to QubesDB ends."""
        await db.watch(WANTED)
        session: asyncio.Task[None] | None = None
        try:
            while True:
                is_wanted = await db.read(WANTED) is not None
                if is_wanted and session is None:
                    session = asyncio.create_task(self._session.run())
                elif not is_wanted and session is not None:
                    await self._end(session)
                    session = None
                    self._leave()
                await db.next_event()
        finally:
            # QubesDB being restarted says nothing of what is wanted.
            if session is not None:
                await self._end(session)

    async def _end(self, session: asyncio.Task[None]) -> None:
        session.cancel()
        with suppress(asyncio.CancelledError):
            await session

    def _leave(self) -> None:
        """Serve nobody any more."""
        for address in list(self._clients):
            self._drop(address)
        self._edge.leave()

    def _came(self) -> None:
        for served in self._served.values():
            served.check_all()
        self._edge.tell_all()

    def _went(self) -> None:
        _log.info("the connection to dom0 is lost; what is open stays until it ends")

    def _receive(self, message: FromDom0) -> None:
        now = self._loop.time()
        if isinstance(message, Client):
            self._take_client(message, now)
        elif isinstance(message, NoClient):
            self._drop(message.address)
        elif isinstance(message, Open):
            self._edge.open(message)
        elif isinstance(message, Close):
            self._edge.close(message)
        elif message.client in self._served:
            self._take(self._served[message.client], message, now)

    def _take(
        self, served: Served, message: GrantedMap | Denied | Gone | Held, now: float
    ) -> None:
        served.take(message, now)
        self._tick_soon()

    def _take_client(self, client: Client, now: float) -> None:
        self._clients[client.address] = client
        served = self._served.get(client.address)
        if served is not None:
            served.update(client, now)
        else:
            self._make(client, now)
        self._tick_soon()

    def _make(self, client: Client, now: float) -> None:
        """Serve a client from now on, once it is known by which interface."""
        address = client.address

        def send(datagrams: list[tuple[bytes, int]]) -> None:
            if address in self._device_of:
                self._device_of[address].send(self._served[address], datagrams)

        def make_igd(table: Table) -> IgdServer | None:
            device = find_device(address)
            own = None if device is None else self._device(device).own
            if own is None or not isinstance(address, IPv4Address):
                return None
            name = str(uuid.uuid4())
            return IgdServer(table, address, own, HTTP_PORT, name, now)

        self._served[address] = Served(client, self._session.say, send, now, make_igd)
        self._placing[address] = asyncio.create_task(self._place(address))

    async def _place(self, address: Address) -> None:
        while (name := find_device(address) or find_uplink(address)) is None:
            await asyncio.sleep(_FIND_AGAIN)
        device = self._device(name)
        self._device_of[address] = device
        await device.add(self._served[address])
        _log.info("%s is served on %s", address, name)
        del self._placing[address]

    def _device(self, name: str) -> Device:
        if name not in self._devices:
            self._devices[name] = Device(name)
        return self._devices[name]

    def _drop(self, address: Address) -> None:
        self._clients.pop(address, None)
        placing = self._placing.pop(address, None)
        if placing is not None:
            placing.cancel()
        served = self._served.pop(address, None)
        device = self._device_of.pop(address, None)
        if served is not None and device is not None:
            device.remove(served)
            if not device.served:
                self._devices.pop(device.name, None)
            _log.info("%s is served no more", address)

    def _tick_soon(self) -> None:
        if self._ticking is None:
            self._ticking = self._loop.call_later(_TICK, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        now = self._loop.time()
        for address, served in list(self._served.items()):
            for announcement in served.tick(now):
                if address in self._device_of:
                    self._device_of[address].announce(announcement)
        if not all(served.is_idle for served in self._served.values()):
            self._tick_soon()
