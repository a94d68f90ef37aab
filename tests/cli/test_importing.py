# SPDX-License-Identifier: GPL-2.0-or-later
"""Export and import, against the real daemon: nothing opens, nothing gets lost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from qubesforward.cli import qvm_forward
from qubesforward.cli.rules_file import LARGEST_FILE
from qubesforward.qubes.admin import AdminClient
from tests.cli.conftest import Ran, make_run
from tests.daemon.world import World, in_world, until

HTTPS = "forwardtype=external proto=tcp srcports=443-443"
DNS = "forwardtype=internal proto=udp src4=10.137.0.0/16 srcports=53-53"
WEB = "forwardtype=external proto=tcp srcports=80-80 dstports=8080-8080 comment=a b"

RunTool = Callable[..., Awaitable[Ran]]
Test = Callable[[World, RunTool], Awaitable[None]]


def with_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str], test: Test) -> None:
    """Run a test with ``qvm-forward`` beside a world's daemon."""
    root = tmp_path / "dom0"
    root.mkdir()
    client = AdminClient(f"{root}/qubesd.sock", f"{root}/forwardd.sock", timeout=10)
    run = make_run(lambda argv: qvm_forward.main(argv, client), capsys)

    async def tool(*argv: str) -> Ran:
        return await asyncio.to_thread(run, *argv)

    in_world(root, lambda world: test(world, tool))


def rules_of(*rules: str) -> str:
    return "".join(f"action=forward {rule}\n" for rule in rules)


def file_of(path: Path, **sections: str) -> str:
    lines = "".join(f"[{name}]\n{text}" for name, text in sections.items())
    file = path / "rules.txt"
    file.write_text(f"qubes-forward-rules 1\n{lines}end\n")
    return str(file)


def test_what_was_exported_comes_back_and_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "all.txt")

    async def test(world: World, tool: RunTool) -> None:
        await world.add("work", WEB, HTTPS)
        await world.add("personal", DNS)
        assert (await tool("--export", file)).status == 0
        assert Path(file).stat().st_mode & 0o077 == 0
        for name in ("work", "personal"):
            await world.call("Set+forward", name)
        ran = await tool("--import", file)
        assert ran.status == 0, ran.err
        assert "qvm-firewall work confirm" in ran.out
        assert await world.call("Get+forward", "work") == rules_of(WEB, HTTPS)
        assert await world.states("work") == ["unconfirmed"] * 2
        assert await world.states("personal") == ["unconfirmed"]
        assert world.entries("sys-net") == {}
        assert world.entries("sys-firewall") == {}
        await world.call("Confirm+forward", "work")

        async def is_active() -> bool:
            return await world.states("work") == ["active"] * 2

        await until(is_active)
        assert await world.states("personal") == ["unconfirmed"]

    with_tool(tmp_path, capsys, test)


def test_importing_twice_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(tmp_path, work=rules_of(HTTPS, WEB))

    async def test(world: World, tool: RunTool) -> None:
        await tool("--import", file)
        stored = (world.root / "appvms/work/firewall.xml").read_bytes()
        ran = await tool("--import", file)
        assert ran.status == 0
        assert "nothing to import" in ran.out
        assert (world.root / "appvms/work/firewall.xml").read_bytes() == stored

    with_tool(tmp_path, capsys, test)


def test_what_is_there_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(tmp_path, work=rules_of(f"{HTTPS} comment=theirs", WEB))

    async def test(world: World, tool: RunTool) -> None:
        await world.add("work", f"{HTTPS} comment=mine")
        assert "1 there already" in (await tool("--import", file)).out
        told = await world.forwards("work")
        assert {(f["rule"][-4:], f["state"] != "unconfirmed") for f in told} == {
            ("mine", True),
            ("=a b", False),
        }

    with_tool(tmp_path, capsys, test)


