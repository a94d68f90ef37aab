# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom the gateway serves, where, and what it does when dom0 is lost."""

from __future__ import annotations

from qubesforward.model.hosts import parse_address
from qubesforward.model.rule import Proto
from qubesforward.qubes.mapping_wire import (
    Client,
    GrantedMap,
    Map,
    NoClient,
)
from tests.gateway.gateway_world import (
    ONE,
    ROUTER,
    TWO,
    GatewayWorld,
)
from tests.portmap.server_world import pcp_map

UDP = Proto.UDP


def granted(inner: int, client: str = ONE) -> GrantedMap:
    return GrantedMap(parse_address(client), UDP, inner, inner, 600)


def forget(world: GatewayWorld, *clients: str) -> None:
    for client in clients:
        world.call.say(NoClient(parse_address(client)))
        world.wait_refused(client)


def test_nobody_listens_where_nobody_is_served(world: GatewayWorld) -> None:
    for client in (ONE, TWO):
        assert world.ask(client, b"\0\0") == "refused"
        assert world.ask(client, b"\0\0", port=1900) == "refused"


def test_only_who_is_named_is_served(world: GatewayWorld) -> None:
    world.serve(ONE)
    assert world.ask(TWO, b"\0\0") == "refused"
    forget(world, ONE)


def test_a_wish_is_dom0s_to_answer(world: GatewayWorld) -> None:
    world.serve(ONE)
    assert world.wish(ONE, 5000) is None
    asked = world.call.hear(Map)
    assert (asked.client, asked.proto, asked.inner) == (parse_address(ONE), UDP, 5000)
    world.call.say(granted(5000))
    answer = world.wish(ONE, 5000)
    assert isinstance(answer, bytes)
    assert answer[:4] == bytes((0, 129, 0, 0))
    forget(world, ONE)


class TestIdentity:
    """It is the link and the address that was assigned there, never what is claimed."""

    def test_a_neighbours_address_gets_nothing(self, world: GatewayWorld) -> None:
        world.serve(ONE, TWO)
        world.clients[TWO].run(f"ip addr add {ONE}/32 dev eth0")
        try:
            world.call.heard.clear()
            assert world.wish(TWO, 5100, own=ONE) is None
            assert world.call.has_silence()
        finally:
            world.clients[TWO].run(f"ip addr del {ONE}/32 dev eth0")
            forget(world, ONE, TWO)

    def test_an_address_of_nobody_gets_nothing(self, world: GatewayWorld) -> None:
        world.serve(ONE)
        world.clients[ONE].run("ip addr add 10.137.0.99/32 dev eth0")
        try:
            assert world.wish(ONE, 5101, own="10.137.0.99") is None
            assert world.call.has_silence()
        finally:
            world.clients[ONE].run("ip addr del 10.137.0.99/32 dev eth0")
            forget(world, ONE)

    def test_another_client_in_a_request_of_pcp_is_a_mismatch(
        self, world: GatewayWorld
    ) -> None:
        world.serve(ONE)
        answer = world.ask(ONE, pcp_map(5102, client=parse_address(TWO)))
        assert isinstance(answer, bytes)
        assert answer[3] == 12  # ADDRESS_MISMATCH
        assert world.call.has_silence()
        forget(world, ONE)


