# SPDX-License-Identifier: GPL-2.0-or-later
"""Many forwards for one agent, by way of its QubesDB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from qubesforward.qubes.qubesdb import QubesDB
from tests.agent.forward_world import Agent

ANYONE = "open to anyone"
NETWORK = "for a /24"
ODD = "for a /23"

KINDS: dict[str, str] = {
    ANYONE: "0.0.0.0/0",
    NETWORK: "192.168.77.0/24",
    ODD: "192.168.76.0/23",
}
"""For whom forwards are open; networks of usual sizes are held in another way."""

_PATIENCE = 120.0


def make_entries(size: int, source: str, to: str, inner: int) -> dict[str, str]:
    """Return entries by ID: outer ports from 1 on, all to one inner port."""
    return {
        f"{number:08x}": entry_text(number, source, to, inner)
        for number in range(1, size + 1)
    }


def entry_text(port: int, source: str, to: str, inner: int) -> str:
    """Write one entry of an outermost hop."""
    return (
        f"in=external proto=tcp ports={port}-{port} src={source} to={to}"
        f" toports={inner}-{inner}"
    )


def door_text(port: int) -> str:
    """Write the entry of a target for one inner port."""
    return f"in=self proto=tcp ports={port}-{port} src=0.0.0.0/0"


def order_many(agent: Agent, entries: Mapping[str, str]) -> None:
    """Publish entries, and wait until they are acknowledged."""
    asyncio.run(Orderer(agent).order(entries))


class Orderer:
    """Writes orders as dom0 does, and waits for what the agent says."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def connect(self) -> QubesDB:
        """Return a connection on which acknowledgements are told."""
        db = await QubesDB.connect(self._agent.dom0)
        await db.watch("/qubes-forward-handled")
        return db

    async def order(self, entries: Mapping[str, str]) -> None:
        """Publish entries, and wait until they are acknowledged."""
        db = await self.connect()
        await self.write(db, entries)
        await self.commit(db)
        await db.aclose()

    async def write(self, db: QubesDB, entries: Mapping[str, str]) -> None:
        """Write entries without a commit."""
        items = [(f"/qubes-forward/{i}", text.encode()) for i, text in entries.items()]
        for first in range(0, len(items), 1000):
            await db.write_many(items[first : first + 1000])

    async def commit(self, db: QubesDB) -> None:
        """Commit what was written, and wait until that is acknowledged."""
        generation = self._agent.next_generation()
        await db.write("/qubes-forward", generation)
        await wait_for(db, lambda said: said == generation)


async def wait_for(
    db: QubesDB,
    is_it: Callable[[bytes | None], bool],
    path: str = "/qubes-forward-handled",
) -> None:
    """Wait until what the agent says at a path is what is waited for."""
    async with asyncio.timeout(_PATIENCE):
        while not is_it(await db.read(path)):
            await db.next_event()
