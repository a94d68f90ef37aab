# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.lab.qubesd_world import (
    FakeDatabases,
    FakeMachine,
    World,
    make_paths,
    run_qubesd,
)

Step = Callable[[World], Awaitable[None]]
Between = Callable[[FakeMachine], None]


def _in_two_lives(
    directory: Path, first: Step, between: Between, second: Step
) -> FakeMachine:
    """Kill qubesd after `first`; the machine and its QubesDBs go on."""
    machine_kept: list[FakeMachine] = []

    async def run() -> None:
        machine, databases = FakeMachine(), FakeDatabases()
        machine_kept.append(machine)
        paths = make_paths(directory)
        async with asyncio.timeout(30):
            async with run_qubesd(paths, machine, databases) as world:
                await first(world)
            between(machine)
            async with run_qubesd(paths, machine, databases) as world:
                await second(world)

    asyncio.run(run())
    return machine_kept[0]


def _nothing(_machine: FakeMachine) -> None:
    pass


async def _start_work(world: World) -> None:
    await world.call("admin.vm.Start", "work")


def test_what_runs_is_taken_over_untouched(tmp_path: Path) -> None:
    async def second(world: World) -> None:
        assert await world.state("work") == "Running"
        assert await world.read("work", "xid") == str(world.machine.numbers["work"])
        assert world.machine.log == log
        async with world.hear() as heard:
            await asyncio.sleep(0.05)
        assert heard == []
        await world.set("work", "netvm", "sys-net")
        assert world.machine.links["work"].backend == "sys-net"
        await world.call("admin.vm.Shutdown", "work", "wait")
        assert "work" not in world.databases.stores

    log: list[str] = []

    def between(machine: FakeMachine) -> None:
        log.extend(machine.log)

    _in_two_lives(tmp_path, _start_work, between, second)


def test_what_was_set_is_there_after_a_kill(tmp_path: Path) -> None:
    uuids: list[str] = []

    async def first(world: World) -> None:
        await world.call("admin.vm.Create.AppVM", "dom0", "", "name=play label=green")
        await world.set("play", "netvm", "sys-net")
        await world.call("admin.vm.feature.Set", "play", "portmap", "ask")
        await world.call("admin.vm.tag.Set", "play", "mine")
        await world.call("admin.property.Set", "dom0", "default_dispvm", "")
        uuids.append(await world.read("play", "uuid"))

    async def second(world: World) -> None:
        assert await world.read("play", "netvm") == "sys-net"
        assert await world.read("play", "label") == "green"
        assert await world.call("admin.vm.feature.Get", "play", "portmap") == "ask"
        assert await world.call("admin.vm.tag.Get", "play", "mine") == "1"
        answer = await world.call("admin.property.Get", "dom0", "default_dispvm")
        assert answer == "default=False type=vm "
        uuids.append(await world.read("play", "uuid"))

    _in_two_lives(tmp_path, first, _nothing, second)
    assert uuids[0] == uuids[1]


def test_death_while_nobody_looked_is_made_good(tmp_path: Path) -> None:
    async def second(world: World) -> None:
        assert await world.state("sys-firewall") == "Halted"
        assert await world.state("work") == "Running"
        assert "sys-firewall" not in world.databases.stores
        await world.call("admin.vm.Start", "sys-firewall")
        assert world.machine.links["work"].backend == "sys-firewall"

    def between(machine: FakeMachine) -> None:
        machine.die("sys-firewall")

    _in_two_lives(tmp_path, _start_work, between, second)


def test_disposable_that_died_while_nobody_looked_is_removed(tmp_path: Path) -> None:
    names: list[str] = []

    async def first(world: World) -> None:
        names.append(await world.call("admin.vm.CreateDisposable", "default-dvm"))
        await world.call("admin.vm.Start", names[0])

    async def second(world: World) -> None:
        assert names[0] not in await world.call("admin.vm.List")

    def between(machine: FakeMachine) -> None:
        machine.die(names[0])

    _in_two_lives(tmp_path, first, between, second)


