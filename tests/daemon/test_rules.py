# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is older: ages over edits, copies, restarts and odd files."""

import asyncio
from pathlib import Path

import pytest

from qubesforward.errors import AdminError
from tests.daemon.world import World, in_world, until

RULE = "action=forward forwardtype=external proto=tcp srcports=443-443\n"


async def copy_of_work(world: World, name: str) -> None:
    source = world.root / "appvms/work/firewall.xml"
    (world.root / "appvms" / name).mkdir()
    (world.root / "appvms" / name / "firewall.xml").write_bytes(source.read_bytes())
    world.qubes[name] = {"ip": "10.137.0.30", "netvm": "sys-firewall"}
    await world.boot(name)
    world.tell("", "domain-add", vm=name)

    async def is_there() -> bool:
        return await world.states(name) == ["unconfirmed"]

    await until(is_there)


@pytest.mark.parametrize("method", ["Confirm+forward", "Set+forward"])
def test_a_confirmed_copy_took_the_port_of_the_original(
    tmp_path: Path, method: str
) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        await copy_of_work(world, "a-copy")
        await world.call(method, "a-copy", RULE if method[0] == "S" else "")
        assert await world.states("work") == ["active"]
        assert await world.states("a-copy") == ["conflict"]

    in_world(tmp_path, test)


def test_confirming_twice_made_a_list_younger(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        await world.call("Add+forward", "personal", f"force=yes\n{RULE}")
        await world.call("Confirm+forward", "work")
        assert await world.states("personal") == ["conflict"]

    in_world(tmp_path, test)


def test_a_new_comment_cost_a_forward_its_age(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        await world.call("Add+forward", "personal", f"force=yes\n{RULE}")
        await world.call("Set+forward", "work", RULE.strip() + " comment=x\n")
        assert await world.states("personal") == ["conflict"]
        assert (await world.forwards("work"))[0]["rule"].endswith("comment=x")

    in_world(tmp_path, test)


def test_a_forward_given_twice_was_in_its_own_way(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("Set+forward", "work", RULE + RULE)
        assert await world.call("Get+forward", "work") == RULE

    in_world(tmp_path, test)


def test_the_last_age_there_is_in_one_file_cost_all_new_forwards(
    tmp_path: Path,
) -> None:
    file = tmp_path / "appvms/personal/firewall.xml"
    file.parent.mkdir(parents=True)
    properties = {
        "action": "forward",
        "forwardtype": "external",
        "srcports": "80",
        "created": str(2**63 - 1),
    }
    lines = "".join(
        f'<property name="{n}">{v}</property>' for n, v in properties.items()
    )
    file.write_text(
        '<firewall version="2"><rules><rule><properties>'
        f"{lines}</properties></rule></rules></firewall>"
    )

    async def test(world: World) -> None:
        await until(lambda: bool(world.store("sys-firewall")))
        await world.call("Add+forward", "work", RULE)
        await world.stop_daemon()
        await world.start_daemon()
        assert await world.call("Get+forward", "work") == RULE

    in_world(tmp_path, test)


def test_a_plan_for_a_copied_list_said_active(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        await copy_of_work(world, "a-copy")
        new = RULE.replace("443", "555")
        with pytest.raises(AdminError, match="confirm"):
            await world.call("Plan+forward", "a-copy", new)

    in_world(tmp_path, test)


def test_a_status_failed_when_a_qube_went_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(world: World) -> None:
        await world.call("Add+forward", "work", RULE)
        # No agent reports here, so that Status waits.
        status = asyncio.create_task(world.call("Status+forward", "dom0"))
        await asyncio.sleep(0.05)
        del world.qubes["personal"]
        world.tell("", "domain-delete", vm="personal")
        assert '"work"' in await status

    in_world(tmp_path, test)
