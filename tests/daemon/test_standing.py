# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that ask for a port to which a forward of the user's leads already."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from qubesforward.model.rule import Proto
from qubesforward.qubes.mapping_values_wire import LAST_LIFETIME
from qubesforward.qubes.mapping_wire import (
    Denial,
    Denied,
    Gone,
    GrantedMap,
)
from tests.daemon.gateway_end import WORK, GatewayEnd, unmap, wish, with_policy
from tests.daemon.world import World, until

FORWARD = "forwardtype=external proto=udp srcports=443 dstports=5000"
GONE = Gone(WORK, Proto.UDP, 5000)


def told(outer: int = 443, inner: int = 5000) -> GrantedMap:
    return GrantedMap(WORK, Proto.UDP, inner, outer, LAST_LIFETIME, static=True)


def is_their_own(message: object) -> bool:
    """Whether a program got a mapping of its own."""
    return (
        isinstance(message, GrantedMap)
        and (message.inner, message.outer) == (5000, 5000)
        and not message.static
    )


async def opened(world: World, *rules: str) -> None:
    await world.add("work", *rules)
    await until(lambda: len(world.entries("sys-net")) > 0)


def test_they_are_told_where_and_nothing_is_asked_or_opened(tmp_path: Path) -> None:
    async def test(world: World, gateway: GatewayEnd) -> None:
        await opened(world, FORWARD)
        before = world.entries("sys-net")
        gateway.send(wish())
        await gateway.wait(told())
        asked = json.loads(await world.call("Requests+forward", "dom0"))
        assert asked["requests"] == []
        assert world.entries("sys-net") == before
        assert [each["origin"] for each in await world.forwards("work")] == ["user"]
        # It is not theirs: letting go of it closes nothing.
        gateway.send(unmap())
        gateway.send(wish())
        await gateway.wait(told())
        assert world.entries("sys-net") == before

    with_policy(tmp_path, test, portmap="ask")


def test_of_a_range_each_port_by_itself(tmp_path: Path) -> None:
    async def test(world: World, gateway: GatewayEnd) -> None:
        rule = "forwardtype=external proto=udp srcports=443-445 dstports=5000-5002"
        await opened(world, rule)
        gateway.send(wish(inner=5002))
        await gateway.wait(told(445, 5002))

    with_policy(tmp_path, test)


def test_they_hear_of_its_end_and_can_have_one_of_their_own_then(
    tmp_path: Path,
) -> None:
    async def test(world: World, gateway: GatewayEnd) -> None:
        await opened(world, FORWARD)
        gateway.send(wish())
        await gateway.wait(told())
        await world.call("Remove+forward", "work", f"action=forward {FORWARD}")
        await gateway.wait(GONE)
        gateway.send(wish())
        await gateway.wait_for(is_their_own)

    with_policy(tmp_path, test)


def test_they_hear_of_another_outer_port(tmp_path: Path) -> None:
    async def test(world: World, gateway: GatewayEnd) -> None:
        await opened(world, FORWARD)
        gateway.send(wish())
        await gateway.wait(told())
        new = f"instead=action=forward {FORWARD}\naction=forward "
        new += FORWARD.replace("443", "444")
        await world.call("Add+forward", "work", new)
        await gateway.wait(GONE)
        gateway.send(wish())
        await gateway.wait(told(444))

    with_policy(tmp_path, test)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"outer": 444, "exact": True}, Denial.CONFLICT),
        # It is open to all: who wants it for some would be deceived.
        ({"src": (ip_network("192.0.2.0/24"),)}, Denial.DENIED),
    ],
)
def test_what_it_is_not_is_denied(
    tmp_path: Path, more: dict[str, Any], reason: Denial
) -> None:
    async def test(world: World, gateway: GatewayEnd) -> None:
        await opened(world, FORWARD)
        gateway.send(wish(**more))
        await gateway.wait(Denied(WORK, Proto.UDP, 5000, reason, 30))

    with_policy(tmp_path, test)


@pytest.mark.parametrize(
    ("rule", "features"),
    [
        (f"{FORWARD} srchost=192.0.2.0/24", {}),
        (FORWARD.replace("external", "internal"), {}),
        (FORWARD.replace("udp", "tcp"), {}),
        ("forwardtype=external srcports=443 dstports=5001", {}),
        (FORWARD, {"portmap_reach": "internet"}),
    ],
)
def test_one_that_is_for_some_only_is_none(
    tmp_path: Path, rule: str, features: dict[str, str]
) -> None:
    async def test(world: World, gateway: GatewayEnd) -> None:
        await world.add("work", rule)
        await until(lambda: len(world.entries("sys-firewall")) > 0)
        gateway.send(wish())
        await gateway.wait_for(is_their_own)

    with_policy(tmp_path, test, **features)


def test_another_qubes_is_no_business_of_theirs(tmp_path: Path) -> None:
    async def test(world: World, gateway: GatewayEnd) -> None:
        await world.add("personal", FORWARD)
        await until(lambda: len(world.entries("sys-net")) > 0)
        gateway.send(wish())
        await gateway.wait_for(is_their_own)

    with_policy(tmp_path, test)
