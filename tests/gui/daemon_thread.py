# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's world in a thread, so that windows can run in this one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.daemon.world import World

_T = TypeVar("_T")


class Computer:
    """A world with its daemon, asked from another thread; `world` is its inside."""

    def __init__(self, world: World) -> None:
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.world = world
        self.qubesd = str(world.root / "qubesd.sock")
        self.forwardd = str(world.root / "forwardd.sock")

    def _serve(self) -> None:
        # It cancels what is left, and waits for that.
        with self._runner as runner:
            runner.run(self._stop.wait())

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something in the world's thread; return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def do(self, work: Callable[[], _T]) -> _T:
        """Call something in the world's thread; return its result."""

        async def call() -> _T:
            return work()

        return self.run(call())

    def start(self) -> None:
        self.run(self.world.start())
        self.start_daemon()

    def start_daemon(self) -> None:
        self.run(self.world.start_daemon())

    def stop_daemon(self) -> None:
        self.run(self.world.stop_daemon())

    def add(self, dest: str, *rules: str) -> None:
        """Add forwards as another program would."""
        self.run(self.world.add(dest, *rules))

    def call(self, method: str, dest: str, payload: str = "") -> str:
        """Make a firewall call as another program would."""
        return self.run(self.world.call(method, dest, payload))

    def entries(self, name: str) -> list[str]:
        """What a hop is told now."""
        return list(self.do(lambda: self.world.entries(name)).values())

    def close(self) -> None:
        self.run(self.world.close())
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
