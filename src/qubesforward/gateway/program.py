# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway at work: does what dom0 says, for whom dom0 says.

It waits, doing nothing, until dom0 wants it (a key in QubesDB); then it keeps a call to
dom0 open and serves the clients that it is told of, each on the interface that leads
there.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress

from qubesforward.errors import QubesDBError
from qubesforward.gateway.device import Device
from qubesforward.gateway.edge import Edge
from qubesforward.gateway.links import find_device, find_uplink, open_changes
from qubesforward.gateway.served import Served
from qubesforward.gateway.session import COMMAND, Session
from qubesforward.model.hosts import Address
from qubesforward.qubes.mapping_wire import (
    Client,
    Close,
    FromDom0,
    NoClient,
    Open,
    Seed,
    Watch,
)
from qubesforward.qubes.qubesdb import QubesDB

_log = logging.getLogger(__name__)

WANTED = "/qubes-forward-gateway"

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
"""Seconds between tries to reach QubesDB."""

_TOGETHER = 0.02
"""Seconds in which changes of links and routes are looked at as one."""

_MOST_TOLD = 2.0
"""Seconds in which dom0 has told a new connection all that it knows: what it has not
spoken of by then, it does not want any more."""

_PIECE = 65536


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
        self._changed = asyncio.Event()
        self._untold: set[Address] = set()
        self._telling: asyncio.TimerHandle | None = None
        self._ticking: dict[Address, asyncio.TimerHandle] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        placing = asyncio.create_task(self._keep_placed())
        changes = open_changes()
        self._loop.add_reader(changes, self._note_changes, changes)
        try:
            await self._follow_qubesdb()
        finally:
            self._loop.remove_reader(changes)
            changes.close()
            placing.cancel()

    async def _follow_qubesdb(self) -> None:
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
        now = self._loop.time()
        self._untold = set(self._clients)
        for served in self._served.values():
            served.check_all(now)
        self._edge.tell_all()
        self._telling = self._loop.call_later(_MOST_TOLD, self._is_told)

    def _is_told(self) -> None:
        """Let go of what dom0 wanted by an earlier connection, and does not by this."""
        for address in self._untold:
            self._drop(address)
        self._edge.drop_untold()

    def _went(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
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
        elif isinstance(message, Seed):
            self._edge.seed = bytes.fromhex(message.value)
        elif isinstance(message, Watch):
            self._edge.watch(message.wanted)
        elif message.client in self._served:
            self._served[message.client].take(message, now)

    def _take_client(self, client: Client, now: float) -> None:
        self._clients[client.address] = client
        self._untold.discard(client.address)
        served = self._served.get(client.address)
        if served is not None:
            served.update(client, now)
        else:
            self._make(client, now)

    def _make(self, client: Client, now: float) -> None:
        """Serve a client from now on, by whatever interface leads to it."""
        address = client.address

        def send(datagrams: list[tuple[bytes, int]]) -> None:
            if address in self._device_of:
                self._device_of[address].send(self._served[address], datagrams)

        def arm(at: float) -> None:
            ticking = self._ticking.get(address)
            if ticking is None or at < ticking.when():
                if ticking is not None:
                    ticking.cancel()
                self._ticking[address] = self._loop.call_at(at, self._tick, address)

        served = Served(client, self._session.say, send, arm, now)
        self._served[address] = served
        self._loop.call_later(_MOST_TOLD, served.is_told)
        self._changed.set()

    def _note_changes(self, changes: socket.socket) -> None:
        """Take in that links or routes have changed; which ones, is looked up."""
        with suppress(OSError):
            while changes.recv(_PIECE):
                pass
        self._changed.set()

    async def _keep_placed(self) -> None:
        """Have every client served on the interface that leads to it now.

        That of a qube that starts comes a moment after dom0 has told of the qube, and
        is another one when the qube's netvm was changed and changed back.
        """
        while True:
            await self._changed.wait()
            await asyncio.sleep(_TOGETHER)
            self._changed.clear()
            for address in list(self._served):
                try:
                    await self._place(address)
                except OSError as error:
                    _log.warning("%s: %s", address, error)
            self._edge.look()

    async def _place(self, address: Address) -> None:
        client, served = self._clients.get(address), self._served.get(address)
        if client is None or served is None:
            return
        name = find_uplink(address) if client.beside else find_device(address)
        device = self._device_of.get(address)
        if device is not None and device.name == name and device.is_as_it_was:
            return
        self._unplace(address, served)
        if name is not None:
            self._device_of[address] = device = self._device(name)
            await device.add(served)
            _log.info("%s is served on %s", address, name)

    def _device(self, name: str) -> Device:
        device = self._devices.get(name)
        if device is None or not device.is_as_it_was:
            self._devices[name] = device = Device(name)
        return device

    def _unplace(self, address: Address, served: Served) -> None:
        device = self._device_of.pop(address, None)
        if device is not None:
            device.remove(served)
            if not device.served and self._devices.get(device.name) is device:
                del self._devices[device.name]

    def _drop(self, address: Address) -> None:
        self._clients.pop(address, None)
        served = self._served.pop(address, None)
        if served is not None:
            self._unplace(address, served)
            if (ticking := self._ticking.pop(address, None)) is not None:
                ticking.cancel()
            _log.info("%s is served no more", address)

    def _tick(self, address: Address) -> None:
        """Do what is due for a client, which then says when more of it is."""
        del self._ticking[address]
        for announcement in self._served[address].tick(self._loop.time()):
            if address in self._device_of:
                self._device_of[address].announce(announcement)
