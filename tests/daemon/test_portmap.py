# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs ask for by a gateway, and what becomes of it in dom0."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from qubesforward.daemon.hop import GATEWAY
from qubesforward.daemon.router_memory import LIFETIME
from qubesforward.errors import AdminError
from qubesforward.model.rule import Proto
from qubesforward.qubes.mapping_wire import (
    Client,
    Close,
    Closed,
    Denial,
    Denied,
    Failed,
    Failure,
    Gone,
    GrantedMap,
    Held,
    NoClient,
    Open,
    Opened,
)
from tests.daemon.gateway_end import WORK, GatewayEnd, unmap, wish, with_policy
from tests.daemon.world import World, until

USER = "forwardtype=external"


def granted(
    inner: int = 5000, outer: int | None = None, lifetime: int = 3600
) -> GrantedMap:
    port = inner if outer is None else outer
    return GrantedMap(WORK, Proto.UDP, inner, port, lifetime)


def denied(inner: int, reason: Denial, retry: int) -> Denied:
    return Denied(WORK, Proto.UDP, inner, reason, retry)


async def requests(world: World, dest: str = "dom0") -> list[dict[str, Any]]:
    found = json.loads(await world.call("Requests+forward", dest))["requests"]
    assert isinstance(found, list)
    return found


async def entries_of(world: World, name: str) -> list[str]:
    return sorted(world.entries(name).values())


