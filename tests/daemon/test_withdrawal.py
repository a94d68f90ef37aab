# SPDX-License-Identifier: GPL-2.0-or-later
"""Closing everything before the package goes."""

from __future__ import annotations

import socket
from pathlib import Path

from qubesforward.daemon import withdrawal
from qubesforward.daemon.withdrawal import find_databases, withdraw
from tests.daemon.world import World, in_world

RULE = "forwardtype=external proto=tcp srcports=443-443"


def databases(world: World) -> dict[str, str]:
    return {name: world.db_path(name) for name in world.qubes}


def test_every_order_is_taken_back_and_no_rule_is_lost(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        assert world.entries("sys-net")
        assert world.entries("work")
        rules = await world.call("Get+forward", "work")
        await world.stop_daemon()
        assert await withdraw(databases(world)) == {}
        for name in world.qubes:
            assert not world.entries(name)
        await world.start_daemon()
        assert await world.call("Get+forward", "work") == rules

    in_world(tmp_path, test)


def test_an_agent_that_is_silent_is_named_and_keeps_no_orders(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        await world.stop_daemon()
        world.mute.add("sys-net")
        problems = await withdraw(databases(world), patience=0.1)
        assert problems == {"sys-net": withdrawal._SILENT}
        assert not world.entries("sys-net")

    in_world(tmp_path, test)


def test_a_socket_left_of_a_qube_that_ended_is_no_problem(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", RULE)
        await world.stop_daemon()
        left = tmp_path / "ended.sock"
        with socket.socket(socket.AF_UNIX) as ended:
            ended.bind(str(left))
        there = {"ended": str(left), **databases(world)}
        assert await withdraw(there) == {}
        assert not any(world.entries(name) for name in world.qubes)

    in_world(tmp_path, test)


def test_what_is_told_to_no_hop_is_told_to_the_gateway(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.stop_daemon()
        await world.say("sys-net", "/qubes-forward-gateway", "1")
        assert await withdraw(databases(world)) == {}
        assert "/qubes-forward-gateway" not in world.store("sys-net")

    in_world(tmp_path, test)


def test_databases_of_qubes_are_found_and_dom0s_own_is_not(tmp_path: Path) -> None:
    for name in ("qubesdb.sock", "qubesdb.work.sock", "qubesdb.a.sock.sock", "other"):
        (tmp_path / name).touch()
    assert find_databases(tmp_path) == {
        "work": str(tmp_path / "qubesdb.work.sock"),
        "a.sock": str(tmp_path / "qubesdb.a.sock.sock"),
    }
