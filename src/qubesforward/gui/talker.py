# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls and events on an asyncio loop in a thread of its own. Knows no windows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from enum import StrEnum

from qubesforward.errors import AdminError, ForwardError
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.admin_wire import Event

_MOST_CALLS = 16
"""Calls under way at once; the others wait in the order in which they were made."""

_ESTABLISHED = "connection-established"


Read = Callable[[bytes], object]
"""Reads the content of an answer; raises `ForwardError` if it is none."""


class Service(StrEnum):
    """Whom events come from."""

    QUBESD = "qubesd"
    FORWARDD = "qubes-forwardd"


@dataclass(frozen=True, slots=True)
class Asked:
    """A call to be made; `token` is the caller's own name for it.

    `read` makes of the answer what is told, in the talker's thread: windows need not
    stand still for a long one.
    """

    token: int
    method: str
    dest: str = "dom0"
    arg: str = ""
    payload: bytes = b""
    read: Read = bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What a call was answered, as it was `read`."""

    token: int
    content: object


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a call was not: the kind of an `AdminError`, or the name of the class."""

    token: int
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Heard:
    """Events of a service come from now on, or do not, and why not."""

    service: Service
    is_heard: bool
    reason: str = ""


Told = Answered | Failed | Heard | Event


class Talker:
    """Talks until it is ended; `tell` is called in its thread, `ask` from any.

    `retry` is in seconds: how long it waits before it looks again for a service that
    is gone.
    """

    def __init__(
        self, tell: Callable[[Told], None], qubesd: str, forwardd: str, retry: float
    ) -> None:
        self._tell = tell
        self._client = AsyncAdminClient(qubesd, forwardd)
        self._retry = retry
        self._loop = asyncio.new_event_loop()
        self._limit = asyncio.Semaphore(_MOST_CALLS)
        self._stop = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        # If a program forgets to end it, it can still end.
        self._thread = threading.Thread(target=self._run, name="talker", daemon=True)

    def start(self) -> None:
        """Begin; what was asked before is asked now."""
        self._thread.start()

    def ask(self, asked: Asked) -> None:
        """Make a call as soon as possible."""
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._begin, asked)

    def end(self) -> None:
        """End at once, and wait for that. Calls under way may still happen."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.ident is not None:
            self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._talk())

    async def _talk(self) -> None:
        following = {asyncio.create_task(self._follow(each)) for each in Service}
        await self._stop.wait()
        left = following | self._calls
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _begin(self, asked: Asked) -> None:
        task = self._loop.create_task(self._call(asked))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(self, asked: Asked) -> None:
        told: Told
        try:
            async with self._limit:
                content = await self._client.call(
                    asked.method, asked.dest, asked.arg, asked.payload
                )
            told = Answered(asked.token, asked.read(content))
        except AdminError as error:
            told = Failed(asked.token, error.kind, str(error))
        except ForwardError as error:
            told = Failed(asked.token, type(error).__name__, str(error))
        self._tell(told)

    async def _follow(self, service: Service) -> None:
        while True:
            reason = f"{service} ended the connection"
            try:
                source = self._client.events(of_forwardd=service is Service.FORWARDD)
                async with aclosing(source) as events:
                    async for event in events:
                        if event.name == _ESTABLISHED:
                            self._tell(Heard(service, True))
                        else:
                            self._tell(event)
            except ForwardError as error:
                reason = str(error)
            self._tell(Heard(service, False, reason))
            await asyncio.sleep(self._retry)
