# SPDX-License-Identifier: GPL-2.0-or-later
"""What dom0 wants of the router is asked of it, told, and withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from qubesforward.model.hosts import parse_address
from qubesforward.model.rule import Proto
from qubesforward.qubes.mapping_wire import (
    Close,
    Closed,
    Failed,
    Failure,
    Open,
    Opened,
    Outside,
    Watch,
)
from tests.gateway.gateway_world import OUTER, ROUTER, GatewayWorld, Router
from tests.gateway.router import EDGE
from tests.lab.standing import eventually

TCP = Proto.TCP
OUTSIDE = parse_address(EDGE)


@contextmanager
def routing(world: GatewayWorld) -> Iterator[Router]:
    router = Router(world)
    try:
        yield router
    finally:
        router.end()


@pytest.fixture(scope="module")
def router(world: GatewayWorld) -> Iterator[Router]:
    with routing(world) as made:
        yield made


def open_port(world: GatewayWorld, port: int) -> None:
    world.call.say(Open(TCP, port, 600))
    opened = world.call.hear(Opened)
    assert opened == Opened(TCP, port, port, 600, OUTSIDE)


def test_it_is_opened_told_and_closed(world: GatewayWorld, router: Router) -> None:
    open_port(world, 80)
    assert router.list() == ["tcp:80:80"]
    world.call.say(Close(TCP, 80, 80))
    assert world.call.hear(Closed) == Closed(TCP, 80)
    assert router.list() == []


def test_the_address_outside_is_told_as_long_as_it_is_wanted(
    world: GatewayWorld, router: Router
) -> None:
    world.call.say(Watch(True))
    said = world.call.hear(Outside)
    assert said in (Outside(), Outside(OUTSIDE))
    if said == Outside():
        assert world.call.hear(Outside) == Outside(OUTSIDE)
    world.call.say(Watch(False))


def test_what_an_earlier_call_asked_for_is_withdrawn(
    world: GatewayWorld, router: Router
) -> None:
    open_port(world, 81)
    # A call that ends says nothing of what is wanted, and dom0 then wants it no more.
    world.call.close()
    world.call = world.accept()
    world.call.say(Close(TCP, 81, 81))
    assert world.call.hear(Closed) == Closed(TCP, 81)
    assert router.list() == []


def test_what_dom0_does_not_speak_of_any_more_is_withdrawn(
    world: GatewayWorld, router: Router
) -> None:
    open_port(world, 82)
    world.call.close()
    world.call = world.accept()
    assert world.call.hear(Opened).port == 82
    assert world.call.hear(Closed) == Closed(TCP, 82)
    assert router.list() == []


def test_all_is_withdrawn_when_it_is_wanted_no_more(
    world: GatewayWorld, router: Router
) -> None:
    open_port(world, 83)
    world.order("unwant")
    eventually(router.list, [])
    world.order("want")
    world.call = world.accept()


def test_without_a_router_it_fails_and_is_asked_of_one_that_comes(
    world: GatewayWorld, router: Router
) -> None:
    world.gateway.run("ip route del default")
    world.call.say(Open(TCP, 84, 600))
    assert world.call.hear(Failed) == Failed(TCP, 84, Failure.SILENT)
    world.gateway.run(f"ip route add default via {ROUTER}")
    assert world.call.hear(Opened).port == 84
    world.call.say(Close(TCP, 84, 84))
    assert world.call.hear(Closed) == Closed(TCP, 84)


def test_what_was_to_be_closed_without_a_router_is_closed_at_the_next(
    world: GatewayWorld, router: Router
) -> None:
    open_port(world, 85)
    world.gateway.run("ip route del default")
    assert world.call.hear(Failed) == Failed(TCP, 85, Failure.SILENT)
    world.call.say(Close(TCP, 85, 85))
    assert world.call.has_silence()
    assert router.list() == ["tcp:85:85"]
    world.gateway.run(f"ip route add default via {ROUTER}")
    assert world.call.hear(Closed) == Closed(TCP, 85)
    assert router.list() == []


def test_another_address_of_ours_is_what_it_leads_to(
    world: GatewayWorld, router: Router
) -> None:
    open_port(world, 86)
    world.gateway.run(
        f"ip addr del {OUTER}/24 dev eth0",
        "ip addr add 192.168.1.77/24 dev eth0",
        f"ip route add default via {ROUTER}",
    )
    assert world.call.hear(Opened).port == 86
    world.call.say(Close(TCP, 86, 86))
    assert world.call.hear(Closed) == Closed(TCP, 86)
    world.gateway.run(
        "ip addr del 192.168.1.77/24 dev eth0",
        f"ip addr add {OUTER}/24 dev eth0",
        f"ip route add default via {ROUTER}",
    )