class TestAllowed:
    def test_a_port_is_granted_published_in_both_directions_and_let_go(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(outer=6000))
            await gateway.wait(granted(outer=6000))
            await until(lambda: len(world.entries("sys-net")) == 1)
            (entry,) = world.entries("sys-net").values()
            assert entry.startswith(
                "in=external proto=udp ports=6000-6000 src=0.0.0.0/0 to=10.137.0.6"
                " toports=6000-6000 until="
            )
            assert entry.endswith(" mapped=yes")
            inner = [e for e in world.entries("sys-firewall").values() if "up" in e]
            assert "to=10.137.0.20 toports=5000-5000" in inner[0]
            (forward,) = await world.forwards("work")
            assert (forward["origin"], forward["state"]) == ("portmap", "active")
            assert forward["via"] == ["natpmp"]
            gateway.send(unmap())
            await until(lambda: not world.entries("sys-net"))
            assert await world.forwards("work") == []

        with_policy(tmp_path, test)

    def test_renewing_extends_and_never_asks_again(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(lifetime=60))
            await gateway.wait(granted(lifetime=60))
            await until(lambda: bool(world.entries("sys-net")))
            before = set(world.entries("sys-net"))
            gateway.send(wish(lifetime=600))
            await gateway.wait(granted(lifetime=600))
            # The same entry with another end: nothing was cut.
            old = await entries_of(world, "sys-net")
            await until(lambda: list(world.entries("sys-net").values()) != old)
            assert set(world.entries("sys-net")) == before

        with_policy(tmp_path, test)

    def test_lifetime_and_ports_are_as_the_policy_has_them(
        self, tmp_path: Path
    ) -> None:
        async def test(_world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(lifetime=10**6, outer=80))
            found = await gateway.wait_for(lambda each: isinstance(each, GrantedMap))
            assert isinstance(found, GrantedMap)
            assert found.lifetime == 300
            assert 7000 <= found.outer <= 7002
            gateway.send(wish(inner=5001, outer=80, exact=True))
            await gateway.wait(denied(5001, Denial.CONFLICT, 30))

        with_policy(tmp_path, test, portmap_lifetime="300", portmap_ports="7000-7002")

    def test_no_more_than_the_quota(self, tmp_path: Path) -> None:
        async def test(_world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(1025), wish(1026), wish(1027))
            await gateway.wait(denied(1027, Denial.QUOTA, 30))
            gateway.send(unmap(1025), wish(1027))
            await gateway.wait(granted(1027))

        with_policy(tmp_path, test, portmap_mappings="2")

    def test_two_programs_never_get_one_outer_port(self, tmp_path: Path) -> None:
        async def test(_world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(5000, outer=6000), wish(5001, outer=6000))
            gateway.send(wish(5002, outer=6000, exact=True))
            await gateway.wait(granted(5000, 6000))
            await gateway.wait(granted(5001, 5001))
            await gateway.wait(denied(5002, Denial.CONFLICT, 30))

        with_policy(tmp_path, test)

    def test_sources_are_enforced_by_every_hop(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            sources = ("192.0.2.0/24", "198.51.100.7/32")
            gateway.send(wish(src=tuple(map(ip_network, sources))))
            await gateway.wait(granted())
            await until(lambda: len(world.entries("sys-net")) == 2)
            found = " ".join(world.entries("sys-net").values())
            assert all(f"src={source}" in found for source in sources)

        with_policy(tmp_path, test)


class TestWhoMayAsk:
    def test_off_is_off_and_an_address_of_another_is_nobodys(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            for client in ("10.137.0.21", "10.137.0.6", "192.0.2.1", "fd00::20"):
                asked = wish(client=ip_address(client))
                gateway.send(asked)
                await gateway.wait(
                    Denied(asked.client, Proto.UDP, 5000, Denial.DENIED, 30)
                )
            assert world.entries("sys-net") == {}

        with_policy(tmp_path, test)

    def test_a_gateway_speaks_for_its_own_clients_only(self, tmp_path: Path) -> None:
        async def test(world: World, _gateway: GatewayEnd) -> None:
            for source in ("sys-net", "personal", "work", "no-such"):
                async with GatewayEnd(world, source) as other:
                    other.send(wish(5001))
                    await other.wait(denied(5001, Denial.DENIED, 30))
            assert world.entries("sys-net") == {}

        with_policy(tmp_path, test)

    def test_lies_about_routers_of_others_change_nothing(self, tmp_path: Path) -> None:
        async def test(_world: World, gateway: GatewayEnd) -> None:
            edge = ip_address("203.0.113.1")
            gateway.send(Opened(Proto.UDP, 5000, 1, 60, edge), wish())
            await gateway.wait(granted())

        with_policy(tmp_path, test)

    @pytest.mark.parametrize(
        "line",
        [b"\n", b"map\n", b"x" * 5000 + b"\n", b"\xff\n", b"granted client=1\n"],
    )
    def test_what_is_no_line_ends_that_connection_alone(
        self, tmp_path: Path, line: bytes
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net") as other:
                other.send_raw(line)
                await until(lambda: other.is_over)
            gateway.send(wish())
            await gateway.wait(granted())

        with_policy(tmp_path, test)

    def test_who_calls_is_what_qrexec_says(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            for source in ("../x", "", "x" * 400):
                await _is_let_go(world, source)
            gateway.send(wish())
            await gateway.wait(granted())

        with_policy(tmp_path, test)


async def _is_let_go(world: World, source: str) -> None:
    async with GatewayEnd(world, source) as other:
        await until(lambda: other.is_over)


class TestAsking:
    def test_everything_for_one_port_is_one_question(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            pcp = "pcp:" + "0a" * 12
            gateway.send(wish(holder=pcp, name="seeder"), wish(proto=Proto.TCP))
            gateway.send(wish(holder="igd", exact=True))
            await until(lambda: _count(world, 1))
            assert await gateway.has_silence()
            (request,) = await requests(world)
            assert request["qube"] == "work"
            assert request["protos"] == {"udp": 5000, "tcp": 5000}
            assert request["via"] == ["igd", "natpmp", "pcp"]
            assert request["name"] == "seeder"
            await world.call("Grant+forward", "dom0", request["id"])
            await gateway.wait_for(lambda each: each == granted())
            gateway.send(wish(5000, Proto.TCP))
            await gateway.wait(GrantedMap(WORK, Proto.TCP, 5000, 5000, 3600))
            assert await requests(world) == []

        with_policy(tmp_path, test, portmap="ask")

    def test_nothing_opens_before_the_answer_nor_after_a_no(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            assert world.entries("sys-net") == {}
            (request,) = await requests(world)
            await world.call("Deny+forward", "work", request["id"])
            found = await gateway.wait_for(lambda each: isinstance(each, Denied))
            assert isinstance(found, Denied)
            assert found.retry >= 30
            # And it is not asked again for a while, for no port.
            gateway.send(wish(5001))
            await gateway.wait_for(lambda each: isinstance(each, Denied))
            assert await requests(world) == []
            assert world.entries("sys-net") == {}

        with_policy(tmp_path, test, portmap="ask")

    def test_until_reboot_and_always(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            for scope, inner in (("reboot", 5000), ("always", 6000)):
                gateway.send(wish(inner))
                if scope == "reboot":
                    await until(lambda: _count(world, 1))
                    (request,) = await requests(world)
                    await world.call("Grant+forward", "dom0", f"{request['id']} reboot")
                await gateway.wait(granted(inner))
            # It survives the daemon, and no more.
            await world.stop_daemon()
            await world.start_daemon()
            async with GatewayEnd(world) as again:
                await again.wait_for(lambda each: isinstance(each, Client))
                again.send(wish(7000))
                await again.wait(granted(7000))
            assert world.features["work"]["portmap"] == "ask"

        with_policy(tmp_path, test, portmap="ask")

    def test_for_good_becomes_a_feature(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            (request,) = await requests(world)
            await world.call("Grant+forward", "dom0", f"{request['id']} always")
            assert world.features["work"]["portmap"] == "allow"
            await gateway.wait(granted())

        with_policy(tmp_path, test, portmap="ask")

    def test_never_turns_it_off_and_closes_all(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            (request,) = await requests(world)
            await world.call("Grant+forward", "dom0", request["id"])
            await until(lambda: bool(world.entries("sys-net")))
            gateway.send(wish(5001))
            await until(lambda: _count(world, 1))
            (request,) = await requests(world)
            await world.call("Deny+forward", "dom0", f"{request['id']} never")
            assert world.features["work"]["portmap"] == ""
            await gateway.wait(NoClient(WORK))
            await until(lambda: not world.entries("sys-net"))

        with_policy(tmp_path, test, portmap="ask")

    def test_a_flood_asks_three_questions_of_one_qube(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(*(wish(port) for port in range(2000, 3000)))
            await gateway.wait_for(lambda each: each.inner == 2999)
            assert len(await requests(world)) == 3
            await world.add("personal", f"{USER} proto=tcp srcports=443")

        with_policy(tmp_path, test, portmap="ask")

    def test_a_question_ends_with_who_asked(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            gateway.send(unmap())
            await until(lambda: _count(world, 0))
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            world.features["work"].clear()
            world.tell("work", "domain-feature-delete:portmap")
            await until(lambda: _count(world, 0))

        with_policy(tmp_path, test, portmap="ask")

    def test_who_may_answer_for_one_qube_may_not_for_another(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            (request,) = await requests(world)
            for name in ("Grant+forward", "Deny+forward"):
                with pytest.raises(AdminError, match="no open request"):
                    await world.call(name, "personal", request["id"])
            with pytest.raises(AdminError, match="give one of"):
                await world.call("Grant+forward", "work", f"{request['id']} forever")
            assert await requests(world, "personal") == []
            assert len(await requests(world, "work")) == 1

        with_policy(tmp_path, test, portmap="ask")


async def _count(world: World, number: int) -> bool:
    return len(await requests(world)) == number


class TestLife:
    def test_the_user_s_forward_takes_the_port(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await gateway.wait(granted())
            await until(lambda: bool(world.entries("sys-net")))
            await world.add("personal", f"{USER} proto=udp srcports=5000")
            await gateway.wait(Gone(WORK, Proto.UDP, 5000))
            await until(lambda: _leads_to(world, "10.137.0.21"))
            assert await world.states("personal") == ["active"]
            gateway.send(wish())
            found = await gateway.wait_for(lambda each: isinstance(each, GrantedMap))
            assert isinstance(found, GrantedMap)
            assert found.outer != 5000

        with_policy(tmp_path, test)

    @pytest.mark.parametrize(
        "change",
        [{"netvm": "sys-net"}, {"xid": "7"}, {"ip": "10.137.0.99"}, {"netvm": ""}],
    )
    def test_it_ends_with_the_path_it_was_made_for(
        self, tmp_path: Path, change: dict[str, str]
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: bool(world.entries("sys-net")))
            world.qubes["work"] |= change
            world.tell("work", "property-set:netvm")
            await gateway.wait(Gone(WORK, Proto.UDP, 5000))
            # Where work is now may be served, but leads nowhere.
            await until(lambda: " to=" not in str(world.entries("sys-net")))
            assert await world.forwards("work") == []

        with_policy(tmp_path, test)

    def test_a_daemon_that_was_killed_knows_what_it_granted(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(outer=6000))
            await gateway.wait(granted(outer=6000))
            await until(lambda: bool(world.entries("sys-net")))
            before = world.entries("sys-net")
            await world.stop_daemon()
            await world.start_daemon()
            async with GatewayEnd(world) as again:
                await again.wait_for(lambda each: isinstance(each, Client))
                held = await again.wait_for(lambda each: isinstance(each, Held))
                assert isinstance(held, Held)
                assert (held.inner, held.outer) == (5000, 6000)
                assert held.holder == ("natpmp",)
                again.send(wish())
                await again.wait(granted(outer=6000))
            assert set(world.entries("sys-net")) == set(before)

        with_policy(tmp_path, test)

    def test_another_boot_forgets_and_so_does_a_broken_file(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            file = tmp_path / "run/mappings.json"
            for old, new in (('"boot":"', '"boot":"x'), ("{", "")):
                gateway.send(wish())
                await until(lambda: bool(world.entries("sys-net")))
                await world.stop_daemon()
                file.write_text(file.read_text().replace(old, new, 1))
                await world.start_daemon()
                await until(lambda: not world.entries("sys-net"))
                async with GatewayEnd(world) as gateway:
                    await gateway.wait_for(lambda each: isinstance(each, Client))
                    gateway.send(wish())
                    await until(lambda: bool(world.entries("sys-net")))
                    gateway.send(unmap())
                    await until(lambda: not world.entries("sys-net"))
                break

        with_policy(tmp_path, test)

    def test_what_the_user_closes_is_not_asked_for_again(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            (request,) = await requests(world)
            await world.call("Grant+forward", "dom0", request["id"])
            await until(lambda: bool(world.entries("sys-net")))
            (forward,) = await world.forwards("work")
            await world.call("Remove+forward", "work", forward["rule"])
            await gateway.wait(Gone(WORK, Proto.UDP, 5000))
            await until(lambda: not world.entries("sys-net"))
            gateway.send(wish())
            await gateway.wait_for(lambda each: isinstance(each, Denied))

        with_policy(tmp_path, test, portmap="ask")

    def test_who_closed_it_is_logged(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: bool(world.entries("sys-net")))
            (forward,) = await world.forwards("work")
            await world.call("Remove+forward", "work", forward["rule"])
            lines = (tmp_path / "qubes-forward.log").read_text().splitlines()
            events = [json.loads(line) for line in lines]
            removed = [each for each in events if each["event"] == "removed"]
            assert [(e["origin"], e["by"]) for e in removed] == [("portmap", "dom0")]

        with_policy(tmp_path, test)

    def test_switching_it_off_ends_trust_until_reboot(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            (request,) = await requests(world)
            assert request["reach"] == "lan"
            await world.call("Grant+forward", "dom0", f"{request['id']} reboot")
            await gateway.wait(granted())
            policy = dict(world.features["work"])
            world.features["work"]["portmap"] = ""
            world.tell("work", "domain-feature-set:portmap")
            await gateway.wait(NoClient(WORK))
            world.features["work"] |= policy
            world.tell("work", "domain-feature-set:portmap")
            await gateway.wait_for(lambda each: isinstance(each, Client))
            gateway.send(wish(5001))
            await until(lambda: _count(world, 1))

        with_policy(tmp_path, test, portmap="ask")

    def test_it_ends_in_time(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish(lifetime=1))
            await until(lambda: bool(world.entries("sys-net")))
            await gateway.wait(Gone(WORK, Proto.UDP, 5000))
            await until(lambda: not world.entries("sys-net"))

        with_policy(tmp_path, test)

    def test_without_a_log_nothing_is_granted(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            log = tmp_path / "qubes-forward.log"
            log.unlink()
            log.mkdir()
            gateway.send(wish())
            await gateway.wait(Gone(WORK, Proto.UDP, 5000))
            await asyncio.sleep(0.1)
            assert world.entries("sys-net") == {}

        with_policy(tmp_path, test)

    def test_all_of_it_is_in_the_log(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await until(lambda: _count(world, 1))
            (request,) = await requests(world)
            await world.call("Grant+forward", "dom0", request["id"])
            await gateway.wait(granted())
            await until(lambda: _has_opened(tmp_path))
            lines = (tmp_path / "qubes-forward.log").read_text().splitlines()
            events = [json.loads(line) for line in lines]
            mine = [e for e in events if e.get("origin") == "portmap"]
            kinds = [event["event"] for event in mine]
            assert kinds == ["requested", "granted", "granted", "opened"]
            assert mine[1]["by"] == "dom0"
            assert mine[1]["reason"] == "port 5000/udp: once"
            assert mine[2]["by"] == "sys-firewall"

        with_policy(tmp_path, test, portmap="ask")


def _has_opened(root: Path) -> bool:
    return '"opened"' in (root / "qubes-forward.log").read_text()


def _leads_to(world: World, address: str) -> bool:
    return any(
        f"to={address} " in entry for entry in world.entries("sys-firewall").values()
    )


class TestRouter:
    """Policies that reach the internet: the outermost hop's gateway asks its router."""

    EDGE = ip_address("203.0.113.1")

    def test_its_gateway_is_called_before_a_program_asks(self, tmp_path: Path) -> None:
        """The first program was told of the LAN: nobody was there to ask the router."""

        async def test(world: World, _gateway: GatewayEnd) -> None:
            await until(lambda: GATEWAY in world.store("sys-net"))

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_no_router_is_asked_where_the_lan_is_enough(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            await gateway.wait(granted())
            assert GATEWAY not in world.store("sys-net")

        with_policy(tmp_path, test)

    def test_the_answer_carries_what_the_router_says(self, tmp_path: Path) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net") as outer:
                gateway.send(wish())
                await outer.wait(Open(Proto.UDP, 5000, LIFETIME))
                outer.send(Opened(Proto.UDP, 5000, 7777, 7200, self.EDGE))
                await gateway.wait(Client(WORK, 128, self.EDGE))
                await gateway.wait(granted(outer=7777))
                (forward,) = await world.forwards("work")
                assert forward["extent"] == "internet"
                assert forward["edge"] == "203.0.113.1:7777"
                gateway.send(unmap())
                await outer.wait_for(lambda each: type(each).__name__ == "Close")

        with_policy(tmp_path, test, portmap_reach="internet")

    @pytest.mark.parametrize(
        ("said", "extent"),
        [
            (Failed(Proto.UDP, 5000, Failure.REFUSED), "refused"),
            (Failed(Proto.UDP, 5000, Failure.SILENT), "silent"),
            (
                Opened(Proto.UDP, 5000, 5000, 60, ip_address("100.64.0.9")),
                "carrier",
            ),
        ],
    )
    def test_how_far_it_reaches_is_told(
        self, tmp_path: Path, said: Opened | Failed, extent: str
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net") as outer:
                gateway.send(wish())
                await outer.wait(Open(Proto.UDP, 5000, LIFETIME))
                outer.send(said)
                # A second may have begun meanwhile, so for one less than asked for.
                await gateway.wait_for(lambda each: isinstance(each, GrantedMap))
                (forward,) = await world.forwards("work")
                assert forward["extent"] == extent

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_a_silent_gateway_outside_is_waited_for_a_moment(
        self, tmp_path: Path
    ) -> None:
        async def test(world: World, gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net"):
                gateway.send(wish())
                told = await gateway.wait_for(lambda each: isinstance(each, GrantedMap))
                assert isinstance(told, GrantedMap)
                assert told.outer == 5000

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_a_gateway_outside_that_is_on_its_way_is_waited_for(
        self, tmp_path: Path
    ) -> None:
        """Who asked first was told of the LAN's port, and the router gave another."""

        async def test(world: World, gateway: GatewayEnd) -> None:
            gateway.send(wish())
            async with GatewayEnd(world, "sys-net") as outer:
                await outer.wait(Open(Proto.UDP, 5000, LIFETIME))
                outer.send(Opened(Proto.UDP, 5000, 7777, 7200, self.EDGE))
                first = await gateway.wait_for(
                    lambda each: isinstance(each, GrantedMap)
                )
                assert first == granted(outer=7777)

        with_policy(tmp_path, test, portmap_reach="internet")

    def test_the_user_s_own_forward_too(self, tmp_path: Path) -> None:
        async def test(world: World, _gateway: GatewayEnd) -> None:
            async with GatewayEnd(world, "sys-net") as outer:
                await world.add("work", f"{USER} proto=tcp srcports=443 reach=internet")
                await outer.wait(Open(Proto.TCP, 443, LIFETIME))
                assert world.store("sys-net")["/qubes-forward-gateway"] == b"1"
                outer.send(Opened(Proto.TCP, 443, 443, 7200, self.EDGE))
                await until(lambda: _extent_is(world, "internet"))
                await world.call("Set+forward", "work", "")
                await outer.wait(Close(Proto.TCP, 443, 443))
                outer.send(Closed(Proto.TCP, 443))
                await until(
                    lambda: "/qubes-forward-gateway" not in world.store("sys-net")
                )

        with_policy(tmp_path, test)


async def _extent_is(world: World, extent: str) -> bool:
    return [each["extent"] for each in await world.forwards("work")] == [extent]
