# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules as the lab's qubesd has them when it stands for a stock one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from qubesforward.errors import AdminError
from qubesforward.qubes.setting import Setting
from tests.lab.qubesd_world import World, in_world

RULES = (
    "action=drop dst4=192.0.2.0/24 proto=tcp dstports=80-80\n"
    "action=drop dst6=2001:db8::/32\n"
    "action=accept comment=all the rest\n"
)


def stock(directory: Path, test: Callable[[World], Awaitable[None]]) -> None:
    in_world(directory, test, Setting.BESIDE)


def told(world: World, netvm: str, address: str) -> dict[str, str]:
    """What a netvm is told about an address, by key; the commit is the empty one."""
    top = f"/qubes-firewall/{address}"
    found = world.databases.stores[netvm].items()
    return {path.removeprefix(top): v for path, v in found if path.startswith(top)}


async def started(world: World) -> str:
    for name in ("sys-net", "sys-firewall", "work"):
        await world.call("admin.vm.Start", name)
    return await world.read("work", "ip")


def test_rules_are_kept_in_the_qubes_directory_and_told(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        assert await world.call("admin.vm.firewall.Get", "work") == "action=accept\n"
        address = await started(world)
        everything = {"": "", "/policy": "drop", "/0000": "action=accept"}
        assert told(world, "sys-firewall", address) == everything
        async with world.hear() as heard:
            await world.call("admin.vm.firewall.Set", "work", payload=RULES)
        assert ("work", "firewall-changed") in [(e.subject, e.name) for e in heard]
        assert await world.call("admin.vm.firewall.Get", "work") == RULES
        assert told(world, "sys-firewall", address) == {
            "": "",
            "/policy": "drop",
            "/0000": "action=drop dst4=192.0.2.0/24 proto=tcp dstports=80-80",
            "/0002": "action=accept",
        }
        file = world.paths.directory(world.computer.qube("work")) / "firewall.xml"
        assert b"192.0.2.0/24" in file.read_bytes()

    stock(tmp_path, test)


def test_rules_that_end_are_taken_out_then(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        address = await started(world)
        soon = f"action=accept expire={int(time.time()) + 1}\n"
        await world.call("admin.vm.firewall.Set", "work", payload=soon)
        assert "/0000" in told(world, "sys-firewall", address)
        end = time.monotonic() + 5
        while "/0000" in told(world, "sys-firewall", address):
            assert time.monotonic() < end
            await world.call("admin.vm.List")

    stock(tmp_path, test)


def test_a_disposable_has_the_rules_of_its_template(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("admin.vm.firewall.Set", "default-dvm", payload=RULES)
        name = await world.call("admin.vm.CreateDisposable", "default-dvm")
        assert await world.call("admin.vm.firewall.Get", name) == RULES

    stock(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "arg", "payload"),
    [
        ("Get", "forward", ""),
        ("Set", "forward", "action=accept\n"),
        ("Add", "forward", "action=accept\n"),
        ("Status", "forward", ""),
        ("Reload", "forward", ""),
        ("Set", "", "action=forward forwardtype=external srcports=80-80\n"),
        ("Set", "", "nonsense\n"),
    ],
)
def test_it_knows_nothing_of_forwards(
    tmp_path: Path, method: str, arg: str, payload: str
) -> None:
    async def test(world: World) -> None:
        with pytest.raises(AdminError):
            await world.call(f"admin.vm.firewall.{method}", "work", arg, payload)
        assert await world.call("admin.vm.firewall.Get", "work") == "action=accept\n"

    stock(tmp_path, test)


def test_a_file_that_cannot_be_read_blocks(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        address = await started(world)
        file = world.paths.directory(world.computer.qube("work")) / "firewall.xml"
        file.write_text("nonsense")
        await world.call("admin.vm.firewall.Reload", "work")
        assert told(world, "sys-firewall", address) == {"": "", "/policy": "drop"}

    stock(tmp_path, test)
