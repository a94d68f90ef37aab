# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens while a pass is under way, and what a pass leaves behind."""

import asyncio
import time
from pathlib import Path

import pytest

from qubesforward.daemon.hop import Hop
from qubesforward.daemon.status import describe_hop
from qubesforward.errors import AdminError, QubesDBError
from qubesforward.lab.qubesdb_server import Store
from qubesforward.plan.snapshot import Qube
from qubesforward.qubes.qubesdb import QubesDB
from tests.daemon.world import World, in_world, until

OLD = "action=forward forwardtype=external proto=tcp srcports=443-443\n"
NEW = "action=forward forwardtype=external proto=tcp srcports=444-444\n"


async def is_active(world: World) -> bool:
    return await world.states("work") == ["active"]


async def open_one(world: World) -> None:
    await world.call("Add+forward", "work", OLD)
    await until(lambda: is_active(world))


def test_what_was_removed_while_the_old_path_closed_was_opened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    write = Store.write

    def note(store: Store, path: str, value: bytes) -> None:
        written.append(value)
        write(store, path, value)

    monkeypatch.setattr(Store, "write", note)

    async def test(world: World) -> None:
        await open_one(world)
        world.mute.add("sys-firewall")
        replacing = asyncio.create_task(world.call("Set+forward", "work", NEW))
        await until(lambda: world.entries("sys-firewall") == {})
        await world.call("Set+forward", "work")
        await replacing
        assert any(b"ports=443-443" in value for value in written)
        assert not any(b"ports=444-444" in value for value in written)

    in_world(tmp_path, test)


def test_an_earlier_pass_closed_the_old_path_and_nobody_waited_for_it(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await open_one(world)
        world.mute.add("sys-firewall")
        world.qubes["work"]["netvm"] = ""
        world.tell("work", "property-set:netvm", newvalue="")
        await until(lambda: world.entries("sys-firewall") == {})
        await asyncio.sleep(0.05)
        world.qubes["work"]["netvm"] = "sys-net"
        world.tell("work", "property-set:netvm", newvalue="sys-net")
        await asyncio.sleep(0.25)
        assert world.entries("sys-net") == {}
        await until(lambda: len(world.entries("sys-net")) == 1)

    in_world(tmp_path, test)


def test_a_dead_agent_is_not_waited_for_again_and_again(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await open_one(world)
        world.mute.add("sys-firewall")
        await world.call("Set+forward", "work", NEW)
        begin = time.monotonic()
        await world.call("Add+forward", "work", OLD)
        assert time.monotonic() - begin < 0.3

    in_world(tmp_path, test)


def test_a_forward_that_ended_during_a_pass_stayed(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await open_one(world)
        world.mute.add("sys-firewall")
        now = time.time()
        end = int(now) + 2
        await asyncio.sleep(end - 0.25 - now)
        await world.call("Set+forward", "work", NEW.strip() + f" expire={end}\n")

        async def is_gone() -> bool:
            return await world.call("Get+forward", "work") == ""

        await until(is_gone)

    in_world(tmp_path, test)


def test_a_removal_that_failed_counted_as_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(world: World) -> None:
        await open_one(world)

        async def fail(_self: QubesDB, _paths: object) -> None:
            monkeypatch.undo()
            raise QubesDBError("QubesDB refused the request")

        monkeypatch.setattr(QubesDB, "rm_many", fail)
        await world.call("Set+forward", "work")
        for name in ("sys-net", "sys-firewall", "work"):
            await until(lambda name=name: world.entries(name) == {})  # type: ignore[misc]

    in_world(tmp_path, test)


def test_a_pass_that_failed_was_success_to_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(world: World) -> None:
        await open_one(world)

        def fail(*_args: object) -> None:
            raise ValueError("an error of ours")

        with monkeypatch.context() as patched:
            patched.setattr(Hop, "compare", fail)
            with pytest.raises(AdminError, match="could not be told yet"):
                await world.call("Set+forward", "work")
        await until(lambda: world.entries("sys-net") == {})

    in_world(tmp_path, test)


def test_a_hop_that_came_back_was_well_before_it_was_looked_at() -> None:
    hop = Hop("sys-net", 1, lambda: None)
    hop.generation = hop.handled = 3
    snapshot = {"sys-net": Qube("sys-net")}
    assert describe_hop("sys-net", snapshot, {"sys-net": hop})["state"] == "silent"
    hop.fresh = False
    assert describe_hop("sys-net", snapshot, {"sys-net": hop})["state"] == "ok"


def test_a_new_run_opened_before_it_knew_what_was_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = QubesDB.connect

    async def connect_late(path: str, patience: float = 10.0) -> QubesDB:
        if "sys-firewall" in path:
            await asyncio.sleep(0.2)
        return await connect(path, patience)

    async def test(world: World) -> None:
        await open_one(world)
        await world.stop_daemon()
        world.qubes["work"]["netvm"] = "sys-net"
        world.log.clear()
        monkeypatch.setattr(QubesDB, "connect", connect_late)
        await world.start_daemon()
        await until(lambda: is_active(world))
        told = [
            (name, sorted(entries)[0].split("to=")[-1].split()[0] if entries else "")
            for name, entries in world.log
        ]
        assert ("sys-firewall", "") in told
        assert told.index(("sys-firewall", "")) < told.index(("sys-net", "10.137.0.20"))

    in_world(tmp_path, test)


def test_a_copy_of_an_entry_hid_the_entry_itself(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await open_one(world)
        await world.stop_daemon()
        (value,) = world.entries("sys-net").values()
        store = world._dbs["sys-net"].store
        store.write("/qubes-forward/ffffffff", value.encode())
        await world.start_daemon()
        await until(lambda: len(world.entries("sys-net")) == 1)
        await until(lambda: is_active(world))

    in_world(tmp_path, test)
