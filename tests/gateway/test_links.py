# SPDX-License-Identifier: GPL-2.0-or-later
"""By which interface a client is reached, and who the router is."""

from __future__ import annotations

import pytest

from tests.gateway.gateway_world import ONE, OUTER, ROUTER, TWO, GatewayWorld

_LOOK = """
from ipaddress import ip_address as at
from qubesforward.gateway import links
router = links.find_router()
print(*(links.find_device(at(one)) for one in {clients!r}))
print(router and (router.device, str(router.address), str(router.own)))
print(links.find_uplink(at("{one}")), links.find_address("vif1.0"))
print(links.find_index("vif1.0") > 0, links.find_index("nowhere"))
"""


def look(world: GatewayWorld, *clients: str) -> list[str]:
    process = world.gateway.script(_LOOK.format(clients=clients, one=ONE))
    return process.communicate(timeout=10)[0].splitlines()


def test_a_client_is_where_a_route_of_its_own_leads(world: GatewayWorld) -> None:
    clients = [ONE, TWO, ROUTER, "10.137.0.99", "203.0.113.1"]
    found, router, uplink, index = look(world, *clients)
    assert found == "vif1.0 vif2.0 None None None"
    assert router == str(("eth0", ROUTER, OUTER))
    assert uplink == "eth0 10.137.0.6"
    assert index == "True 0"


def test_a_route_by_the_uplink_is_none_to_a_client(world: GatewayWorld) -> None:
    world.gateway.run(f"ip route add 10.137.0.99 via {ROUTER} dev eth0")
    try:
        assert look(world, "10.137.0.99", ONE)[0] == "None vif1.0"
    finally:
        world.gateway.run("ip route del 10.137.0.99")


def test_without_a_default_route_there_is_no_router(world: GatewayWorld) -> None:
    world.gateway.run("ip route del default")
    try:
        _, router, uplink, _ = look(world, ONE)
        assert (router, uplink.split()[0]) == ("None", "None")
    finally:
        world.gateway.run(f"ip route add default via {ROUTER}")


@pytest.mark.parametrize("name", ["", "a" * 40, "vif\u00e9.0"])
def test_odd_names_are_no_interfaces(name: str) -> None:
    from qubesforward.gateway.links import find_address, find_index

    assert find_index(name) == 0
    assert find_address(name) is None
