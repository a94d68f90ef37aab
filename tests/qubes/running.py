# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers in a thread, for tests of clients that block."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from hypothesis import settings

UNHURRIED = settings(deadline=None)
"""For property tests: a busy machine is not a failure."""


class Closable(Protocol):
    def close(self) -> object: ...


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose paths fit into the address of a unix socket."""
    with tempfile.TemporaryDirectory(prefix="qf") as name:
        yield Path(name)


@contextmanager
def in_thread(start: Callable[[], Awaitable[Closable]]) -> Iterator[None]:
    """Start a server on a loop of another thread; close it on leaving."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()
    failures: list[BaseException] = []

    async def serve() -> None:
        try:
            server = await start()
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            ready.set()
        await stop.wait()
        # asyncio loses connections that are being accepted while a server closes.
        await asyncio.sleep(0.01)
        server.close()
        await asyncio.sleep(0)

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    if failures:
        raise failures[0]
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
