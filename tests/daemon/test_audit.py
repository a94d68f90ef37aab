# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log of a running daemon: what is in it after what happened."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from qubesforward.daemon.exposures import DOUBT_SECONDS
from qubesforward.errors import AdminError
from qubesforward.qubes.qubesdb import QubesDB
from tests.daemon.world import World, in_world, until

PORTS = "proto=tcp srcports=443-443 dstports=8443-8443"
EXTERNAL = f"forwardtype=external {PORTS}"
LINE = f"action=forward {EXTERNAL}"


async def log(
    world: World, dest: str = "dom0", since: str = ""
) -> list[dict[str, Any]]:
    told = json.loads(await world.call("Log+forward", dest, since))
    return [event for event in told["events"]]


async def kinds(world: World, dest: str = "work") -> list[str]:
    return [event["event"] for event in await log(world, dest)]


async def logged(world: World, *wanted: str, dest: str = "work") -> None:
    """Wait until exactly these events of a qube are in the log."""

    async def is_so() -> bool:
        return await kinds(world, dest) == list(wanted)

    try:
        await until(is_so)
    except TimeoutError:
        assert await kinds(world, dest) == list(wanted)


def test_an_opening_and_a_closing_with_who_and_where(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        began = time.time()
        await world.add("work", f"{EXTERNAL} comment=for the printer")
        await logged(world, "added", "opened")
        rule = await world.call("Get+forward", "work")
        await world.call("Remove+forward", "work", rule)
        await logged(world, "added", "opened", "removed", "closed")
        added, opened, removed, closed = await log(world, "work")
        for event in (added, opened, removed, closed):
            assert event["rule"] == f"{LINE} comment=for the printer"
            assert event["qube"] == "work"
            assert event["origin"] == "user"
            assert event["time"].endswith("Z")
        assert added["by"] == removed["by"] == "dom0"
        assert opened["path"] == ["sys-net", "sys-firewall"]
        assert closed["reason"] == "removed"
        assert await log(world, "personal") == []
        assert len(await log(world, "dom0", str(int(began)))) >= 4
        assert await log(world, "dom0", str(int(began) + 3600)) == []

    in_world(tmp_path, test)


def test_an_extension_is_one_event_and_no_closing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        end = int(time.time()) + 1000
        await world.add("work", f"{EXTERNAL} expire={end}")
        await logged(world, "added", "opened")
        await world.add("work", f"{EXTERNAL} expire={end + 500}")
        await logged(world, "added", "opened", "changed")
        await asyncio.sleep(0.3)
        *_, changed = await log(world, "work")
        assert changed["reason"] == f"expire was {end}"
        assert f"expire={end + 500}" in changed["rule"]

    in_world(tmp_path, test)


def test_a_forward_whose_time_is_over(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        end = int(time.time()) + 2
        await world.add("work", f"{EXTERNAL} expire={end}")
        await logged(world, "added", "opened", "expired", "closed")
        *_, closed = await log(world, "work")
        assert closed["reason"] == "its time is over"

    in_world(tmp_path, test)


def test_a_hop_that_halts_and_comes_back(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await logged(world, "added", "opened")
        world.end("sys-firewall")
        world.tell("sys-firewall", "domain-shutdown")
        await logged(world, "added", "opened", "closed")
        assert (await log(world, "work"))[-1]["reason"] == "sys-firewall is halted"
        world.halted.clear()
        world.qubes["sys-firewall"]["xid"] = "2"
        await world.boot("sys-firewall")
        world.tell("sys-firewall", "domain-start")
        await logged(world, "added", "opened", "closed", "opened")

    in_world(tmp_path, test)


def test_another_netvm(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await logged(world, "added", "opened")
        world.qubes["work"]["netvm"] = "sys-net"
        world.tell("work", "property-set:netvm", newvalue="sys-net")
        await logged(world, "added", "opened", "closed", "opened")
        *_, closed, opened = await log(world, "work")
        assert closed["reason"] == "it leads through sys-net now"
        assert opened["path"] == ["sys-net"]

    in_world(tmp_path, test)


def test_a_removed_qube(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await logged(world, "added", "opened")
        del world.qubes["work"]
        world.tell("", "domain-delete", vm="work")
        await logged(world, "added", "opened", "closed")
        assert (await log(world, "work"))[-1]["reason"] == "work is gone"

    in_world(tmp_path, test)


def test_a_hop_that_never_says_that_it_closed(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await logged(world, "added", "opened")
        world.mute.add("sys-net")
        await world.call("Set+forward", "work")
        await asyncio.sleep(0.3)
        assert await kinds(world) == ["added", "opened", "removed"]
        await asyncio.sleep(DOUBT_SECONDS)
        await logged(world, "added", "opened", "removed", "unsure")
        assert "sys-net" in (await log(world, "work"))[-1]["reason"]

    in_world(tmp_path, test)


def test_refusals_of_hops_and_of_planning(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.refusing["sys-firewall"] = "bad \x1b[31m thing"
        await world.add("work", EXTERNAL)
        await logged(world, "added", "refused")
        reason = (await log(world, "work"))[-1]["reason"]
        assert reason == "sys-firewall: bad ?[31m thing"
        await world.call("Add+forward", "personal", f"force=yes\n{LINE}\n")
        await logged(world, "added", "refused", dest="personal")
        reason = (await log(world, "personal"))[-1]["reason"]
        assert reason == "work has port 443 of sys-net already"

    in_world(tmp_path, test)


def test_calls_that_are_denied(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        for dest, method, payload in (
            ("personal", "Add+forward", f"{LINE}\n"),
            ("personal", "Add+forward", "no\trule\nat all"),
            ("personal", "Set", f"{LINE}\n"),
            ("nobody", "Add+forward", f"{LINE}\n"),
            ("personal", "Remove+forward", f"{LINE}\n"),
        ):
            with pytest.raises(AdminError):
                await world.call(method, dest, payload)
        with pytest.raises(AdminError):
            await world.call("Set", "personal", "nonsense\n")
        found = await log(world, "personal")
        assert {event["event"] for event in found} == {"denied"}
        assert [event["rule"] for event in found] == [
            LINE,
            "no?rule; at all",
            LINE,
            LINE,
        ]
        assert found[0]["reason"].startswith("Add: work has port 443 of sys-net")
        assert {event["by"] for event in found} == {"dom0"}
        assert await kinds(world, "nobody") == ["denied"]

    in_world(tmp_path, test)


def test_a_copied_list_that_is_confirmed(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        copy = (tmp_path / "appvms/work/firewall.xml").read_bytes()
        (tmp_path / "appvms/copy").mkdir()
        (tmp_path / "appvms/copy/firewall.xml").write_bytes(
            copy.replace(b"443", b"444")
        )
        world.qubes["copy"] = {"ip": "10.137.0.30", "netvm": "sys-firewall"}
        await world.boot("copy")
        world.tell("", "domain-add", vm="copy")
        await logged(world, "refused", dest="copy")
        await world.call("Confirm+forward", "copy")
        await logged(world, "refused", "confirmed", "opened", dest="copy")

    in_world(tmp_path, test)


def test_a_new_run_finds_what_is_open_and_says_so(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await logged(world, "added", "opened")
        await world.stop_daemon()
        await world.start_daemon()
        await logged(world, "added", "opened", "found")
        everything = [event["event"] for event in await log(world)]
        assert everything == [
            "started",
            "added",
            "opened",
            "stopped",
            "started",
            "found",
        ]

    in_world(tmp_path, test)


def test_a_new_run_without_the_old_log_finds_it_too(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await logged(world, "added", "opened")
        await world.stop_daemon()
        (tmp_path / "qubes-forward.log").unlink()
        await world.start_daemon()
        await logged(world, "found")

    in_world(tmp_path, test)


def test_what_was_closed_while_no_daemon_ran(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        end = int(time.time()) + 2
        await world.add("work", f"{EXTERNAL} expire={end}")
        await logged(world, "added", "opened")
        await world.stop_daemon()
        await asyncio.sleep(end - time.time() + 0.1)
        await world.start_daemon()
        await logged(world, "added", "opened", "expired", "closed")
        await world.stop_daemon()
        await world.start_daemon()
        await asyncio.sleep(0.3)
        await logged(world, "added", "opened", "expired", "closed")

    in_world(tmp_path, test)


def test_without_a_log_nothing_opens_and_everything_closes(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        end = int(time.time()) + 1000
        await world.add("work", f"{EXTERNAL} expire={end}")
        await logged(world, "added", "opened")
        path = tmp_path / "qubes-forward.log"
        path.rename(tmp_path / "kept")
        path.mkdir()
        for payload in (LINE.replace("443", "444"), f"{LINE} expire={end + 1}"):
            with pytest.raises(AdminError, match="nothing is opened") as caught:
                await world.call("Add+forward", "work", payload)
            assert caught.value.kind == "AuditUnavailable"
        told = json.loads(await world.call("Status+forward", "work"))
        assert "Is a directory" in told["audit"]
        await world.add("work", f"{EXTERNAL} expire={end - 1}")
        assert f"expire={end - 1}" in await world.call("Get+forward", "work")
        await world.call("Set+forward", "work")
        await until(lambda: world.entries("sys-net") == {})
        path.rmdir()
        (tmp_path / "kept").rename(path)

        async def is_closed() -> bool:
            # Asking for the status, as anybody does who sees the problem, also
            # tries again.
            await world.call("Status+forward", "work")
            return (await kinds(world))[-1] == "closed"

        await until(is_closed)
        told = json.loads(await world.call("Status+forward", "work"))
        assert told["audit"] == ""
        assert (await kinds(world)) == [
            "added",
            "opened",
            "denied",
            "denied",
            "changed",
            "removed",
            "closed",
        ]

    in_world(tmp_path, test)


def test_two_rules_at_one_place_are_one_forward(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        twice = f"{LINE}\n{LINE} comment=again\n"
        await world.call("Set+forward", "work", twice)
        await logged(world, "added", "opened")
        await world.add("personal", EXTERNAL.replace("443", "444"))
        await logged(world, "added", "opened", dest="personal")
        await logged(world, "added", "opened")

    in_world(tmp_path, test)


def test_a_hop_that_changes_its_mind_for_ever_does_not_fill_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qubesforward.daemon.lookout.BURST", 6)

    async def test(world: World) -> None:
        await world.add("work", EXTERNAL)
        await logged(world, "added", "opened")
        hostile = await QubesDB.connect(world.db_path("sys-net"))
        (entry_id,) = world.entries("sys-net")
        for _ in range(20):
            await hostile.write(f"/qubes-forward-refused/{entry_id}", b"no")
            await asyncio.sleep(0.05)
            await hostile.rm(f"/qubes-forward-refused/{entry_id}")
            await asyncio.sleep(0.05)
        await hostile.aclose()
        found = await kinds(world)
        assert len(found) <= 8
        assert found.count("closed") > 1
        assert await kinds(world, "sys-net") == ["lost"]
        await world.call("Set+forward", "work")
        await logged(world, *found, "removed", "closed")

    in_world(tmp_path, test)


@pytest.mark.parametrize("payload", ["soon", "-1", "9" * 30, "1 2", "\xff"])
def test_a_bad_time_is_an_error(tmp_path: Path, payload: str) -> None:
    async def test(world: World) -> None:
        with pytest.raises(AdminError, match="since") as caught:
            await world.call("Log+forward", "dom0", payload)
        assert caught.value.kind == "InvalidRule"

    in_world(tmp_path, test)
