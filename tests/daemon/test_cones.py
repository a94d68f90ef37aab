# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks of UDP ports that are open while their qube runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qubesforward.daemon.router_memory import LIFETIME
from qubesforward.model.rule import Proto
from qubesforward.qubes.mapping_wire import GrantedMap, Open
from tests.daemon.gateway_end import GatewayEnd, unmap, wish, with_policy
from tests.daemon.world import World, until

CONE = {"portmap": "ask", "portmap_cone": "40000-40001"}
PORTS = ["40000-40000", "40001-40001"]


def opened(world: World, name: str = "sys-net") -> list[str]:
    """The UDP ports that are open at a hop, of entries in both directions."""
    found = []
    for entry in world.entries(name).values():
        words = dict(word.split("=", 1) for word in entry.split(" "))
        if words["in"] in ("external", "uplink") and words["proto"] == "udp":
            assert words["mapped"] == "yes"
            assert words["ports"] == words["toports"]
            assert "until" not in words
            found.append(words["ports"])
    return sorted(found)


async def is_told(world: World) -> list[Any]:
    return [each["origin"] for each in await world.forwards("work")]


class TestCones:
    def test_are_open_unasked_at_every_hop_and_listed(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await until(lambda: opened(world) == PORTS)
            await until(lambda: opened(world, "sys-firewall") == PORTS)
            assert await is_told(world) == ["portmap", "portmap"]

        with_policy(tmp_path, test, **CONE)

    def test_end_with_the_feature(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await until(lambda: opened(world) == PORTS)
            del world.features["work"]["portmap-cone"]
            world.tell("work", "domain-feature-delete:portmap-cone")
            await until(lambda: opened(world) == [])

        with_policy(tmp_path, test, **CONE)

    def test_reach_as_far_as_the_policy_says(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await until(lambda: opened(world) == PORTS)
            async with GatewayEnd(world, "sys-net") as outer:
                world.features["work"]["portmap-reach"] = "internet"
                world.tell("work", "domain-feature-set:portmap-reach")
                for port in (40000, 40001):
                    await outer.wait(Open(Proto.UDP, port, LIFETIME))
                await until(lambda: opened(world) == PORTS)

        with_policy(tmp_path, test, **CONE)

    @pytest.mark.parametrize(
        "rules", ["action=drop", "action=accept proto=tcp\naction=drop"]
    )
    def test_are_refused_to_a_restricted_qube(self, tmp_path: Path, rules: str) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await until(lambda: opened(world) == PORTS)
            await world.call("Set", "work", payload=rules)
            await until(lambda: opened(world) == [])
            status = json.loads(await world.call("Status+forward", "work"))
            assert "portmap-cone=40000-40001: not with" in status["qubes"][0]["cone"]
            whole = json.loads(await world.call("Status+forward", "dom0"))
            assert [each["name"] for each in whole["qubes"] if each["cone"]] == ["work"]
            await world.call("Set", "work", payload="action=accept")
            await until(lambda: opened(world) == PORTS)
            status = json.loads(await world.call("Status+forward", "work"))
            assert status["qubes"][0]["cone"] == ""

        with_policy(tmp_path, test, **CONE)

    def test_are_what_a_program_gets_that_asks_and_outlive_it(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await until(lambda: opened(world) == PORTS)
            gateway.send(wish(40000))
            told = await gateway.wait_for(lambda each: isinstance(each, GrantedMap))
            assert (told.inner, told.outer) == (40000, 40000)  # type: ignore[union-attr]
            gateway.send(unmap(40000), wish(40001, outer=1234))
            told = await gateway.wait_for(lambda each: isinstance(each, GrantedMap))
            assert (told.inner, told.outer) == (40001, 40001)  # type: ignore[union-attr]
            assert opened(world) == PORTS

        with_policy(tmp_path, test, **CONE)

    def test_agree_to_nothing_else(self, tmp_path: Path) -> None:
        """TCP of the same number is asked about as ever."""

        async def test(world: World, gateway: GatewayEnd) -> None:
            await until(lambda: opened(world) == PORTS)
            gateway.send(wish(40000, Proto.TCP))
            assert await gateway.has_silence()

        with_policy(tmp_path, test, **CONE)

    def test_that_was_closed_stays_closed_in_the_next_run_too(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await until(lambda: opened(world) == PORTS)
            (rule, _) = [each["rule"] for each in await world.forwards("work")]
            await world.call("Remove+forward", "work", payload=rule)
            await until(lambda: opened(world) == PORTS[1:])
            await world.stop_daemon()
            await world.start_daemon()
            assert opened(world) == PORTS[1:]

        with_policy(tmp_path, test, **CONE)

    @pytest.mark.parametrize("cone", ["40000-40064", "500-510", "x"])
    def test_that_are_too_large_or_not_allowed_turn_all_off(
        self, tmp_path: Path, cone: str
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await until(lambda: opened(world) == PORTS)
            world.features["work"]["portmap-cone"] = cone
            world.tell("work", "domain-feature-set:portmap-cone")
            await until(lambda: opened(world) == [])

        with_policy(tmp_path, test, **CONE)
