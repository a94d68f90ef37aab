# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections to the QubesDB of every running qube, made and lost with the qubes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from qubesforward.daemon.hop import Hop
from qubesforward.errors import QubesDBError
from qubesforward.plan.snapshot import Snapshot

_log = logging.getLogger(__name__)

_FIRST_RETRY = 0.05
_LAST_RETRY = 1.0
"""Seconds between tries to connect: a QubesDB that restarts is back soon."""


class Hops:
    """The hops that can be written to now, by name.

    `came` is called when a hop has been read and is ready, `changed` when an agent
    says something or a hop is lost. `socket_of` gives the path of a qube's QubesDB.
    """

    def __init__(
        self,
        came: Callable[[], None],
        changed: Callable[[str], None],
        socket_of: Callable[[str], str],
    ) -> None:
        self._came = came
        self._changed = changed
        self._socket_of = socket_of
        self._open: dict[str, Hop] = {}
        self._tasks: dict[str, tuple[int, asyncio.Task[None]]] = {}

    @property
    def open(self) -> Mapping[str, Hop]:
        """The hops that have been read and not lost since."""
        return self._open

    async def follow(self, snapshot: Snapshot) -> None:
        """Connect to qubes that run now, let go of those that do not."""
        wanted = {qube.name: qube.xid for qube in snapshot.values() if qube.running}
        for name, (xid, task) in list(self._tasks.items()):
            # Another domain number is another start: that QubesDB is a new one.
            if wanted.get(name) != xid:
                await self._let_go(name, task)
        for name, xid in wanted.items():
            if name not in self._tasks:
                task = asyncio.create_task(self._keep_open(name, xid))
                self._tasks[name] = (xid, task)

    async def _let_go(self, name: str, task: asyncio.Task[None]) -> None:
        del self._tasks[name]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Let go of all; what was published stays."""
        for name, (_xid, task) in list(self._tasks.items()):
            await self._let_go(name, task)

    async def _keep_open(self, name: str, xid: int) -> None:
        retry = _FIRST_RETRY
        while True:
            hop = Hop(name, xid, lambda: self._changed(name))
            try:
                await hop.open(self._socket_of(name))
                retry = _FIRST_RETRY
                self._open[name] = hop
                self._came()
                await hop.listen()
            except QubesDBError as error:
                _log.info("%s: %s; trying again", name, error)
            finally:
                self._open.pop(name, None)
                await hop.close()
                self._changed(name)
            await asyncio.sleep(retry)
            retry = min(2 * retry, _LAST_RETRY)
