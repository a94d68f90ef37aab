# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 between any two steps: what was acknowledged is there, and whole.

The daemon runs as a process of its own that ends itself with SIGKILL at its n-th
step: before or after every write to a file, a directory or a hop.
"""

import asyncio
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from qubesforward.errors import AdminError, ForwardError
from qubesforward.qubes.admin_wire import NO_ANSWER
from qubesforward.qubes.qubesdb import QubesDB
from tests.daemon.world import World, in_world, until

_OLD = "forwardtype=external proto=tcp srcports=80-80"
_HOPS = ("sys-net", "sys-firewall", "work")
_NEW = "forwardtype=external proto=tcp srcports=443-443"

# Counts the steps once the file `armed` exists, and dies at the one it is told.
_DAEMON = """
import asyncio, os, signal, sys
from pathlib import Path
from qubesforward.daemon import store
from qubesforward.daemon.main import Daemon
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.qubesdb import QubesDB

root, last = Path(sys.argv[1]), int(sys.argv[2])
steps = 0

def step():
    global steps
    if (root / "armed").exists():
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

def around(function):
    def wrapped(*args, **more):
        step()
        result = function(*args, **more)
        step()
        return result
    return wrapped

def around_async(function):
    async def wrapped(*args, **more):
        step()
        result = await function(*args, **more)
        step()
        return result
    return wrapped

for name in ("open", "fsync", "fchmod"):
    setattr(store.os, name, around(getattr(os, name)))
store.Path.replace = around(Path.replace)
for name in ("write_many", "rm_many"):
    setattr(QubesDB, name, around_async(getattr(QubesDB, name)))

client = AsyncAdminClient(str(root / "qubesd.sock"), str(root / "forwardd.sock"))
socket_of = lambda name: str(root / f"{name}.sock")
daemon = Daemon(root, str(root / "forwardd.sock"), client, socket_of)
asyncio.run(daemon.run())
"""


def _start(root: Path, last: int) -> subprocess.Popen[bytes]:
    (root / "forwardd.sock").unlink(missing_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", _DAEMON, str(root), str(last)],
        stderr=subprocess.DEVNULL,
    )


async def _rules(world: World) -> str:
    while True:
        try:
            return await world.call("Get+forward", "work")
        except ForwardError as error:
            # While its socket is not there, calls go to qubesd, which refuses them.
            if isinstance(error, AdminError) and error.kind != NO_ANSWER:
                raise
            await asyncio.sleep(0.02)


async def _die_at(world: World, last: int) -> bool:
    """Have the daemon die at a step of an Add; return whether it came to that."""
    process = _start(world.root, last)
    acknowledged = False
    try:
        assert _OLD in await _rules(world)
        await until(lambda: len(world.entries("sys-net")) == 1)
        (world.root / "armed").touch()
        try:
            await world.add("work", _NEW)
            acknowledged = True
        except ForwardError:
            acknowledged = False
        died = await _dies(world, process)
    finally:
        (world.root / "armed").unlink(missing_ok=True)
        process.kill()
        process.wait()
    process = _start(world.root, 0)
    try:
        rules = await _rules(world)
        assert _OLD in rules
        assert _NEW in rules or not acknowledged
        # What the hops hold converges to what is stored, whatever was half done.
        count = rules.count("\n")
        for hop in _HOPS:
            await until(partial(_has_entries, world, hop, count))
        if _NEW in rules:
            lines = [line for line in rules.splitlines() if _NEW in line]
            await world.call("Remove+forward", "work", "\n".join(lines) + "\n")
    finally:
        process.terminate()
        assert process.wait() == 0
    return died


def _has_entries(world: World, hop: str, count: int) -> bool:
    return len(world.entries(hop)) == count


async def _dies(world: World, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the daemon is dead, or every hop has both forwards."""
    async with asyncio.timeout(10):
        while process.poll() is None:
            if all(_has_entries(world, hop, 2) for hop in _HOPS):
                return False
            await asyncio.sleep(0.01)
    return process.returncode == -signal.SIGKILL


def test_nothing_acknowledged_is_lost_at_any_step(tmp_path: Path) -> None:
    (tmp_path / "appvms" / "work").mkdir(parents=True)

    async def run() -> int:
        world = World(tmp_path)
        await world.start()
        try:
            await world.start_daemon()
            await world.add("work", _OLD)
            await world.stop_daemon()
            for last in range(1, 60):
                if not await _die_at(world, last):
                    return last
            pytest.fail("the steps of one Add have no end")
        finally:
            await world.close()

    steps = asyncio.run(run())
    # Six in the file system and the publishing to three hops, before and after.
    assert steps > 15, f"only {steps} steps were tried"
    assert os.listdir(tmp_path / "appvms" / "work") == ["firewall.xml"]


def test_a_removal_that_was_not_committed_stayed_open(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", "forwardtype=external proto=tcp srcports=443")
        await until(lambda: _is_active(world))
        # The daemon removed the rule and its entries, and was killed right then.
        await world.stop_daemon()
        (tmp_path / "appvms/work/firewall.xml").unlink()
        db = await QubesDB.connect(world.db_path("work"))
        await db.rm("/qubes-forward/")
        await db.aclose()
        told = len(world.log)
        await world.start_daemon()
        await until(lambda: ("work", frozenset()) in world.log[told:])

    in_world(tmp_path, test)


async def _is_active(world: World) -> bool:
    return await world.states("work") == ["active"]
