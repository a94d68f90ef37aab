# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from qubesforward.errors import LabError, QubesDBError
from qubesforward.lab.qubesd.qubesdb_daemons import QubesDBs, end_process
from qubesforward.lab.qubesd.state import Paths
from qubesforward.qubes.qubesdb import QubesDB
from tests.lab.qubesd_world import make_paths

Test = Callable[[QubesDBs, Paths], Awaitable[None]]


def _with_daemon(directory: Path, test: Test) -> None:
    """Run a test with the real daemon of a qube `work`."""
    paths = make_paths(directory)

    async def run() -> None:
        async with asyncio.timeout(30):
            databases = QubesDBs(paths)
            pid = await databases.start("work")
            try:
                await test(databases, paths)
            finally:
                await databases.stop("work", pid)
            assert not Path(f"/proc/{pid}").exists()

    asyncio.run(run())


async def _read_all(path: Path) -> dict[str, bytes]:
    database = await QubesDB.connect(str(path))
    try:
        return await database.multiread("/")
    finally:
        await database.aclose()


def test_both_sides_see_what_qubesd_writes(tmp_path: Path) -> None:
    async def test(databases: QubesDBs, paths: Paths) -> None:
        await databases.update("work", {"/name": "work", "/connected-ips": ""})
        wanted = {"/name": b"work", "/connected-ips": b""}
        assert await _read_all(paths.qubesdb / "qubesdb.work.sock") == wanted
        inside = paths.run / "domains" / "work" / "qubesdb.sock"
        assert await _read_all(inside) == wanted

    _with_daemon(tmp_path, test)


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    async def test(databases: QubesDBs, paths: Paths) -> None:
        await databases.update("work", {"/name": "work", "/qubes-ip": "10.0.0.1"})
        watcher = await QubesDB.connect(str(paths.qubesdb / "qubesdb.work.sock"))
        await watcher.watch("/")
        await databases.update("work", {"/name": "work", "/qubes-ip": "10.0.0.2"})
        assert await asyncio.wait_for(watcher.next_event(), 5) == "/qubes-ip"
        await databases.update("work", {"/name": "work"})
        assert await asyncio.wait_for(watcher.next_event(), 5) == "/qubes-ip"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watcher.next_event(), 0.1)
        await watcher.aclose()

    _with_daemon(tmp_path, test)


def test_next_qubesd_finds_out_what_is_there(tmp_path: Path) -> None:
    async def test(databases: QubesDBs, paths: Paths) -> None:
        await databases.update("work", {"/name": "work", "/qubes-ip": "10.0.0.1"})
        path = paths.qubesdb / "qubesdb.work.sock"
        other = await QubesDB.connect(str(path))
        await other.write("/qubes-forward/1234abcd", b"not ours")
        await other.aclose()
        await QubesDBs(paths).update("work", {"/name": "work"})
        assert await _read_all(path) == {
            "/name": b"work",
            "/qubes-forward/1234abcd": b"not ours",
        }

    _with_daemon(tmp_path, test)


def test_daemon_that_is_gone_is_said_and_can_be_started_again(tmp_path: Path) -> None:
    paths = make_paths(tmp_path)

    async def run() -> None:
        databases = QubesDBs(paths)
        pid = await databases.start("work")
        await end_process(pid, "qubesforward.lab.qubesdb_daemon")
        with pytest.raises(QubesDBError):
            await databases.update("work", {"/name": "work"})
        pid = await databases.start("work")
        await databases.update("work", {"/name": "work"})
        await databases.stop("work", pid)

    asyncio.run(run())


def test_daemon_that_cannot_start_is_said(tmp_path: Path) -> None:
    paths = make_paths(tmp_path)
    (paths.qubesdb / "qubesdb.work.sock").mkdir()

    async def run() -> None:
        with pytest.raises(LabError, match="QubesDB daemon of work"):
            await QubesDBs(paths).start("work")

    asyncio.run(run())


def test_daemon_that_nobody_wrote_down_is_ended(tmp_path: Path) -> None:
    paths = make_paths(tmp_path)

    async def run() -> None:
        lost = await QubesDBs(paths).start("work")
        databases = QubesDBs(paths)
        pid = await databases.start("work")
        assert not Path(f"/proc/{lost}").exists()
        await databases.stop("work", 0)
        assert not Path(f"/proc/{pid}").exists()

    asyncio.run(run())


def test_process_that_is_another_program_is_let_be() -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        asyncio.run(end_process(bystander.pid, "qubesforward.lab.qubesdb_daemon"))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_daemon_outlives_qubesd(tmp_path: Path) -> None:
    paths = make_paths(tmp_path)
    pid = asyncio.run(QubesDBs(paths).start("work"))

    async def look() -> None:
        path = paths.qubesdb / "qubesdb.work.sock"
        assert await _read_all(path) == {}
        await QubesDBs(paths).stop("work", pid)

    asyncio.run(look())