class TestUplink:
    def test_nobody_there_is_served(self, world: GatewayWorld) -> None:
        world.serve(ONE)
        assert world.ask(ROUTER, b"\0\0") == "refused"
        assert world.ask(ROUTER, b"\0\0", port=1900) == "refused"
        forget(world, ONE)

    def test_not_even_if_dom0_names_it_as_a_client(self, world: GatewayWorld) -> None:
        world.call.say(Client(parse_address(ROUTER), 64))
        world.serve(ONE)
        assert world.ask(ROUTER, b"\0\0") == "refused"
        world.call.say(NoClient(parse_address(ROUTER)))
        forget(world, ONE)

    def test_not_even_with_a_route_to_a_client_there(self, world: GatewayWorld) -> None:
        """A router's DHCP announced one, and the client's port was whoever's there."""
        world.gateway.run(f"ip route add {TWO} via {ROUTER} dev eth0 metric 1")
        world.gateway.run(f"ip route del {TWO} dev vif2.0")
        world.router.run(f"ip addr add {TWO}/32 dev lan0")
        try:
            world.call.say(Client(parse_address(TWO), 64))
            world.serve(ONE)
            assert world.wish(ROUTER, 5201, own=TWO) == "refused"
            assert world.ask(ROUTER, b"\0\0") == "refused"
            world.gateway.run(f"ip route add {TWO} dev vif2.0 metric 2")
            world.gateway.run(f"ip route del {TWO} dev eth0")
            world.wait_served(TWO)
        finally:
            world.router.run(f"ip addr del {TWO}/32 dev lan0")
            forget(world, ONE, TWO)

    def test_with_a_clients_address_nothing_is_had(self, world: GatewayWorld) -> None:
        world.serve(ONE)
        world.router.run(f"ip addr add {ONE}/32 dev lan0")
        try:
            assert world.wish(ROUTER, 5200, own=ONE) in (None, "refused")
            assert world.call.has_silence()
        finally:
            world.router.run(f"ip addr del {ONE}/32 dev lan0")
            forget(world, ONE)

    def test_who_is_beside_is_served_there(self, world: GatewayWorld) -> None:
        """In a qube of its own, clients come from where the netvm is."""
        world.call.say(Client(parse_address(ROUTER), 64, None, beside=True))
        world.wait_served(ROUTER)
        assert world.ask(ROUTER, b"\0\0", port=1900) == "refused"
        world.call.say(NoClient(parse_address(ROUTER)))
        world.wait_refused(ROUTER)


class TestInterfaces:
    def test_are_followed(self, world: GatewayWorld) -> None:
        world.serve(ONE, TWO)
        world.gateway.run("ip link del vif1.0")
        world.plug(ONE, 1)
        world.wait_served(ONE)
        # It is another interface by the same name, and then one by another.
        world.gateway.run("ip link del vif1.0")
        world.plug(ONE, 7)
        world.wait_served(ONE)
        assert isinstance(world.ask(TWO, b"\0\0"), bytes)
        forget(world, ONE, TWO)
        world.gateway.run("ip link del vif7.0")
        world.plug(ONE, 1)

    def test_that_come_later_are_waited_for(self, world: GatewayWorld) -> None:
        world.gateway.run("ip link del vif1.0")
        world.call.say(Client(parse_address(ONE), 64))
        world.serve(TWO)
        world.plug(ONE, 1)
        world.wait_served(ONE)
        forget(world, ONE, TWO)


class TestConnection:
    def test_what_is_held_is_asked_for_again(self, world: GatewayWorld) -> None:
        world.serve(ONE)
        world.wish(ONE, 5300)
        world.call.say(granted(5300))
        assert isinstance(world.wish(ONE, 5300), bytes)
        world.call.close()
        world.call = world.accept()
        world.serve(ONE)
        asked = world.call.hear(Map)
        assert (asked.inner, asked.lifetime <= 600) == (5300, True)
        forget(world, ONE)

    def test_who_is_not_named_again_is_served_no_more(
        self, world: GatewayWorld
    ) -> None:
        world.serve(ONE)
        world.call.close()
        world.call = world.accept()
        world.wait_refused(ONE)

    def test_without_one_a_program_is_told_so(self, world: GatewayWorld) -> None:
        world.serve(ONE)
        with world.without_dom0():
            # While a call is being made it may still succeed: that has no answer.
            answers = (world.wish(ONE, inner) for inner in range(5301, 5331))
            answer = next(each for each in answers if isinstance(each, bytes))
            assert answer[2:4] == b"\0\3"  # RFC 6886, 3.5: network failure
        world.wait_refused(ONE)

    def test_a_line_that_is_none_ends_it(self, world: GatewayWorld) -> None:
        world.call.say_raw(b"open the door\n")
        assert world.call.is_over()
        world.call = world.accept()


class TestQubesDb:
    def test_takes_the_order_back(self, world: GatewayWorld) -> None:
        world.serve(ONE)
        world.order("unwant")
        assert world.call.is_over()
        world.wait_refused(ONE)
        world.order("want")
        world.call = world.accept()

    def test_that_starts_anew_closes_nothing_while_it_says_nothing(
        self, world: GatewayWorld
    ) -> None:
        world.serve(ONE)
        world.wish(ONE, 5400)
        world.call.say(granted(5400))
        assert isinstance(world.wish(ONE, 5400), bytes)
        world.order("empty")
        assert world.call.is_over()
        # Nobody has said that it is not wanted any more.
        assert isinstance(world.ask(ONE, b"\0\0"), bytes)
        world.order("want")
        world.call = world.accept()
        world.serve(ONE)
        assert world.call.hear(Map).inner == 5400
        forget(world, ONE)
