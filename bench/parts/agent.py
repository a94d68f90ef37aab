# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent of one hop needs: time, memory, and the processor while it waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.apart import read_cpu, read_status
from bench.figures import Sheet
from bench.hop import KINDS, ODD, Orderer, entry_text, make_entries
from bench.scale import Scale
from qubesforward.qubes.qubesdb import QubesDB
from tests.agent.forward_world import FILTER, Agent
from tests.agent.outbound_world import Space

SIZES = (1, 10, 100, 1_000, 10_000, 60_000)
MOST_RANGES = 10_000
_TO = "10.137.0.20"
_CHANGES_A_SECOND = 100
_MORE = "0ffffff0"


class LoneAgent:
    """An agent in a namespace with the base rules of a qube and no network."""

    def __init__(self, stack: ExitStack) -> None:
        self._folder = Path(stack.enter_context(TemporaryDirectory()))
        space = Space(stack)
        space.nft(FILTER)
        self.agent = Agent(stack, space, self._folder)
        self.orderer = Orderer(self.agent)

    @property
    def pid(self) -> int:
        """Its process, which `nsenter` has become."""
        return self.agent.process.pid

    def restart(self) -> float:
        """Start the agent anew in the same qube; tell when that was."""
        self.agent.kill()
        began = time.monotonic()
        self.agent.start()
        return began


def measure(scale: Scale, sheet: Sheet) -> None:
    """Measure every kind at every size, each with agents of their own."""
    for size in scale.pick(SIZES, (1, 20)):
        for kind, source in KINDS.items():
            if kind != ODD or size <= MOST_RANGES:
                _measure_one(size, kind, source, scale, sheet)


def _measure_one(size: int, kind: str, source: str, scale: Scale, sheet: Sheet) -> None:
    entries = make_entries(size, source, _TO, 8443)
    for _ in range(scale.pick(3 if size > 10_000 else 5, 1)):
        with ExitStack() as stack:
            lone = LoneAgent(stack)
            loading = asyncio.run(_load(lone, entries))
            sheet.note("cold load", kind, 1000 * loading, "ms", size)
            memory = read_status(lone.pid, "VmRSS") / 1024
            sheet.note("memory after it", kind, memory, "MB", size)
            peak = read_status(lone.pid, "VmHWM") / 1024
            sheet.note("most memory ever", kind, peak, "MB", size)
            rounds = scale.pick(20, 1)
            asyncio.run(_change(lone, source, rounds, kind, size, sheet))
            starting = asyncio.run(_start(lone))
            sheet.note("start with all there", kind, 1000 * starting, "ms", size)
    if size == max(scale.pick((10_000,), (20,))):
        _watch_processor(entries, kind, source, scale, sheet)


async def _load(lone: LoneAgent, entries: dict[str, str]) -> float:
    """Return the seconds from the commit of all entries to its acknowledgement."""
    db = await lone.orderer.connect()
    await lone.orderer.write(db, {})
    await lone.orderer.commit(db)
    await lone.orderer.write(db, entries)
    began = time.monotonic()
    await lone.orderer.commit(db)
    ended = time.monotonic()
    await db.aclose()
    return ended - began


async def _start(lone: LoneAgent) -> float:
    """Return the seconds from the program's start to its first acknowledgement."""
    db = await lone.orderer.connect()
    await db.rm("/qubes-forward-handled")
    began = lone.restart()
    # What is told of the removal wakes us too; what counts is the new value.
    while await db.read("/qubes-forward-handled") is None:
        await db.next_event()
    ended = time.monotonic()
    await db.aclose()
    return ended - began


async def _change(
    lone: LoneAgent, source: str, rounds: int, kind: str, size: int, sheet: Sheet
) -> None:
    db = await lone.orderer.connect()
    for _ in range(rounds):
        began = time.monotonic()
        await _open_more(lone, db, source)
        middle = time.monotonic()
        await _close_more(lone, db)
        ended = time.monotonic()
        sheet.note("one more", kind, 1000 * (middle - began), "ms", size)
        sheet.note("one less", kind, 1000 * (ended - middle), "ms", size)
    await db.aclose()


async def _open_more(lone: LoneAgent, db: QubesDB, source: str) -> None:
    more = {_MORE: entry_text(65_000, source, _TO, 8443)}
    await lone.orderer.write(db, more)
    await lone.orderer.commit(db)


async def _close_more(lone: LoneAgent, db: QubesDB) -> None:
    await db.rm(f"/qubes-forward/{_MORE}")
    await lone.orderer.commit(db)


def _watch_processor(
    entries: dict[str, str], kind: str, source: str, scale: Scale, sheet: Sheet
) -> None:
    size = len(entries)
    with ExitStack() as stack:
        lone = LoneAgent(stack)
        asyncio.run(_load(lone, entries))
        seconds = scale.pick(5.0, 0.1)
        time.sleep(scale.pick(1.0, 0.1))
        woken = read_status(lone.pid, "voluntary_ctxt_switches")
        used = read_cpu(lone.pid)
        time.sleep(seconds)
        woken = read_status(lone.pid, "voluntary_ctxt_switches") - woken
        idle = read_cpu(lone.pid) - used
        sheet.note("wake-ups while idle", kind, woken / seconds, "/s", size)
        sheet.note("processor while idle", kind, 100 * idle / seconds, "%", size)
        used, began = read_cpu(lone.pid), time.monotonic()
        asyncio.run(_keep_busy(lone, source, seconds))
        busy = (read_cpu(lone.pid) - used) / (time.monotonic() - began)
        what = f"processor at {_CHANGES_A_SECOND} changes a second"
        sheet.note(what, kind, 100 * busy, "%", size)


async def _keep_busy(lone: LoneAgent, source: str, seconds: float) -> None:
    db = await lone.orderer.connect()
    began = time.monotonic()
    for number in range(int(seconds * _CHANGES_A_SECOND)):
        if number % 2:
            await _close_more(lone, db)
        else:
            await _open_more(lone, db, source)
        due = began + (number + 1) / _CHANGES_A_SECOND
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await db.aclose()
