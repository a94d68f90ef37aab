# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon over its sockets: what it stores, publishes, and tells."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from qubesforward.errors import AdminError
from qubesforward.qubes.qubesdb import QubesDB
from tests.daemon.world import World, in_world, until

EXTERNAL = "forwardtype=external proto=tcp srcports=443-443 dstports=8443-8443"
ACCEPT = "action=accept\n"


async def settled(world: World, dest: str, states: list[str]) -> None:
    async def is_so() -> bool:
        return await world.states(dest) == states

    await until(is_so)


def test_a_forward_is_told_to_every_hop_and_active_when_all_say_so(
    tmp_path: Path,
) -> None:
    async def test(world: World) -> None:
        world.mute.add("sys-firewall")
        await world.add("work", EXTERNAL)

        async def is_the_last_one_missing() -> bool:
            (forward,) = await world.forwards("work")
            return bool(forward["reason"].startswith("sys-firewall: "))

        await until(is_the_last_one_missing)
        (forward,) = await world.forwards("work")
        assert forward["state"] == "pending"
        assert [step["qube"] for step in forward["path"]] == [
            "sys-net",
            "sys-firewall",
            "work",
        ]
        assert list(world.entries("sys-net").values()) == [
            "in=external proto=tcp ports=443-443 src=0.0.0.0/0 to=10.137.0.6"
            " toports=443-443"
        ]
        assert world.entries("personal") == {}

    in_world(tmp_path, test)


