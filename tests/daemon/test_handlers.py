# SPDX-License-Identifier: GPL-2.0-or-later
"""What the calls tell, beyond single forwards."""

import json
from pathlib import Path

import pytest

from qubesforward.errors import AdminError
from tests.daemon.world import World, in_world, until

RULE = "action=forward forwardtype=external proto=tcp srcports=443-443\n"


async def hops(world: World) -> dict[str, str]:
    told = json.loads(await world.call("Status+forward", "work"))
    return {hop["name"]: hop["state"] for hop in told["hops"]}


def test_a_hop_that_has_not_closed_the_last_forward_is_still_told(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)

        async def is_active() -> bool:
            return await world.states("work") == ["active"]

        await until(is_active)
        world.mute.add("sys-net")
        await world.call("Remove+forward", "work", RULE)

        async def is_only_one_missing() -> bool:
            return await hops(world) == {"sys-net": "silent"}

        await until(is_only_one_missing)

    in_world(tmp_path, test)


def test_a_hop_that_could_not_be_told_passed_for_closed(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        world._dbs.pop("sys-net").close()

        async def is_lost() -> bool:
            return (await hops(world)).get("sys-net") == "silent"

        await until(is_lost)
        await world.call("Remove+forward", "work", RULE)
        assert (await hops(world))["sys-net"] == "silent"

    in_world(tmp_path, test)


OTHER = "action=forward forwardtype=external proto=tcp srcports=443-443 dstports=8-8\n"


def test_a_forward_is_changed_at_once_though_old_and_new_share_a_port(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        change = f"instead={RULE}{OTHER}"
        told = json.loads(await world.call("Plan+forward", "work", change))
        assert [forward["state"] for forward in told["forwards"]] == ["active"]
        assert await world.call("Get+forward", "work") == RULE
        await world.call("Add+forward", "work", change)
        assert await world.call("Get+forward", "work") == OTHER

    in_world(tmp_path, test)


def test_a_change_of_a_forward_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        with pytest.raises(AdminError, match="work has no such rule"):
            await world.call("Add+forward", "work", f"instead={OTHER}{OTHER}")
        assert await world.call("Get+forward", "work") == RULE

    in_world(tmp_path, test)


def test_a_change_that_conflicts_leaves_the_old_forward(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        taken = RULE.replace("443", "80")
        await world.call("Add+forward", "work", RULE)
        await world.call("Add+forward", "personal", taken)
        with pytest.raises(AdminError, match="personal has port 80"):
            await world.call("Add+forward", "work", f"instead={RULE}{taken}")
        assert await world.call("Get+forward", "work") == RULE
        forced = f"force=yes\ninstead={RULE}{taken}"
        await world.call("Add+forward", "work", forced)
        assert await world.call("Get+forward", "work") == taken

    in_world(tmp_path, test)


def test_an_extended_forward_keeps_its_age_when_it_is_said_what_it_replaces(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        (before,) = await world.forwards("work")
        longer = RULE.replace("\n", " expire=2000000000\n")
        await world.call("Add+forward", "work", f"instead={RULE}{longer}")
        (after,) = await world.forwards("work")
        assert after["created"] == before["created"]

    in_world(tmp_path, test)
