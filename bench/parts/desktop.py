# SPDX-License-Identifier: GPL-2.0-or-later
"""What windows cost: until they can be used, while they scroll, and under events.

Each window is a process of its own (`bench.window`), drawn off the screen. The daemon
is another; qubesd and the agents are played in this one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.apart import run_apart
from bench.figures import Sheet
from bench.parts.daemon import ManyQubes
from bench.scale import Scale
from bench.window import OVERVIEW, PLAIN, QUBE, SETTINGS

PLAIN_WINDOW = "a plain table of PyQt6"
WINDOWS = {
    PLAIN: PLAIN_WINDOW,
    SETTINGS: "settings of a qube",
    OVERVIEW: "overview",
}
"""Kinds of windows, and what they are called on the page."""

START = "start until it can be used"
FRAME = "processor time of the slowest of 100 frames while it is scrolled"
STALL = "longest pause of its loop in a second with 100 events"
QUIET = "the same with no events"

SIZES = (10, 1_000)
EVENTS = 100
"""A second."""

_PATIENCE = 120.0

_Told = list[dict[str, Any]]


def measure(scale: Scale, sheet: Sheet) -> None:
    """Show each window in turn, at each number of forwards."""
    rounds, frames, seconds = scale.pick((5, 200, 3), (1, 5, 1))
    for size in scale.pick(SIZES, (3,)):
        told: _Told = run_apart(partial(_run_apart, size, rounds, frames, seconds))
        for one in told:
            side = WINDOWS[one["kind"]]
            sheet.note(START, side, one["started"], "ms", size)
            slowest = sorted(one["frames"])[-max(len(one["frames"]) // 100, 1)]
            sheet.note(FRAME, side, slowest, "ms", size)
            sheet.note(STALL, side, max(one["loud"]), "ms", size)
            sheet.note(QUIET, side, max(one["quiet"]), "ms", size)


def _run_apart(size: int, rounds: int, frames: int, seconds: int) -> _Told:
    return asyncio.run(_run(size, rounds, frames, seconds))


async def _run(size: int, rounds: int, frames: int, seconds: int) -> _Told:
    with TemporaryDirectory() as folder:
        world = ManyQubes(Path(folder), 1, size)
        for qube in world.qubes.values():
            qube.setdefault("label", "red")
        await world.start()
        try:
            world.store_rules()
            await world.start_daemon()
            await world.wait_acknowledged(("sys-net", "sys-firewall"), size)
            told = []
            for number in range(rounds + 1):
                for kind in WINDOWS:
                    one = await _show(world, kind, size, frames, seconds)
                    # The first of each has files to be read into memory.
                    if number:
                        told.append(one)
            return told
        finally:
            await world.close()


async def _show(
    world: ManyQubes, kind: str, size: int, frames: int, seconds: int
) -> dict[str, Any]:
    """Show one window: scroll it, talk to it, leave it alone."""
    sockets = [str(world.root / name) for name in ("qubesd.sock", "forwardd.sock")]
    numbers = map(str, (size, frames, seconds))
    quiet = {"QT_QPA_PLATFORM": "offscreen", "QT_LOGGING_RULES": "*=false"}
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "bench.window", kind, *sockets, *numbers],
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **quiet},
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            started = 1000 * (await _listen(process) - began)
            took = await _listen(process)
            await _listen(process)
            talking = asyncio.create_task(_talk(world))
            loud = await _listen(process)
            talking.cancel()
            await _listen(process)
            still = await _listen(process)
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = {"kind": kind, "started": started, "frames": took}
    return {**told, "loud": loud, "quiet": still}


async def _listen(process: asyncio.subprocess.Process) -> Any:
    if process.stdout is None:
        raise RuntimeError("no pipe")
    return json.loads(await process.stdout.readline())


async def _talk(world: ManyQubes) -> None:
    """Have so much happen to a qube that windows look at it all the time."""
    while True:
        world.tell(QUBE, "property-set:label", name="label", newvalue="red")
        await asyncio.sleep(1 / EVENTS)
