# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from qubesforward.errors import ForwardError
from qubesforward.lab import qvm_make
from qubesforward.lab.qvm_tools import TOOLS, main
from qubesforward.qubes.admin import AdminClient
from tests.lab.qubesd_world import World, in_world


class Shell:
    """Runs tools against the qubesd of a world, as a user in dom0 would."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.errors = ""

    async def __call__(self, line: str, expect: int = 0) -> str:
        """Run a command line; what it printed."""
        name, *words = ["" if word == "''" else word for word in line.split(" ")]

        def run() -> tuple[int, str, str]:
            out, err = io.StringIO(), io.StringIO()
            client = AdminClient(self.world.socket, self.world.forwardd)
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    status = TOOLS[name](client, words)
                except ForwardError as error:
                    print(error, file=err)
                    status = 1
                except SystemExit as error:
                    status = int(error.code or 0)
            return status, out.getvalue(), err.getvalue()

        status, printed, self.errors = await asyncio.to_thread(run)
        assert status == expect, self.errors or printed
        return printed


def in_shell(directory: Path, test: Callable[[Shell], Awaitable[None]]) -> None:
    in_world(directory, lambda world: test(Shell(world)))


def test_listing_is_a_table_with_dashes_for_nothing(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        lines = (await run("qvm-ls")).splitlines()
        assert lines[0].split() == "NAME STATE CLASS LABEL TEMPLATE NETVM".split()
        assert lines[1].split() == "dom0 Running AdminVM black - -".split()
        rows = {line.split()[0]: line.split() for line in lines}
        assert rows["work"][1:] == "Halted AppVM blue debian-12 sys-firewall".split()
        assert len({line.index(line.split()[1]) for line in lines}) == 1

    in_shell(tmp_path, test)


def test_listing_for_scripts(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        assert await run("qvm-ls --raw-list work vault") == "work\nvault\n"
        fields = "name,state,ip,netvm,gateway,ipback"
        assert await run(f"qvm-ls --raw-data --fields {fields} work sys-net") == (
            "work|Halted|10.137.0.4|sys-firewall|10.137.0.3|-\n"
            "sys-net|Halted|10.137.0.2|-|-|10.137.0.2\n"
        )
        await run("qvm-start vault")
        assert await run("qvm-ls --raw-list --running") == "dom0\nvault\n"
        await run("qvm-tags vault add mine")
        assert await run("qvm-ls --raw-list --tags mine") == "vault\n"
        await run("qvm-ls nobody", expect=1)
        assert "nobody" in run.errors

    in_shell(tmp_path, test)


def test_prefs_are_listed_read_set_and_reset(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        rows = {
            line.split()[0]: line.split()
            for line in (await run("qvm-prefs work")).splitlines()
        }
        assert rows["netvm"] == ["netvm", "D", "sys-firewall"]
        assert rows["label"] == ["label", "-", "blue"]
        assert await run("qvm-prefs work netvm") == "sys-firewall\n"
        await run("qvm-prefs work netvm sys-net")
        assert await run("qvm-prefs --get work netvm") == "sys-net\n"
        await run("qvm-prefs --default work netvm")
        assert await run("qvm-prefs work netvm") == "sys-firewall\n"
        for nothing in ("''", "none", "None"):
            await run(f"qvm-prefs work netvm {nothing}")
            assert await run("qvm-prefs work netvm") == "None\n"
            await run("qvm-prefs work -D netvm")
        await run("qvm-prefs work netvm vault", expect=1)
        assert "does not provide network" in run.errors

    in_shell(tmp_path, test)


def test_properties_of_the_computer(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        await run("qubes-prefs default_netvm sys-net")
        assert await run("qubes-prefs default_netvm") == "sys-net\n"
        assert await run("qvm-prefs work netvm") == "sys-net\n"

    in_shell(tmp_path, test)


def test_features_are_listed_read_set_and_unset(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        await run("qvm-features work portmap ask")
        await run("qvm-features work empty ''")
        assert await run("qvm-features work portmap") == "ask\n"
        assert await run("qvm-features work") == "empty\nportmap  ask\n"
        await run("qvm-features --unset work portmap")
        assert await run("qvm-features work portmap", expect=1) == ""

    in_shell(tmp_path, test)


def test_tags_are_listed_added_and_removed(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        await run("qvm-tags work add one two")
        assert await run("qvm-tags work") == "one\ntwo\n"
        await run("qvm-tags work list three", expect=1)
        await run("qvm-tags work del one")
        assert await run("qvm-tags work list") == "two\n"

    in_shell(tmp_path, test)


def test_life_of_a_qube(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        await run("qvm-create --class AppVM --label green --prop netvm=sys-net play")
        assert await run("qvm-prefs play netvm") == "sys-net\n"
        await run("qvm-start play")
        await run("qvm-start play", expect=1)
        await run("qvm-start --skip-if-running play")
        await run("qvm-pause play")
        await run("qvm-unpause play")
        await run("qvm-shutdown --wait play")
        assert await run.world.state("play") == "Halted"
        await run("qvm-shutdown --wait play")
        await run("qvm-start play")
        await run("qvm-kill play")
        await run("qvm-remove -f play")
        await run("qvm-prefs play", expect=1)

    in_shell(tmp_path, test)


def test_shutdown_of_a_chain_takes_clients_first(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        await run("qvm-start work")
        await run("qvm-shutdown sys-net sys-firewall", expect=1)
        assert "sys-firewall" in run.errors
        await run("qvm-shutdown --wait --all")
        assert await run("qvm-ls --raw-list --running") == "dom0\n"

    in_shell(tmp_path, test)


def test_shutdown_that_takes_too_long_becomes_a_kill(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        await run("qvm-start vault")
        run.world.machine.seconds["shutdown vault"] = 1
        killing = run("qvm-shutdown --wait --timeout 0.2 vault", expect=1)
        task = asyncio.create_task(killing)
        await asyncio.sleep(0.6)
        assert "kill vault" in run.world.machine.log
        run.world.machine.numbers["vault"] = 99  # for the shutdown's own end
        await task
        assert "killed" in run.errors

    in_shell(tmp_path, test)


def test_disposable_by_name(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        await run("qvm-create --disp sys-web")
        assert await run("qvm-prefs sys-web template") == "default-dvm\n"
        assert await run("qvm-prefs sys-web label") == "red\n"

    in_shell(tmp_path, test)


def test_property_that_cannot_be_set_is_said_and_the_qube_is_there(
    tmp_path: Path,
) -> None:
    async def test(run: Shell) -> None:
        await run("qvm-create --label green --prop ip=nonsense play", expect=1)
        assert "ip=nonsense" in run.errors
        assert "play\n" in await run("qvm-ls --raw-list")

    in_shell(tmp_path, test)


def test_wrong_usage_is_status_two(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        await run("qvm-start", expect=2)
        await run("qvm-create play", expect=2)
        await run("qvm-prefs --default work", expect=2)

    in_shell(tmp_path, test)


async def _serve_firewall(world: World, calls: list[bytes]) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = await reader.read(-1)
        calls.append(call)
        writer.write(b"0\0action=drop\n" if b"firewall.Get" in call else b"0\0")
        writer.close()

    return await asyncio.start_unix_server(serve, world.forwardd)


def test_clone_copies_settings_and_outbound_rules(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        calls: list[bytes] = []
        await run("qvm-prefs work netvm sys-net")
        await run("qvm-prefs work ip 10.137.9.9")
        await run("qvm-features work portmap ask")
        await run("qvm-tags work add mine")
        async with await _serve_firewall(run.world, calls):
            await run("qvm-clone work copy")
        assert await run("qvm-prefs copy netvm") == "sys-net\n"
        assert await run("qvm-prefs copy ip") != "10.137.9.9\n"
        assert await run("qvm-features copy portmap") == "ask\n"
        assert "mine\n" in await run("qvm-tags copy")
        assert await run("qvm-prefs copy uuid") != await run("qvm-prefs work uuid")
        assert calls == [
            b"admin.vm.firewall.Get dom0 name work\0",
            b"admin.vm.firewall.Set dom0 name copy\0action=drop\n",
        ]

    in_shell(tmp_path, test)


def test_clone_with_files_is_like_a_restored_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(run: Shell) -> None:
        qubes = run.world.paths.qubes
        monkeypatch.setattr(qvm_make, "QUBES_DIR", qubes)
        (qubes / "appvms/work/firewall.xml").write_text("<firewall/>")
        calls: list[bytes] = []
        async with await _serve_firewall(run.world, calls):
            await run("qvm-clone --with-files work copy")
        assert (qubes / "appvms/copy/firewall.xml").read_text() == "<firewall/>"
        assert calls[-2:] == [
            b"admin.vm.firewall.Reload dom0 name copy\0",
            b"admin.vm.firewall.Reload+forward dom0 name copy\0",
        ]

    in_shell(tmp_path, test)


def test_clone_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async def test(run: Shell) -> None:
        await run("qvm-clone work copy", expect=1)
        assert "qubes-forwardd" in run.errors
        assert "copy" not in await run("qvm-ls --raw-list")

    in_shell(tmp_path, test)


def test_tool_is_told_by_its_name_or_the_first_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["/usr/bin/what"]) == 2
    assert "qvm-ls" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["/usr/bin/qvm-prefs", "--help"])
    assert "qvm-prefs" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["qvm_tools.py", "qvm-tags", "--help"])
    assert "qvm-tags" in capsys.readouterr().out
