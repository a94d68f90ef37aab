# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon knows of the qubes, when qubesd is slow, restarts, or fails."""

from pathlib import Path

import pytest

from qubesforward.errors import AdminError
from tests.daemon.world import World, in_world, until

RULE = "action=forward forwardtype=external proto=tcp srcports=443-443\n"


async def is_active(world: World) -> bool:
    return await world.states("work") == ["active"]


def test_one_qube_that_qubesd_fails_at_kept_all_forwards_from_working(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.stop_daemon()
        world.broken.add("personal")
        await world.start_daemon()
        await world.call("Add+forward", "work", RULE)
        await until(lambda: is_active(world))
        with pytest.raises(AdminError):
            await world.call("Get", "personal")
        world.broken.clear()

        async def is_known() -> bool:
            try:
                return bool(await world.call("Get", "personal"))
            except AdminError:
                return False

        await until(is_known)

    in_world(tmp_path, test)


def test_another_qube_of_the_name_got_the_list_that_was_in_memory(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        await until(lambda: is_active(world))
        # Removed and made anew while nobody told: qubesd was restarting, too.
        (tmp_path / "appvms/work/firewall.xml").unlink()
        world.qubes["work"]["uuid"] = "another"
        world.hang_up()

        async def is_forgotten() -> bool:
            return await world.call("Get+forward", "work") == ""

        await until(is_forgotten)
        await until(lambda: world.entries("sys-net") == {})

    in_world(tmp_path, test)


def test_dom0_was_taken_for_a_qube(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.qubes["dom0"] = {}
        for method in ("Get", "Set", "Get+forward", "Add+forward", "Plan+forward"):
            payload = "" if method.startswith("Get") else RULE
            with pytest.raises(AdminError, match="dom0 has no network"):
                await world.call(method, "dom0", payload)
        assert not (tmp_path / "appvms/dom0").exists()

    in_world(tmp_path, test)
