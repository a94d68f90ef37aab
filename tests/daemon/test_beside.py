# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon beside a stock qubesd: forwards are its business, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from qubesforward.daemon.hop import Hop
from qubesforward.daemon.main import Daemon
from qubesforward.errors import AdminError, Unavailable
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.setting import Setting
from tests.daemon.world import World, in_world, until

RULE = "forwardtype=external proto=tcp srcports=443-443"
OTHER = "forwardtype=external srcports=80-80"
STOCK = "/qubes-firewall/10.137.0.20"
STOCK_KEYS = {STOCK: "", f"{STOCK}/policy": "drop", f"{STOCK}/0000": "action=accept"}


def beside(root: Path, test: Callable[[World], Awaitable[None]]) -> None:
    in_world(root, test, Setting.BESIDE)


async def opened(world: World, qube: str = "work") -> None:
    async def is_active() -> bool:
        return await world.states(qube) == ["active"]

    await until(is_active)


async def write_stock_rules(world: World) -> None:
    for path, value in STOCK_KEYS.items():
        await world.say("sys-firewall", path, value)


def stock_rules(world: World) -> dict[str, str]:
    found = world.store("sys-firewall")
    return {p: v.decode() for p, v in found.items() if p.startswith("/qubes-firewall")}


def test_forwards_are_kept_apart_from_what_is_qubesds(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        await opened(world)
        assert (world.state / "work" / "firewall.xml").is_file()
        assert list((world.root / "appvms").iterdir()) == []
        await world.stop_daemon()
        await world.start_daemon()
        assert RULE in await world.call("Get+forward", "work")
        await opened(world)

    beside(tmp_path, test)


@pytest.mark.parametrize("verb", ["Get", "Set", "Reload"])
def test_outbound_calls_are_left_to_qubesd(tmp_path: Path, verb: str) -> None:
    async def test(world: World) -> None:
        # A client that takes the daemon for qubesd, as no tool of ours does.
        astray = AsyncAdminClient(str(world.root / "forwardd.sock"), "nowhere")
        with pytest.raises(AdminError, match="outbound rules are kept by qubesd"):
            await astray.call(f"admin.vm.firewall.{verb}", "work")
        assert await world.call("Get", "work") == "action=accept\n"

    beside(tmp_path, test)


def test_outbound_rules_in_qubesdb_are_not_touched(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await write_stock_rules(world)
        await world.stop_daemon()
        await world.start_daemon()
        await world.add("work", RULE)
        await opened(world)
        assert stock_rules(world) == STOCK_KEYS
        assert not any("firewall/" in path for path in world.store("sys-net"))

    beside(tmp_path, test)


def test_clearing_a_flooded_hop_leaves_outbound_rules(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await write_stock_rules(world)
        await world.say("sys-firewall", "/qubes-forward/00000001", "nonsense")
        hop = Hop("sys-firewall", 1, lambda: None, with_outbound=False)
        await hop.open(world.db_path("sys-firewall"), anew=True)
        await hop.close()
        assert world.entries("sys-firewall") == {}
        assert stock_rules(world) == STOCK_KEYS

    beside(tmp_path, test)


@pytest.mark.parametrize("while_down", [False, True])
def test_rules_go_with_their_qube(tmp_path: Path, while_down: bool) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        await world.add("personal", OTHER)
        if while_down:
            await world.stop_daemon()
        world.end("work")
        del world.qubes["work"]
        if while_down:
            await world.start_daemon()
        else:
            world.tell("", "domain-delete", vm="work")
        await until(lambda: not (world.state / "work").exists())
        assert "80-80" in await world.call("Get+forward", "personal")
        world.qubes["work"] = {"ip": "10.137.0.20", "netvm": "sys-firewall"}
        world.tell("", "domain-add", vm="work")
        assert await world.call("Get+forward", "work") == ""

    beside(tmp_path, test)


def test_rules_of_a_qube_that_qubesd_cannot_tell_about_stay(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        await world.stop_daemon()
        world.broken.add("work")
        await world.start_daemon()
        await world.call("Get+forward", "personal")
        assert (world.state / "work" / "firewall.xml").is_file()
        world.broken.clear()
        assert RULE in await world.call("Get+forward", "work")

    beside(tmp_path, test)


def test_rules_of_another_qube_of_the_name_wait_for_consent(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        await world.stop_daemon()
        world.qubes["work"]["uuid"] = "uuid-restored"
        await world.start_daemon()

        async def waits() -> bool:
            return await world.states("work") == ["unconfirmed"]

        await until(waits)
        await world.call("Confirm+forward", "work")
        await opened(world)

    beside(tmp_path, test)


def test_a_listing_without_dom0_is_none_and_cost_all_qubes_their_rules(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        qubes, world.qubes = world.qubes, {}
        world.hang_up()
        await asyncio.sleep(0.7)  # until it looks again
        world.qubes = qubes
        await opened(world)
        assert RULE in await world.call("Get+forward", "work")

    beside(tmp_path, test)


def test_what_a_kill_left_of_a_first_rule_stayed_when_the_qube_went(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.stop_daemon()
        (world.state / "gone").mkdir()
        (world.state / "gone" / ".firewall.xml.new").touch()
        await world.start_daemon()
        await world.call("Get+forward", "work")
        assert not (world.state / "gone").exists()

    beside(tmp_path, test)


def test_by_a_link_the_rules_of_one_qube_were_written_for_another(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        (world.state / "personal").symlink_to("work")
        await world.call("Reload+forward", "personal")
        assert await world.call("Get+forward", "personal") == ""
        for call in ("Set+forward", "Add+forward"):
            with pytest.raises(AdminError, match="personal: a symbolic link; mend"):
                await world.call(call, "personal", "action=forward " + OTHER)
        world.end("personal")
        del world.qubes["personal"]
        world.tell("", "domain-delete", vm="personal")
        await world.stop_daemon()
        await world.start_daemon()
        assert RULE in await world.call("Get+forward", "work")

    beside(tmp_path, test)


@pytest.mark.parametrize("setting", Setting)
def test_a_second_daemon_ordered_hops_beside_the_first(
    tmp_path: Path, setting: Setting
) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        # As one that systemd starts, with a socket of its own, beside one by hand.
        second = Daemon(
            world.state,
            str(world.root / "second.sock"),
            world.client,
            world.db_path,
            run=world.root / "second",
            log=world.root / "second.log",
            setting=setting,
        )
        with pytest.raises(Unavailable, match="another qubes-forwardd"):
            await second.serve(asyncio.Event())
        assert not (world.root / "second.log").exists()
        await opened(world)

    in_world(tmp_path, test, setting)


@pytest.mark.parametrize("name", ["", ".", "..", "../work", "/etc"])
def test_a_name_that_is_none_removes_nothing(tmp_path: Path, name: str) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        world.tell("", "domain-delete", vm=name)
        await world.add("personal", OTHER)
        assert (world.state / "work" / "firewall.xml").is_file()

    beside(tmp_path, test)


@pytest.mark.parametrize("setting", Setting)
def test_a_mended_file_is_read_anew_when_asked(
    tmp_path: Path, setting: Setting
) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        (file,) = world.state.rglob("work/firewall.xml")
        text = file.read_text()
        file.write_text("no rules")
        await world.call("Reload+forward", "work")
        with pytest.raises(AdminError, match="mend or move that file away"):
            await world.add("work", OTHER)
        file.write_text(text)
        await world.call("Reload+forward", "work")
        await opened(world)

    in_world(tmp_path, test, setting)
