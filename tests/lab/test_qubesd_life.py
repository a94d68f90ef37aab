# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qubesforward.errors import AdminError
from qubesforward.qubes.admin_wire import Event
from tests.lab.qubesd_world import World, in_world


def _names(heard: list[Event], subject: str) -> list[str]:
    return [event.name for event in heard if event.subject == subject]


async def _until_state(world: World, name: str, state: str) -> None:
    async with asyncio.timeout(5):
        while await world.state(name) != state:
            await asyncio.sleep(0.01)


def test_start_brings_the_whole_chain_up(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        async with world.hear() as heard:
            await world.call("admin.vm.Start", "work")
        for name in ("sys-net", "sys-firewall", "work"):
            assert await world.state(name) == "Running"
            assert _names(heard, name) == [
                "domain-pre-start",
                "domain-spawn",
                "domain-start",
            ]
        assert world.machine.log == [
            "create sys-net",
            "create sys-firewall",
            "attach sys-firewall",
            "create work",
            "attach work",
        ]
        assert await world.state("personal") == "Halted"

    in_world(tmp_path, test)


def test_link_has_addresses_of_both_ends(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        link = world.machine.links["work"]
        assert (link.backend, link.ip, link.gateway) == (
            "sys-firewall",
            "10.137.0.4",
            "10.137.0.3",
        )
        assert (link.ip6, link.gateway6) == (
            "fd09:24ef:4179::a89:4",
            "fd09:24ef:4179::a89:3",
        )
        assert link.dns == ["10.139.1.1", "10.139.1.2"]
        xid = await world.read("work", "xid")
        assert xid == str(world.machine.numbers["work"])

    in_world(tmp_path, test)


def test_many_starts_at_once_start_every_qube_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.machine.seconds["create sys-net"] = 0.05
        names = ["work", "personal", "sys-firewall", "work", "sys-net"]
        await asyncio.gather(*(world.call("admin.vm.Start", n) for n in names))
        created = [what for what in world.machine.log if what.startswith("create")]
        assert len(created) == len(set(created)) == 4

    in_world(tmp_path, test)


def test_start_that_fails_leaves_the_qube_halted(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.machine.failing.add("create work")
        async with world.hear("work") as heard:
            with pytest.raises(AdminError, match="refused to create work"):
                await world.call("admin.vm.Start", "work")
        assert await world.state("work") == "Halted"
        assert "work" not in world.databases.stores
        last = heard[-1]
        assert (last.name, dict(last.kwargs)) == (
            "domain-start-failed",
            {"reason": "refused to create work"},
        )
        world.machine.failing.clear()
        await world.call("admin.vm.Start", "work")
        assert await world.state("work") == "Running"

    in_world(tmp_path, test)


def test_start_that_cannot_be_linked_fails(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.machine.failing.add("attach work")
        with pytest.raises(AdminError, match="refused to attach work"):
            await world.call("admin.vm.Start", "work")
        assert await world.state("work") == "Halted"
        assert await world.state("sys-firewall") == "Running"

    in_world(tmp_path, test)


def test_caller_that_goes_away_does_not_stop_a_start(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.machine.seconds["create work"] = 0.2
        task = asyncio.create_task(world.service.lifecycle.start("work"))
        await _until_state(world, "work", "Transient")
        task.cancel()
        await _until_state(world, "work", "Running")

    in_world(tmp_path, test)


def test_shutdown_waits_only_when_asked_to(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.machine.seconds["shutdown work"] = 0.1
        await world.call("admin.vm.Start", "work")
        async with world.hear("work") as heard:
            await world.call("admin.vm.Shutdown", "work")
            assert await world.state("work") == "Halting"
            await _until_state(world, "work", "Halted")
        assert _names(heard, "work") == [
            "domain-pre-shutdown",
            "domain-stopped",
            "domain-shutdown",
        ]
        await world.call("admin.vm.Start", "work")
        await world.call("admin.vm.Shutdown", "work", "wait")
        assert await world.state("work") == "Halted"
        assert "work" not in world.databases.stores

    in_world(tmp_path, test)


def test_death_is_told_once_however_it_is_noticed(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        async with world.hear("work") as heard:
            await world.call("admin.vm.Shutdown", "work", "wait")
            # The hypervisor's own message about it comes after that.
            await asyncio.sleep(0.05)
        assert _names(heard, "work").count("domain-shutdown") == 1

    in_world(tmp_path, test)


def test_netvm_with_running_clients_ends_only_by_force(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        with pytest.raises(AdminError, match="work") as caught:
            await world.call("admin.vm.Shutdown", "sys-firewall", "wait")
        assert caught.value.kind == "QubesVMInUseError"
        assert await world.state("sys-firewall") == "Running"
        await world.call("admin.vm.Shutdown", "sys-firewall", "force+wait")
        assert await world.state("sys-firewall") == "Halted"
        assert await world.state("work") == "Running"
        assert "work" not in world.machine.links

    in_world(tmp_path, test)


def test_client_is_linked_again_when_its_netvm_comes_back(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        await world.call("admin.vm.Kill", "sys-firewall")
        assert "work" not in world.machine.links
        await world.call("admin.vm.Start", "sys-firewall")
        assert world.machine.links["work"].backend == "sys-firewall"

    in_world(tmp_path, test)


def test_qube_that_dies_by_itself_is_cleaned_up(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        async with world.hear() as heard:
            world.machine.die("sys-firewall")
            await _until_state(world, "sys-firewall", "Halted")
        assert _names(heard, "sys-firewall") == ["domain-stopped", "domain-shutdown"]
        assert "sys-firewall" not in world.databases.stores
        assert "work" not in world.machine.links

    in_world(tmp_path, test)


def test_late_word_of_a_death_does_not_end_the_next_life(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        await world.call("admin.vm.Shutdown", "work", "wait")
        await world.call("admin.vm.Start", "work")
        world.machine.events.put_nowait(("died", "work"))
        await asyncio.sleep(0.05)
        assert await world.state("work") == "Running"
        assert "work" in world.machine.links

    in_world(tmp_path, test)


def test_kill_does_not_wait_for_a_shutdown_that_hangs(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        world.machine.seconds["shutdown work"] = 0.3
        await world.call("admin.vm.Shutdown", "work")
        before = len(world.machine.log)
        killing = asyncio.create_task(world.call("admin.vm.Kill", "work"))
        await asyncio.sleep(0.1)
        assert "kill work" in world.machine.log[before:]
        assert "work" not in world.machine.numbers
        world.machine.numbers["work"] = 99  # for the shutdown that comes to its end
        await killing
        assert await world.state("work") == "Halted"

    in_world(tmp_path, test)


def test_kill_in_the_middle_of_a_start_wins(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.machine.seconds["create sys-net"] = 0.2
        starting = asyncio.create_task(world.call("admin.vm.Start", "work"))
        await _until_state(world, "work", "Transient")
        await world.call("admin.vm.Kill", "work")
        await asyncio.gather(starting, return_exceptions=True)
        assert await world.state("work") == "Halted"
        assert "work" not in world.machine.numbers

    in_world(tmp_path, test)


def test_pausing_and_going_on(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        async with world.hear("work") as heard:
            await world.call("admin.vm.Pause", "work")
            assert await world.state("work") == "Paused"
            with pytest.raises(AdminError) as caught:
                await world.call("admin.vm.Pause", "work")
            assert caught.value.kind == "QubesVMNotRunningError"
            await world.call("admin.vm.Unpause", "work")
            assert await world.state("work") == "Running"
        assert _names(heard, "work") == ["domain-paused", "domain-unpaused"]

    in_world(tmp_path, test)


def test_paused_qube_can_be_shut_down(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        await world.call("admin.vm.Pause", "work")
        await world.call("admin.vm.Shutdown", "work", "wait")
        assert await world.state("work") == "Halted"
        assert world.machine.log[-2:] == ["unpause work", "shutdown work"]

    in_world(tmp_path, test)


def test_creating_and_removing_a_qube(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        directory = world.paths.qubes / "appvms" / "play"
        async with world.hear() as heard:
            words = ("dom0", "debian-12", "name=play label=green")
            await world.call("admin.vm.Create.AppVM", *words)
            assert directory.is_dir()
            (directory / "firewall.xml").write_text("<firewall/>")
            await world.call("admin.vm.Remove", "play")
        assert not directory.exists()
        told = [(event.subject, event.name, dict(event.kwargs)) for event in heard]
        assert told == [
            ("", "domain-add", {"vm": "play"}),
            ("", "domain-delete", {"vm": "play"}),
        ]

    in_world(tmp_path, test)


def test_new_qube_does_not_find_files_of_an_old_one(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        directory = world.paths.qubes / "appvms" / "play"
        directory.mkdir(parents=True)
        (directory / "firewall.xml").write_text("<firewall/>")
        await world.call("admin.vm.Create.AppVM", "dom0", "", "name=play label=green")
        assert list(directory.iterdir()) == []
        assert await world.read("play", "template") == "debian-12"

    in_world(tmp_path, test)


def test_running_qube_is_not_removed(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        with pytest.raises(AdminError) as caught:
            await world.call("admin.vm.Remove", "work")
        assert caught.value.kind == "QubesVMNotHaltedError"

    in_world(tmp_path, test)


def test_disposable_inherits_and_is_gone_after_its_end(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.feature.Set", "default-dvm", "portmap", "ask")
        await world.set("default-dvm", "netvm", "sys-net")
        async with world.hear() as heard:
            name = await world.call("admin.vm.CreateDisposable", "default-dvm")
            dispid = int(name.removeprefix("disp"))
            assert await world.read(name, "template") == "default-dvm"
            assert await world.read(name, "netvm") == "sys-net"
            assert await world.read(name, "ip") == (
                f"10.138.{dispid >> 8}.{dispid & 0xFF}"
            )
            assert await world.read(name, "ip6") == f"fd09:24ef:4179::a8a:{dispid:x}"
            assert await world.call("admin.vm.feature.Get", name, "portmap") == "ask"
            await world.call("admin.vm.Start", name)
            await world.call("admin.vm.Shutdown", name, "wait")
        assert ("", "domain-delete") in [(e.subject, e.name) for e in heard]
        assert name not in await world.call("admin.vm.List")
        assert not (world.paths.qubes / "appvms" / name).exists()

    in_world(tmp_path, test)


def test_disposable_by_default_is_of_the_default_template(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        name = await world.call("admin.vm.CreateDisposable")
        assert await world.read(name, "template") == "default-dvm"
        with pytest.raises(AdminError) as caught:
            await world.call("admin.vm.Remove", "default-dvm")
        assert caught.value.kind == "QubesVMInUseError"

    in_world(tmp_path, test)


def test_named_disposable_stays(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        words = ("dom0", "default-dvm", "name=sys-web label=red")
        await world.call("admin.vm.Create.DispVM", *words)
        await world.call("admin.vm.Start", "sys-web")
        await world.call("admin.vm.Kill", "sys-web")
        assert await world.state("sys-web") == "Halted"
        assert (await world.read("sys-web", "ip")).startswith("10.138.")

    in_world(tmp_path, test)


def test_shutdown_that_fails_leaves_the_qube_running(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.Start", "work")
        world.machine.failing.add("shutdown work")
        with pytest.raises(AdminError, match="refused to shutdown work"):
            await world.call("admin.vm.Shutdown", "work", "wait")
        assert await world.state("work") == "Running"
        assert "work" in world.machine.links

    in_world(tmp_path, test)


def test_next_qube_of_a_name_does_not_become_a_netvm_unasked(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.set("default-dvm", "provides_network", "True")
        name = await world.call("admin.vm.CreateDisposable", "default-dvm")
        await world.set("vault", "netvm", name)
        await world.call("admin.vm.Start", name)
        await world.call("admin.vm.Kill", name)
        words = ("dom0", "", f"name={name} label=red")
        await world.call("admin.vm.Create.AppVM", *words)
        await world.set(name, "provides_network", "True")
        assert await world.read("vault", "netvm") == ""

    in_world(tmp_path, test)
