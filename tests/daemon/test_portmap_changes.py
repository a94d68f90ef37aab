# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of mappings, and of denials, when something else changes."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

from qubesforward.daemon.router_memory import LIFETIME
from qubesforward.model.rule import Proto
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.mapping_wire import (
    Client,
    Denial,
    Denied,
    Gone,
    GrantedMap,
    Held,
    Open,
    Opened,
    Outside,
    Watch,
)
from tests.daemon.gateway_end import WORK, GatewayEnd, unmap, wish, with_policy
from tests.daemon.test_portmap import _count, granted, requests
from tests.daemon.world import World, until

EDGE = ip_address("203.0.113.1")


def set_feature(world: World, name: str, value: str) -> None:
    world.features["work"][name] = value
    world.tell("work", f"domain-feature-set:{name}")


class TestPolicy:
    def test_a_port_outside_of_the_new_range_is_closed(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(5000), wish(6000))
            await until(lambda: len(world.entries("sys-net")) == 2)
            set_feature(world, "portmap-ports", "6000-6999")
            await gateway.wait(Gone(WORK, Proto.UDP, 5000))
            await until(lambda: len(world.entries("sys-net")) == 1)
            assert "ports=6000-6000" in str(world.entries("sys-net"))

        with_policy(tmp_path, test)

    def test_a_shorter_lifetime_holds_at_once(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(lifetime=3600))
            await gateway.wait(granted())
            set_feature(world, "portmap-lifetime", "60")
            await gateway.wait(granted(lifetime=60))
            set_feature(world, "portmap-lifetime", "1")
            await until(lambda: not world.entries("sys-net"))

        with_policy(tmp_path, test)

    def test_of_too_many_the_youngest_are_closed(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(5000), wish(5001), wish(5002))
            await until(lambda: len(world.entries("sys-net")) == 3)
            set_feature(world, "portmap-mappings", "1")
            await until(lambda: len(world.entries("sys-net")) == 1)
            assert "ports=5000-5000" in str(world.entries("sys-net"))

        with_policy(tmp_path, test)

    def test_what_shall_not_reach_the_internet_any_more_is_withdrawn(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net") as outer:
                gateway.send(wish())
                await outer.wait(Open(Proto.UDP, 5000, LIFETIME))
                before = set(world.entries("sys-net"))
                set_feature(world, "portmap-reach", "lan")
                await outer.wait_for(lambda each: type(each).__name__ == "Close")
                # In the LAN nothing was cut.
                assert set(world.entries("sys-net")) == before

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_what_was_denied_may_be_asked_again_by_another_policy(
        self, tmp_path: Path
    ) -> None:
        """A gateway keeps denials, and denied for an hour what was allowed by then."""

        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            (request,) = await requests(world)
            await world.call("Deny+forward", "dom0", request["id"])
            await gateway.wait_for(lambda each: isinstance(each, Denied))
            set_feature(world, "portmap", "allow")
            await gateway.wait(Gone(WORK, Proto.UDP, 5000))
            gateway.send(wish())
            await gateway.wait(granted())

        with_policy(tmp_path, test, portmap="ask")


async def close_unheard(world: World, gateway: GatewayEnd) -> None:
    """Have the user close a mapping whose gateway is not there to hear it."""
    gateway.send(wish())
    await gateway.wait(granted())
    await until(lambda: len(world.entries("sys-net")) == 1)
    (forward,) = await world.forwards("work")
    await gateway.hang_up()
    await world.call("Remove+forward", "work", forward["rule"])


class TestClosedUnheard:
    """What was closed while its gateway was not there is not opened by its return."""

    def test_by_the_user(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await close_unheard(world, gateway)
            async with GatewayEnd(world) as again:
                await again.wait_for(lambda each: isinstance(each, Client))
                again.send(wish(again=True))
                await again.wait(Gone(WORK, Proto.UDP, 5000))
                assert await world.forwards("work") == []
                # The program itself may ask, by this policy.
                again.send(wish())
                await again.wait(granted())

        with_policy(tmp_path, test)

    def test_and_dom0s_daemon_was_restarted(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            await close_unheard(world, gateway)
            await world.stop_daemon()
            await world.start_daemon()
            async with GatewayEnd(world) as again:
                await again.wait_for(lambda each: isinstance(each, Client))
                again.send(wish(again=True))
                await again.wait(Gone(WORK, Proto.UDP, 5000))

        with_policy(tmp_path, test)

    def test_what_dom0_never_knew_is_granted(self, tmp_path: Path) -> None:
        """It was lost with the daemon, in the second before it was written down."""

        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(again=True))
            await gateway.wait(granted())

        with_policy(tmp_path, test)


class TestOthers:
    def test_what_a_hop_refuses_is_not_the_programs(self, tmp_path: Path) -> None:
        """It was told to have a port that was not open."""

        async def test(world: World, gateway: GatewayEnd) -> None:
            world.refusing["sys-net"] = "would bypass tunnel tun0"
            gateway.send(wish())
            await gateway.wait(Gone(WORK, Proto.UDP, 5000))
            await until(lambda: not world.entries("sys-net"))

        with_policy(tmp_path, test)

    def test_a_qube_elsewhere_with_the_same_address_has_nothing_of_it(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await gateway.wait(granted())
            world.qubes["twin"] = {"ip": str(WORK), "netvm": "sys-net"}
            world.features["twin"] = {"portmap": "allow", "portmap-reach": "lan"}
            await world.boot("twin")
            world.tell("twin", "domain-start")
            async with GatewayEnd(world, "sys-net") as other:
                found = await other.wait_for(lambda each: isinstance(each, Client))
                assert isinstance(found, Client)
                assert found.address == WORK
                assert not [each for each in other.heard if isinstance(each, Held)]
                other.send(unmap(), wish())
                await other.wait(Denied(WORK, Proto.UDP, 5000, Denial.DENIED, 30))
            assert len(await world.forwards("work")) == 1

        with_policy(tmp_path, test)

    def test_repeating_a_question_tells_listeners_nothing(self, tmp_path: Path) -> None:
        """Repetitions had a listener dropped as too slow."""

        async def test(world: World, gateway: GatewayEnd) -> None:
            events: list[str] = []

            socket = str(world.root / "forwardd.sock")

            async def listen() -> None:
                async for event in AsyncAdminClient(socket, socket).events():
                    events.append(event.name)

            task = asyncio.create_task(listen())
            await asyncio.sleep(0.05)
            gateway.send(wish())
            await until(lambda: "portmap-requested" in events)
            gateway.send(*[wish()] * 2000)
            gateway.send(wish(proto=Proto.TCP))
            await until(lambda: events.count("portmap-requested") > 1)
            assert events.count("portmap-requested") == 2
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        with_policy(tmp_path, test, portmap="ask")


class TestRouter:
    def test_its_address_is_known_before_anything_is_open(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net") as outer:
                await outer.wait(Watch(True))
                outer.send(Outside(EDGE))
                await gateway.wait(Client(WORK, 128, EDGE))
                outer.send(Outside())
                await gateway.wait_for(
                    lambda each: isinstance(each, Client) and each.outside != EDGE
                )
                set_feature(world, "portmap-reach", "lan")
                await outer.wait(Watch())

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_renewals_are_answered_while_it_says_nothing(self, tmp_path: Path) -> None:
        """They were not: the first answer counted as one to each renewal."""

        async def test(world: World, gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net") as outer:
                gateway.send(wish())
                await outer.wait(Open(Proto.UDP, 5000, LIFETIME))
                # After a second, which is rounded either way.
                await gateway.wait_for(lambda each: isinstance(each, GrantedMap))
                for _ in range(2):
                    gateway.send(wish())
                    await gateway.wait(granted())

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_who_says_something_else_all_the_time_floods_nobody(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net") as outer:
                gateway.send(wish())
                await outer.wait(Open(Proto.UDP, 5000, LIFETIME))
                gateway.heard.clear()
                edges = [ip_address(f"203.0.113.{n % 250}") for n in range(4000)]
                outer.send(*(Opened(Proto.UDP, 5000, 7, 60, edge) for edge in edges))
                outer.send(Opened(Proto.UDP, 5000, 7000, 60, EDGE))
                await gateway.wait_for(
                    lambda each: isinstance(each, GrantedMap) and each.outer == 7000
                )
                gateway.send(wish(5001))
                await gateway.wait_for(lambda each: getattr(each, "inner", 0) == 5001)
                outer.send(Opened(Proto.UDP, 5000, 7, 60, ip_address("2001:db8::1")))
                assert await gateway.has_silence()

        with_policy(tmp_path, test, portmap_reach="internet")
