# SPDX-License-Identifier: GPL-2.0-or-later
"""What the calls tell, beyond single forwards."""

import json
from pathlib import Path

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
