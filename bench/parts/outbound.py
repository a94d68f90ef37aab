# SPDX-License-Identifier: GPL-2.0-or-later
"""What outbound rules cost the agent, by how many one qube has."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

from bench.apart import read_status
from bench.figures import Sheet
from bench.hop import wait_for
from bench.parts.agent import LoneAgent
from bench.scale import Scale
from qubesforward.qubes.qubesdb import QubesDB

SIZES = (10, 100, 1_000, 10_000)
_SOURCE = "10.137.0.20"
_TOP = f"/qubes-firewall/{_SOURCE}"
_HANDLED = f"/qubes-firewall-handled/{_SOURCE}"
_SIDE = "qubes-forward-agent"


def measure(scale: Scale, sheet: Sheet) -> None:
    """Give one qube its rules, and change one of them again and again."""
    for size in scale.pick(SIZES, (2, 10)):
        for _ in range(scale.pick(3, 1)):
            with ExitStack() as stack:
                lone = LoneAgent(stack)
                asyncio.run(_measure_one(lone, size, scale, sheet))
                memory = read_status(lone.pid, "VmRSS") / 1024
                sheet.note("memory after it", _SIDE, memory, "MB", size)


async def _measure_one(lone: LoneAgent, size: int, scale: Scale, sheet: Sheet) -> None:
    db = await QubesDB.connect(lone.agent.dom0)
    await db.watch(_HANDLED)
    await lone.orderer.order({})
    items = [(f"{_TOP}/policy", b"drop")]
    items += [(f"{_TOP}/{number:04}", _rule(number)) for number in range(size)]
    for first in range(0, len(items), 1000):
        await db.write_many(items[first : first + 1000])
    sheet.note("all of them", _SIDE, 1000 * await _commit(db), "ms", size)
    for number in range(scale.pick(7, 1)):
        await db.write(f"{_TOP}/{size // 2:04}", _rule(20_000 + number))
        sheet.note("one changed", _SIDE, 1000 * await _commit(db), "ms", size)
    await db.aclose()


def _rule(number: int) -> bytes:
    port = number % 60_000 + 1
    address = f"10.{number // 250 % 250}.{number % 250}.0/24"
    return f"action=accept proto=tcp dst4={address} dstports={port}-{port}".encode()


async def _commit(db: QubesDB) -> float:
    """Commit what was written; return the seconds until it is acknowledged."""
    before = await db.read(_HANDLED)
    began = time.monotonic()
    await db.write(_TOP, b"")
    await wait_for(db, lambda said: said != before, _HANDLED)
    return time.monotonic() - began
