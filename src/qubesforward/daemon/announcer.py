# SPDX-License-Identifier: GPL-2.0-or-later
"""Events to whoever listens on our Admin API socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from qubesforward.qubes.admin_server import Call
from qubesforward.qubes.admin_wire import Event

_MOST_WAITING = 1000
"""Events that may wait for one listener; one that reads slower is dropped."""


class Announcer:
    """Hands every event to every listener; a listener that lags is let go."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Event | None]] = set()

    def announce(self, subject: str, name: str, **kwargs: str) -> None:
        """Tell everybody that something happened to the qube `subject`."""
        for queue in list(self._queues):
            if queue.qsize() >= _MOST_WAITING:
                self._queues.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(Event(subject, name, kwargs))

    async def subscribe(self, _call: Call) -> AsyncIterator[Event]:
        """Yield events from now on."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._queues.add(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._queues.discard(queue)
