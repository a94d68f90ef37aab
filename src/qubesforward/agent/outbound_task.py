# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the outbound rules beside the forwards, on the same QubesDB connection.

A task of its own, so that neither waits for the other.
"""

from __future__ import annotations

import asyncio
import logging

from qubesforward.agent.outbound import OutboundEnforcer
from qubesforward.agent.outbound_tables import MakeTables
from qubesforward.errors import ApplyError, QubesDBError
from qubesforward.qubes.qubesdb import QubesDB

LOG = logging.getLogger(__name__)

_KIND = "/qubes-vm-type"
_NO_HOP = b"AppVM"

_RETRY = 1.0
"""Seconds after which what the kernel refused is tried again."""


class OutboundTask:
    """The outbound rules for as long as one QubesDB connection lives.

    `make_tables` makes what brings them into the kernel.
    """

    def __init__(self, db: QubesDB, make_tables: MakeTables) -> None:
        self._db = db
        self._enforcer = OutboundEnforcer(db, make_tables)
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._upset = False
        self._task = asyncio.create_task(self._run())

    def note_event(self, path: str) -> None:
        """Note that a path of QubesDB changed."""
        self._changed.pop(path, None)
        self._changed[path] = None
        self._wake.set()

    def note_upset(self) -> None:
        """Note that somebody else may have changed what the kernel holds."""
        self._upset = True
        self._wake.set()

    async def aclose(self) -> None:
        """Stop; what is applied stays."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._enforcer.aclose()

    async def _run(self) -> None:
        try:
            if await self._db.read(_KIND) == _NO_HOP:
                return
            await self._start()
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._work_off()
        except QubesDBError:
            # Whoever has the connection hears of it too, and starts anew.
            LOG.debug("outbound rules: the connection has ended")

    async def _start(self) -> None:
        while True:
            try:
                await self._enforcer.start()
            except ApplyError as error:
                LOG.error("outbound rules: %s", error)
                await asyncio.sleep(_RETRY)
            else:
                return

    async def _work_off(self) -> None:
        if self._upset:
            self._upset = False
            try:
                self._enforcer.repair()
            except ApplyError as error:
                LOG.error("outbound rules: %s", error)
                asyncio.get_running_loop().call_later(_RETRY, self.note_upset)
        while self._changed:
            path = next(iter(self._changed))
            del self._changed[path]
            await self._enforcer.on_change(path)