def test_the_status_says_where_to_dial(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await settled(world, "work", ["active"])
        (forward,) = await world.forwards("work")
        assert forward["dial"] == ["192.168.1.10"]

    in_world(tmp_path, test)


def test_a_plain_client_neither_sees_nor_loses_forwards(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        assert await world.call("Get", "work") == ACCEPT
        outbound = (
            "action=drop dst4=10.0.0.0/8 proto=tcp dstports=80-80\naction=accept\n"
        )
        await world.call("Set", "work", outbound)
        assert await world.call("Get", "work") == outbound
        assert EXTERNAL in await world.call("Get+forward", "work")
        with pytest.raises(AdminError, match=r"Set\+forward"):
            await world.call("Set", "work", f"action=forward {EXTERNAL}\n")
        assert await world.call("Get", "work") == outbound

    in_world(tmp_path, test)


def test_outbound_rules_are_published_to_the_netvm(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        at = "/qubes-firewall/10.137.0.20"
        await until(lambda: world.store("sys-firewall").get(f"{at}/policy") == b"drop")
        assert world.store("sys-firewall")[f"{at}/0000"] == b"action=accept"
        await world.call("Set", "work", "action=drop expire=1 comment=x y\n")
        found = world.store("sys-firewall")
        assert f"{at}/0000" not in found
        assert found[at] == b""

    in_world(tmp_path, test)


def test_a_hundred_adds_at_once_leave_a_hundred(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await asyncio.gather(
            *(
                world.add("work", f"forwardtype=external srcports={p}-{p}")
                for p in range(7000, 7100)
            )
        )
        assert len((await world.call("Get+forward", "work")).splitlines()) == 100
        await until(lambda: len(world.entries("sys-net")) == 200)

    in_world(tmp_path, test)


def test_one_more_forward_is_one_write_and_one_commit(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        before = world.store("sys-net")
        await world.add("work", "forwardtype=external proto=udp srcports=53-53")
        after = world.store("sys-net")
        changed = {path for path in after if before.get(path) != after[path]}
        changed -= {"/qubes-forward-handled"}
        assert len(changed) == 2
        assert set(before) <= set(after)

    in_world(tmp_path, test)


def test_the_old_path_is_closed_before_the_new_one_opens(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await settled(world, "work", ["active"])
        world.log.clear()
        world.qubes["work"]["netvm"] = "sys-net"
        world.tell("work", "property-set:netvm", newvalue="sys-net")
        await until(lambda: world.entries("sys-firewall") == {})
        await settled(world, "work", ["active"])
        told = [(name, bool(entries)) for name, entries in world.log]
        assert told.index(("sys-firewall", False)) < told.index(("sys-net", True))
        assert "to=10.137.0.20" in next(iter(world.entries("sys-net").values()))

    in_world(tmp_path, test)


def test_a_hop_that_refuses_is_shown_with_its_reason_cleaned(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.refusing["sys-firewall"] = "bad \x1b[31m thing"
        await world.add("work", EXTERNAL)
        await settled(world, "work", ["refused"])
        (forward,) = await world.forwards("work")
        assert forward["reason"] == "sys-firewall: bad ?[31m thing"

    in_world(tmp_path, test)


def test_a_new_run_finds_its_entries_and_commits_them_only(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await settled(world, "work", ["active"])
        kept = ("/qubes-forward/", "/qubes-forward")
        before = world.store("sys-net")
        await world.stop_daemon()
        assert world.store("sys-net") == before
        await world.start_daemon()
        await settled(world, "work", ["active"])
        after = world.store("sys-net")
        assert {p: v for p, v in after.items() if p.startswith(kept[0])} == {
            p: v for p, v in before.items() if p.startswith(kept[0])
        }
        assert int(after[kept[1]]) == int(before[kept[1]]) + 1

    in_world(tmp_path, test)


def test_what_nobody_wants_is_revoked_at_the_start(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.stop_daemon()
        stray = world._dbs["sys-net"].store
        stray.write("/qubes-forward/0000000a", b"in=external proto=tcp ports=22-22")
        stray.write("/qubes-forward/not-an-id", b"\xff")
        stray.write("/qubes-forward", b"7")
        await world.start_daemon()
        await until(lambda: "0000000a" not in world.entries("sys-net"))
        assert world.store("sys-net")["/qubes-forward"] == b"8"

    in_world(tmp_path, test)


def test_a_halted_hop_closes_the_rest_of_the_path(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await settled(world, "work", ["active"])
        world.end("sys-firewall")
        world.tell("sys-firewall", "domain-shutdown")
        await until(lambda: world.entries("sys-net") == {})
        await settled(world, "work", ["pending"])
        world.halted.clear()
        world.qubes["sys-firewall"]["xid"] = "2"
        await world.boot("sys-firewall")
        world.tell("sys-firewall", "domain-start")
        await settled(world, "work", ["active"])
        assert len(world.entries("sys-firewall")) == 1

    in_world(tmp_path, test)


def test_a_timed_forward_is_taken_out_when_its_time_is_over(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        end = int(time.time()) + 2
        await world.add("work", f"{EXTERNAL} expire={end}")
        await until(lambda: world.entries("work") != {})
        assert f"until={end}" in next(iter(world.entries("work").values()))
        await until(lambda: world.entries("work") == {})
        assert time.time() >= end
        assert await world.call("Get+forward", "work") == ""

    in_world(tmp_path, test)


def test_asking_again_extends_under_the_same_id(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        end = int(time.time()) + 1000
        await world.add("work", f"{EXTERNAL} expire={end}")
        before = set(world.entries("sys-net"))
        await world.add("work", f"{EXTERNAL} expire={end + 500} comment=longer")
        assert set(world.entries("sys-net")) == before
        assert len((await world.call("Get+forward", "work")).splitlines()) == 1

    in_world(tmp_path, test)


def test_a_conflict_is_refused_by_hand_and_waits_when_forced(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        with pytest.raises(AdminError, match="work has port 443 of sys-net") as caught:
            await world.add("personal", EXTERNAL)
        assert caught.value.kind == "Conflict"
        forced = f"force=yes\naction=forward {EXTERNAL}\n"
        await world.call("Add+forward", "personal", forced)
        await settled(world, "personal", ["conflict"])
        await world.call(
            "Remove+forward", "work", await world.call("Get+forward", "work")
        )
        await settled(world, "personal", ["active"])

    in_world(tmp_path, test)


def test_a_copied_list_waits_for_confirmation(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await settled(world, "work", ["active"])
        copy = (tmp_path / "appvms/work/firewall.xml").read_bytes()
        (tmp_path / "appvms/copy").mkdir()
        (tmp_path / "appvms/copy/firewall.xml").write_bytes(
            copy.replace(b"443", b"444")
        )
        world.qubes["copy"] = {"ip": "10.137.0.30", "netvm": "sys-firewall"}
        await world.boot("copy")
        world.tell("", "domain-add", vm="copy")
        await settled(world, "copy", ["unconfirmed"])
        assert world.entries("copy") == {}
        with pytest.raises(AdminError, match="confirm"):
            await world.add("copy", "forwardtype=external srcports=999-999")
        await world.call("Confirm+forward", "copy")
        await settled(world, "copy", ["active"])

    in_world(tmp_path, test)


def test_one_bad_file_costs_nobody_else_anything(tmp_path: Path) -> None:
    (tmp_path / "appvms/personal").mkdir(parents=True)
    (tmp_path / "appvms/personal/firewall.xml").write_bytes(b"<!DOCTYPE x>")

    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await settled(world, "work", ["active"])
        told = json.loads(await world.call("Status+forward", "dom0"))
        problems = {one["name"]: one["problem"] for one in told["qubes"]}
        assert "DOCTYPE" in problems["personal"]
        assert problems["work"] == ""
        at = "/qubes-firewall/10.137.0.21"
        found = world.store("sys-firewall")
        assert found[f"{at}/policy"] == b"drop"
        assert f"{at}/0000" not in found

    in_world(tmp_path, test)


def test_a_plan_changes_nothing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        told = json.loads(
            await world.call("Plan+forward", "work", f"action=forward {EXTERNAL}\n")
        )
        (forward,) = told["forwards"]
        assert forward["state"] == "active"
        assert len(forward["path"]) == 3
        assert world.entries("sys-net") == {}
        assert await world.call("Get+forward", "work") == ""

    in_world(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "dest", "payload", "kind"),
    [
        ("Get", "nobody", "", "QubesVMNotFoundError"),
        ("Add+forward", "work", "action=accept\n", "InvalidRule"),
        ("Add+forward", "work", "", "InvalidRule"),
        ("Add+forward", "work", "nonsense\n", "InvalidRule"),
        ("Add+forward", "work", "action=forward forwardtype=external\n", "InvalidRule"),
        ("Remove+forward", "work", f"action=forward {EXTERNAL}\n", "InvalidRule"),
        ("Set", "work", "action=accept\naction=perhaps\n", "InvalidRule"),
        ("Frobnicate", "work", "", "QubesDaemonAccessError"),
        ("Get+backward", "work", "", "QubesDaemonAccessError"),
        ("Get", "work", "payload", "QubesDaemonAccessError"),
    ],
)
def test_bad_calls_get_an_error_and_change_nothing(
    tmp_path: Path, method: str, dest: str, payload: str, kind: str
) -> None:
    async def test(world: World) -> None:
        with pytest.raises(AdminError) as caught:
            await world.call(method, dest, payload)
        assert caught.value.kind == kind
        assert await world.call("Get+forward", "work") == ""
        assert await world.call("Get", "work") == ACCEPT

    in_world(tmp_path, test)


def test_garbage_from_an_agent_is_its_own_wrong_status(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.mute.add("sys-net")
        await world.add("work", EXTERNAL)
        hostile = await QubesDB.connect(world.db_path("sys-net"))
        for path, value in [
            ("/qubes-forward-handled", b"\xff\xfe not a number"),
            ("/qubes-forward-handled", b"9" * 3000),
            ("/qubes-forward-outside", b"../../etc 10.0.0.1 \xff"),
            ("/qubes-forward-refused/zzz", b"\x01"),
            ("/qubes-forward-report/0", b"\xff " * 1000),
            ("/qubes-forward-reported", b"\xff"),
        ]:
            await hostile.write(path, value)
        await settled(world, "work", ["pending"])
        (forward,) = await world.forwards("work")
        assert forward["dial"] == ["10.0.0.1"]
        await hostile.aclose()

    in_world(tmp_path, test)


def test_a_clock_that_is_set_has_ends_looked_at_at_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        end = int(time.time()) + 3000
        await world.add("work", f"{EXTERNAL} expire={end}")
        await settled(world, "work", ["active"])
        daemon = world.daemon
        # As after a step forward; the kernel's own notice cannot be made in a test.
        daemon._reconciler._now = lambda: time.time() + 4000
        daemon._note_clock()
        await until(lambda: not world.entries("sys-net"))

    in_world(tmp_path, test)
