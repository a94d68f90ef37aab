# SPDX-License-Identifier: GPL-2.0-or-later
"""What a router has open is withdrawn, whoever was dead when it was not wanted more."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from qubesforward.daemon.hop import GATEWAY
from qubesforward.daemon.router_memory import LIFETIME, MOST_LEFT, RouterMemory
from qubesforward.model.rule import Proto
from qubesforward.qubes.mapping_wire import Close, Closed, FromDom0, Open, Opened, Seed
from tests.daemon.gateway_end import GatewayEnd, wish, with_policy
from tests.daemon.test_portmap_changes import set_feature
from tests.daemon.world import World, until

EDGE = ip_address("203.0.113.1")
UDP, TCP = Proto.UDP, Proto.TCP
ASKED = Open(UDP, 5000, LIFETIME)
SAID = Opened(UDP, 5000, 7777, LIFETIME, EDGE)


class Memory(RouterMemory):
    """One with a clock that tests turn."""

    def __init__(self, directory: Path, boot_id: str = "boot") -> None:
        self.time = 1000.0
        super().__init__(directory / "routers.json", boot_id, lambda: self.time)


def opened_by(memory: Memory) -> Memory:
    memory.note_asked("sys-net", [(UDP, 5000)])
    memory.note_opened("sys-net", SAID)
    memory.save()
    return memory


class TestMemory:
    def test_is_there_for_the_next_run(self, tmp_path: Path) -> None:
        opened_by(Memory(tmp_path))
        second = Memory(tmp_path)
        second.load()
        assert second.list_asked("sys-net") == [((UDP, 5000), 7777)]

    def test_ends_with_the_boot(self, tmp_path: Path) -> None:
        opened_by(Memory(tmp_path))
        second = Memory(tmp_path, "another")
        second.load()
        assert not second.hops

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            '{"boot":"boot"}',
            '{"boot":"boot","asked":[]}',
            '{"boot":"boot","asked":{"sys-net":[["udp",5000,1]]}}',
            '{"boot":"boot","asked":{"sys-net":[["icmp",5000,1,1]]}}',
            '{"boot":"boot","asked":{"sys-net":[["udp",0,1,1]]}}',
            '{"boot":"boot","asked":{"sys-net":7}}',
        ],
    )
    def test_of_a_file_that_is_none_is_empty(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "routers.json").write_text(text)
        memory = Memory(tmp_path)
        memory.load()
        assert not memory.hops

    def test_keeps_what_is_wanted(self, tmp_path: Path) -> None:
        memory = opened_by(Memory(tmp_path))
        memory.time += 2 * LIFETIME
        memory.drop_over("sys-net", [(UDP, 5000)], has_gateway=True)
        assert memory.list_asked("sys-net")

    def test_forgets_what_has_ended_once_somebody_could_withdraw_it(
        self, tmp_path: Path
    ) -> None:
        memory = opened_by(Memory(tmp_path))
        memory.time += LIFETIME + 1
        memory.drop_over("sys-net", [], has_gateway=False)
        assert memory.list_asked("sys-net")
        memory.drop_over("sys-net", [], has_gateway=True)
        assert not memory.hops

    def test_keeps_a_lease_without_end(self, tmp_path: Path) -> None:
        memory = opened_by(Memory(tmp_path))
        memory.note_opened("sys-net", Opened(UDP, 5000, 7777, 2**32 - 1, EDGE))
        memory.time += 10 * LIFETIME
        memory.drop_over("sys-net", [], has_gateway=True)
        assert memory.list_asked("sys-net")

    def test_is_bounded(self, tmp_path: Path) -> None:
        memory = Memory(tmp_path)
        memory.note_asked("sys-net", [(TCP, port) for port in range(1, 5000)])
        memory.drop_over("sys-net", [(TCP, 1)], has_gateway=False)
        kept = [port for (_, port), _ in memory.list_asked("sys-net")]
        assert kept == [1, *range(5000 - MOST_LEFT, 5000)]


async def open_at_router(world: World, gateway: GatewayEnd, *before: Closed) -> None:
    """Have the router open something; then the outer gateway is gone."""
    async with GatewayEnd(world, "sys-net") as outer:
        gateway.send(wish())
        await outer.wait(ASKED)
        outer.send(*before, SAID)
        await gateway.wait_for(lambda each: getattr(each, "outer", 0) == 7777)


def is_close(message: FromDom0) -> bool:
    return isinstance(message, Close)


class TestDaemon:
    def test_a_gateway_that_was_dead_is_told(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await open_at_router(world, gateway)
            set_feature(world, "portmap", "")
            await until(lambda: not world.entries("sys-net"))
            # It is wanted for that only.
            assert GATEWAY in world.store("sys-net")
            async with GatewayEnd(world, "sys-net") as outer:
                await outer.wait(Close(UDP, 5000, 7777))
                outer.send(Closed(UDP, 5000))
                await until(lambda: GATEWAY not in world.store("sys-net"))
            async with GatewayEnd(world, "sys-net") as outer:
                await outer.wait_for(lambda each: isinstance(each, Seed))
                assert await outer.has_silence()

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_though_dom0s_daemon_was_dead_too(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await open_at_router(world, gateway)
            await world.stop_daemon()
            del world.features["work"]
            await world.start_daemon()
            async with GatewayEnd(world, "sys-net") as outer:
                await outer.wait(Close(UDP, 5000, 7777))

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_a_daemon_that_has_planned_nothing_yet_closes_nothing(
        self, tmp_path: Path
    ) -> None:
        """What was wanted all the time would have been closed, and opened again."""

        async def test(world: World, gateway: GatewayEnd) -> None:
            await open_at_router(world, gateway)
            await world.stop_daemon()
            await world.start_daemon()
            async with GatewayEnd(world, "sys-net") as outer:
                await outer.wait_for(lambda each: each == ASKED or is_close(each))
                assert not any(is_close(each) for each in outer.heard)

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_a_gateway_that_says_closed_all_the_time_costs_nothing(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net") as outer:
                gateway.send(wish())
                await outer.wait(ASKED)
                passes = world.daemon._reconciler._asked
                outer.send(*[Closed(TCP, port) for port in range(1, 500)])
                outer.send(SAID)
                await gateway.wait_for(lambda each: getattr(each, "outer", 0) == 7777)
                assert world.daemon._reconciler._asked - passes < 50

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_wanted_again_is_not_forgotten_by_a_late_word(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await open_at_router(world, gateway, Closed(UDP, 5000))
            set_feature(world, "portmap", "")
            async with GatewayEnd(world, "sys-net") as outer:
                await outer.wait(Close(UDP, 5000, 7777))

        with_policy(tmp_path, test, portmap_reach="internet")