def test_a_list_set_with_what_it_had_confirmed_an_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Set is what programs do that read a list, change it and write it back."""
    file = file_of(tmp_path, work=rules_of(HTTPS))

    async def test(world: World, tool: RunTool) -> None:
        await tool("--import", file)
        await world.call("Set+forward", "work", rules_of(HTTPS, WEB))
        states = {f["rule"]: f["state"] for f in await world.forwards("work")}
        assert states[f"action=forward {HTTPS}"] == "unconfirmed"
        assert states[f"action=forward {WEB}"] != "unconfirmed"

    with_tool(tmp_path, capsys, test)


def test_waits_over_a_restart_of_the_daemon_and_is_confirmed_by_being_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(tmp_path, work=rules_of(HTTPS, WEB))

    async def test(world: World, tool: RunTool) -> None:
        await tool("--import", file)
        await world.stop_daemon()
        await world.start_daemon()

        async def is_told() -> bool:
            return await world.states("work") == ["unconfirmed"] * 2

        await until(is_told)
        await world.add("work", HTTPS)
        assert sorted(await world.states("work"))[1] == "unconfirmed"
        assert sorted(await world.states("work"))[0] in ("active", "pending")

    with_tool(tmp_path, capsys, test)


def test_an_imported_rule_takes_nobodys_port_not_even_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(tmp_path, work=rules_of(HTTPS))

    async def test(world: World, tool: RunTool) -> None:
        told = await tool("--import", file, "--dry-run")
        assert "conflict" not in told.out
        await tool("--import", file)
        await world.add("personal", HTTPS)
        assert await world.states("personal") != ["conflict"]
        await world.call("Confirm+forward", "work")
        assert await world.states("personal") != ["conflict"]
        assert await world.states("work") == ["conflict"]

    with_tool(tmp_path, capsys, test)


def test_a_dry_run_says_what_would_come_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(tmp_path, work=rules_of(HTTPS), personal=rules_of(DNS))

    async def test(world: World, tool: RunTool) -> None:
        await world.add("personal", HTTPS)
        ran = await tool("--import", file, "--dry-run")
        assert ran.status == 0
        assert "work: 1 new forward" in ran.out
        assert "a conflict:" in ran.out
        assert "Nothing is changed." in ran.out
        assert await world.call("Get+forward", "work") == ""

    with_tool(tmp_path, capsys, test)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: not 'qubes-forward-rules 1'"),
        ("qubes-forward-rules 2\nend\n", "line 1"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><firewall/>', "line 1"),
        ("qubes-forward-rules 1\n[work]\n", "a part of the file is missing"),
        (f"qubes-forward-rules 1\n[work]\n{rules_of(WEB)}", "missing"),
        (f"qubes-forward-rules 1\n{rules_of(WEB)}end\n", "line 2: a rule before any"),
        (
            f"qubes-forward-rules 1\n[work]\naction=forward {HTTPS} confirmed=yes\nend",
            "line 3",
        ),
        ("qubes-forward-rules 1\nconfirmed=yes\n[work]\nend\n", "line 2"),
        ("qubes-forward-rules 1\n[work]\naction=accept\nend\n", "only forwards"),
        ("qubes-forward-rules 1\n[dom0]\nend\n", "line 2: [dom0]"),
        ("qubes-forward-rules 1\n[../x]\nend\n", "line 2"),
        ("qubes-forward-rules 1\n[work]\n[work]\nend\n", "line 3: [work]: given"),
        (
            f"qubes-forward-rules 1\n[work]\n{rules_of(WEB, WEB)}end\n",
            "line 4: the qube has this forward already",
        ),
        ("qubes-forward-rules 1\nend\n[work]\nend\n", "line 3: more text"),
        ("qubes-forward-rules 1\n[work]\n\u00e9\nend\n", "line 3: not ASCII"),
        (f"qubes-forward-rules 1\n{'#' * LARGEST_FILE}\nend\n", "more than"),
        (f"qubes-forward-rules 1\n[work]\n{rules_of(WEB)}[gone]\nend\n", "no gone on"),
        (
            f"qubes-forward-rules 1\n[work]\n{rules_of(WEB)}"
            "action=forward forwardtype=external srcports=80443\nend\n",
            "line 4: srcports=80443: ports are 1-65535",
        ),
    ],
)
def test_bad_files_are_refused_as_a_whole_with_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "rules.txt"
    file.write_text(text)

    async def test(world: World, tool: RunTool) -> None:
        ran = await tool("--import", str(file))
        assert ran.status == 1
        assert said in re.sub(r"\s+", " ", ran.err)
        assert "nothing is imported" in ran.err
        assert len(ran.err.splitlines()) == 1
        assert await world.call("Get+forward", "work") == ""

    with_tool(tmp_path, capsys, test)


def test_a_refusal_at_the_last_qube_takes_back_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(tmp_path, work=rules_of(HTTPS, WEB), personal=rules_of(DNS))

    async def test(world: World, tool: RunTool) -> None:
        await world.add("work", HTTPS)
        # A directory in the file's place: its list can be read, and not stored.
        (world.root / "appvms/personal").write_text("")
        ran = await tool("--import", file)
        assert ran.status == 1
        assert "personal: " in ran.err
        assert "nothing is imported" in ran.err
        assert await world.call("Get+forward", "work") == rules_of(HTTPS)

    with_tool(tmp_path, capsys, test)


def test_many_rules_of_one_qube_need_more_than_one_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = rules_of(
        *(
            f"forwardtype=external proto=tcp srcports={port}-{port} comment={'x' * 200}"
            for port in range(1000, 1500)
        )
    )
    file = file_of(tmp_path, work=many)

    async def test(world: World, tool: RunTool) -> None:
        assert (await tool("--import", file, "--quiet")).status == 0
        assert await world.call("Get+forward", "work") == many
        ran = await tool("work", "--export")
        assert ran.out.count("action=forward") == 500

    with_tool(tmp_path, capsys, test)


def test_one_qube_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = file_of(tmp_path, gone=rules_of(HTTPS), work=rules_of(WEB))

    async def test(world: World, tool: RunTool) -> None:
        assert (await tool("work", "--import", file)).status == 0
        assert await world.states("work") == ["unconfirmed"]
        ran = await tool("personal", "--import", file)
        assert ran.status == 1
        assert "has no rules of personal" in ran.err

    with_tool(tmp_path, capsys, test)


def test_an_import_is_logged_as_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(tmp_path, work=rules_of(WEB))

    async def test(world: World, tool: RunTool) -> None:
        await tool("--import", file)
        await world.call("Confirm+forward", "work")
        told = await world.call("Log+forward", "work")
        assert "imported; waits for confirmation" in told
        assert '"confirmed"' in told

    with_tool(tmp_path, capsys, test)


def test_what_cannot_be_read_is_said_to_be_missing_in_an_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test(world: World, tool: RunTool) -> None:
        await world.add("work", WEB)
        file = world.root / "appvms/personal/firewall.xml"
        file.parent.mkdir()
        file.write_text("no rules")
        await world.call("Reload", "personal")
        ran = await tool("--export")
        assert ran.status == 1
        assert "not exported: personal: " in ran.err
        assert f"[work]\n{rules_of(WEB)}" in ran.out

    with_tool(tmp_path, capsys, test)


def test_an_export_that_fails_leaves_the_old_file(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = tmp_path / "old.txt"
    old.write_text("precious")

    def fail(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    async def test(world: World, tool: RunTool) -> None:
        await world.add("work", WEB)
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", fail)
            ran = await tool("--export", str(old))
        assert "No space left on device" in ran.err
        assert old.read_text() == "precious"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["dom0", "old.txt"]

    with_tool(tmp_path, capsys, test)
