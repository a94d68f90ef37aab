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

_MOST_FAILURES = 2
"""Readings that may fail in a row; then what cannot be read is removed instead."""

_TOGETHER = 0.02
"""Seconds in which changes of one hop are told as one."""


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
        *,
        with_outbound: bool = True,
    ) -> None:
        self._came = came
        self._changed = changed
        self._socket_of = socket_of
        self._with_outbound = with_outbound
        self._open: dict[str, Hop] = {}
        self._tasks: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._arrived = asyncio.Event()
        self._untold: set[str] = set()

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

    async def wait_open(self, patience: float) -> None:
        """Wait until all that are followed are open, or for `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                while self._tasks.keys() - self._open.keys():
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            _log.info("not all hops answer; those that come later are told later")

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
        failures = 0
        while True:
            hop = Hop(
                name,
                xid,
                lambda: self._tell(name),
                with_outbound=self._with_outbound,
            )
            try:
                await hop.open(self._socket_of(name), anew=failures >= _MOST_FAILURES)
                retry = _FIRST_RETRY
                failures = 0
                self._open[name] = hop
                self._arrived.set()
                self._came()
                await hop.listen()
            except QubesDBError as error:
                _log.info("%s: %s; trying again", name, error)
                failures += hop.is_reached and name not in self._open
            except Exception:  # noqa: BLE001 - one hop must not be lost for good
                _log.exception("%s: an error of ours; trying again", name)
            finally:
                self._open.pop(name, None)
                await hop.close()
                self._tell(name)
            await asyncio.sleep(retry)
            retry = min(2 * retry, _LAST_RETRY)

    def _tell(self, name: str) -> None:
        """Say soon that a hop has changed, once for all that it does meanwhile."""
        if name not in self._untold:
            self._untold.add(name)
            asyncio.get_running_loop().call_later(_TOGETHER, self._tell_now, name)

    def _tell_now(self, name: str) -> None:
        self._untold.discard(name)
        self._changed(name)
