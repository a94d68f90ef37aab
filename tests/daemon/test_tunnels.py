# SPDX-License-Identifier: GPL-2.0-or-later
"""That a hop had a tunnel is remembered over its restarts, until the user says else."""

from pathlib import Path

from qubesforward.plan.snapshot import TUNNEL_FEATURE
from tests.daemon.world import World, in_world, until

RULE = "action=forward forwardtype=external proto=tcp srcports=443-443"
TUNNEL = "/qubes-forward-tunnel"


async def is_refused(world: World) -> bool:
    found = await world.forwards("work")
    refused = "sys-firewall: would bypass tunnel tun0"
    return [(one["state"], one["reason"]) for one in found] == [("refused", refused)]


async def is_active(world: World) -> bool:
    return await world.states("work") == ["active"]


async def restart(world: World) -> None:
    world.end("sys-firewall")
    world.tell("sys-firewall", "domain-shutdown")
    await until(lambda: not world.entries("sys-net"))
    world.halted.clear()
    world.qubes["sys-firewall"]["xid"] += "1"
    await world.boot("sys-firewall")
    world.tell("sys-firewall", "domain-start")


def test_a_vpn_qube_that_just_started_was_bypassed_until_its_tunnel_came(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        world.qubes["sys-firewall"]["xid"] = "1"
        await world.call("Add+forward", "work", RULE)
        await until(lambda: is_active(world))
        await world.say("sys-firewall", TUNNEL, "tun0 4 6")
        await until(lambda: is_refused(world))
        assert world.entries("sys-net") == {}
        await restart(world)
        await until(lambda: is_refused(world))
        assert world.entries("sys-firewall") == world.entries("sys-net") == {}

    in_world(tmp_path, test)


def test_who_takes_the_feature_back_is_heard_once_the_hop_has_restarted(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.say("sys-firewall", TUNNEL, "tun0 4 6")
        await world.call("Add+forward", "work", RULE)
        await until(lambda: is_refused(world))
        world.features.clear()
        world.tell("sys-firewall", f"domain-feature-delete:{TUNNEL_FEATURE}")
        await until(lambda: is_active(world))
        # The agent, which refuses for itself as long as the hop runs, says it again.
        await world.say("sys-firewall", TUNNEL, "tun0 4 6")
        assert await is_active(world)
        assert not world.features.get("sys-firewall")

    in_world(tmp_path, test)


def test_a_hop_speaks_of_its_own_tunnels_only_and_whatever_it_says_is_plain(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.say("sys-firewall", TUNNEL, "\x1b[2J=sys-net\n" + "x" * 3000)
        await until(lambda: bool(world.features.get("sys-firewall")))
        told = {name: each for name, each in world.features.items() if each}
        assert told == {"sys-firewall": {TUNNEL_FEATURE: "tun"}}

    in_world(tmp_path, test)