def test_qube_that_was_starting_is_taken_over_too(tmp_path: Path) -> None:
    async def first(world: World) -> None:
        await world.call("admin.vm.Start", "sys-firewall")
        world.machine.seconds["attach work"] = 10
        world.machine.log.clear()
        starting = asyncio.create_task(world.call("admin.vm.Start", "work"))
        while "attach work" not in world.machine.log:
            await asyncio.sleep(0.01)
        _cancel_everything_else()
        starting.cancel()

    def between(machine: FakeMachine) -> None:
        machine.seconds.clear()

    async def second(world: World) -> None:
        assert await world.state("work") == "Running"
        # Whether that link was made is not known, so it is made afresh.
        assert world.machine.log[-2:] == ["detach work", "attach work"]
        assert world.machine.links["work"].backend == "sys-firewall"

    _in_two_lives(tmp_path, first, between, second)


def _cancel_everything_else() -> None:
    """End all that a killed qubesd was about to do."""
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task() and "work" in task.get_name():
            task.cancel()


def test_shutdown_goes_on_after_a_kill(tmp_path: Path) -> None:
    async def first(world: World) -> None:
        await _start_work(world)
        world.machine.seconds["shutdown work"] = 10
        await world.call("admin.vm.Shutdown", "work")
        assert await world.state("work") == "Halting"
        _cancel_everything_else()

    def between(machine: FakeMachine) -> None:
        machine.seconds.clear()

    async def second(world: World) -> None:
        async with asyncio.timeout(5):
            while await world.state("work") != "Halted":
                await asyncio.sleep(0.01)
        assert "work" not in world.machine.numbers

    _in_two_lives(tmp_path, first, between, second)


def test_domain_without_a_qube_is_ended(tmp_path: Path) -> None:
    def between(machine: FakeMachine) -> None:
        machine.numbers["nobody"] = 77

    async def second(world: World) -> None:
        assert "nobody" not in world.machine.numbers

    _in_two_lives(tmp_path, _start_work, between, second)


def test_autostart_brings_up_what_shall_and_says_so(tmp_path: Path) -> None:
    async def first(world: World) -> None:
        await world.service.takeover.start_all()
        assert world.paths.ready.read_text() == "ok"
        for name in ("sys-net", "sys-firewall", "work"):
            assert await world.state(name) == "Running"
        assert await world.state("personal") == "Halted"
        assert world.databases.stores["dom0"]["/name"] == "dom0"
        await world.call("admin.vm.Shutdown", "work", "wait")

    async def second(world: World) -> None:
        # It is qubesd that comes up here, not the computer.
        await world.service.takeover.start_all()
        assert await world.state("work") == "Halted"

    _in_two_lives(tmp_path, first, _nothing, second)


def test_autostart_that_fails_says_which_and_starts_the_rest(tmp_path: Path) -> None:
    async def first(world: World) -> None:
        world.machine.failing.add("create work")
        await world.set("personal", "autostart", "True")
        await world.service.takeover.start_all()
        assert world.paths.ready.read_text() == "work: refused to create work"
        assert await world.state("personal") == "Running"

    async def second(world: World) -> None:
        assert await world.state("work") == "Halted"

    _in_two_lives(tmp_path, first, _nothing, second)


def test_autostart_of_one_level_happens_at_once(tmp_path: Path) -> None:
    async def first(world: World) -> None:
        await world.set("vault", "autostart", "True")
        await world.set("personal", "autostart", "True")
        for name in ("sys-firewall", "personal"):
            world.machine.seconds[f"create {name}"] = 0.3
        began = asyncio.get_running_loop().time()
        await world.service.takeover.start_all()
        assert asyncio.get_running_loop().time() - began < 0.55

    async def second(world: World) -> None:
        assert await world.state("work") == "Running"

    _in_two_lives(tmp_path, first, _nothing, second)
