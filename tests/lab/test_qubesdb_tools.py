# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from qubesforward.lab import qubesdb_tools
from qubesforward.lab.qubesdb_server import QubesDBServer
from qubesforward.lab.qubesdb_tools import Database, run
from qubesforward.qubes.qubesdb_wire import MessageType
from tests.qubes.running import in_thread, short_directory

Captured = pytest.CaptureFixture[bytes]


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The socket of the QubesDB that the tools take for that of `sys-net`."""
    with short_directory() as directory:
        found = str(directory / "qubesdb.sys-net.sock")
        monkeypatch.setattr(qubesdb_tools, "QUBESDB_SOCKET", found)
        monkeypatch.setattr(
            qubesdb_tools,
            "qubesdb_socket",
            lambda q: str(directory / f"qubesdb.{q}.sock"),
        )

        async def start() -> QubesDBServer:
            server = QubesDBServer()
            await server.listen(found)
            return server

        with in_thread(start):
            yield found


@pytest.fixture
def database(path: str) -> Iterator[Database]:
    connection = Database(path)
    yield connection
    connection.close()


def command(program: str, path: str, *words: str) -> list[str]:
    """The command line of a tool in a process of its own."""
    script = (
        "import sys; from qubesforward.lab import qubesdb_tools as tools\n"
        "tools.QUBESDB_SOCKET, sys.argv[0] = sys.argv.pop(1), sys.argv.pop(1)\n"
        "sys.exit(tools.main())"
    )
    return [sys.executable, "-c", script, path, f"/usr/bin/{program}", *words]


def fill(database: Database, entries: dict[str, bytes]) -> None:
    for path, value in entries.items():
        database.ask(MessageType.WRITE, path, value)


ENTRIES = {"/f/a": b"1", "/f/b": b"two\n\xff\x1b", "/g": b""}


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("qubesdb-list /f/", b"a\nb\n"),
        ("qubesdb-list -f /f/", b"/f/a\n/f/b\n"),
        ("qubesdb-list -fr /f/ -d sys-net", b"/f/a\n/f/b\n"),
        ("qubesdb-list /f", b"/a\n/b\n"),
        ("qubesdb-list /none", b""),
        ("qubesdb-multiread /f/", b"a = 1\nb = two\\x0a\\xff\\x1b\n"),
        ("qubesdb-multiread -f /f/", b"/f/a = 1\n/f/b = two\\x0a\\xff\\x1b\n"),
        ("qubesdb-multiread -rf /f/", b"/f/a = 1\n/f/b = two\n\xff\x1b\n"),
        ("qubesdb-multiread /f/ /g", b"a = 1\nb = two\\x0a\\xff\\x1b\n = \n"),
        ("qubesdb-read /f/a", b"1\n"),
        ("qubesdb-read /f/a /g", b"1\n\n"),
        ("qubesdb-read -f /f/a", b"/f/a = 1\n"),
        ("qubesdb-read -r /f/b", b"two\n\xff\x1b\n"),
        ("qubesdb-read -w /f/a", b"1\n"),
        ("anything -c read /f/a", b"1\n"),
        ("qubesdb-write /new value /f/a 2", b""),
        ("qubesdb-rm /f/a /missing", b""),
    ],
)
def test_output_is_that_of_the_originals(
    database: Database, capfdbinary: Captured, line: str, output: bytes
) -> None:
    fill(database, ENTRIES)
    program, *words = line.split()
    assert run(program, words) == 0
    assert capfdbinary.readouterr() == (output, b"")


def test_what_is_written_and_removed_is_so(database: Database) -> None:
    fill(database, ENTRIES)
    assert run("qubesdb-write", ["/f/a", "new", "/h", "a b\udcff"]) == 0
    assert run("qubesdb-rm", ["/f/b"]) == 0
    found = database.ask(MessageType.MULTIREAD, "/")
    assert found == {"/f/a": b"new", "/g": b"", "/h": b"a b\xff"}
    assert run("qubesdb-rm", ["/f/", "/g"]) == 0
    assert database.ask(MessageType.LIST, "/") == {"/h": b""}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("qubesdb-read /missing", b"Failed to read /missing\n"),
        ("qubesdb-write /a", b"Invalid number of parameters\n"),
        ("qubesdb-write /a/ x", b"Failed to write /a/: "),
        ("qubesdb-write a x", b"Failed to write a: "),
        ("qubesdb-rm a", b"Failed to remove a: "),
        ("qubesdb-list /a /b", b"LIST command accept only one path\n"),
        ("qubesdb-list a", b"Failed to get entries list: "),
        ("qubesdb-multiread a", b"Failed to read a: "),
        ("qubesdb-watch a", b"Failed to setup watch on a: "),
        ("qubesdb-read -d nobody /a", b"Failed connect to nobody daemon: "),
        ("qubesdb-read -n 2 /a", b"-n valid only for watch command\nUsage: "),
        ("qubesdb-watch -n x /a", b"-n takes a number\nUsage: "),
        ("qubesdb-read -x /a", b"option -x not recognized\nUsage: "),
    ],
)
def test_failure_is_said_and_is_the_exit_status(
    database: Database, capfdbinary: Captured, line: str, error: bytes
) -> None:
    program, *words = line.split()
    assert run(program, words) == 1
    output, said = capfdbinary.readouterr()
    assert output == b""
    assert said.startswith(error)


@pytest.mark.parametrize(
    "line", ["qubesdb-read -q /missing", "qubesdb-read -q -d nobody /a"]
)
def test_quiet_failure_is_the_exit_status_only(
    database: Database, capfdbinary: Captured, line: str
) -> None:
    program, *words = line.split()
    assert run(program, words) == 1
    assert capfdbinary.readouterr() == (b"", b"")


def test_one_failure_does_not_keep_the_others_from_being_done(
    database: Database, capfdbinary: Captured
) -> None:
    fill(database, ENTRIES)
    assert run("qubesdb-read", ["/missing", "/f/a"]) == 1
    assert capfdbinary.readouterr().out == b"1\n"
    assert run("qubesdb-write", ["bad", "x", "/good", "x"]) == 1
    assert database.ask(MessageType.READ, "/good") == {"/good": b"x"}


@pytest.mark.parametrize(
    "line", ["qubesdb-read", "qubesdb-other /a", "qubesdb-read -h", "read /a -c other"]
)
def test_usage_is_shown_where_the_originals_do(
    database: Database, capfdbinary: Captured, line: str
) -> None:
    program, *words = line.split()
    assert run(program, words) == 0
    assert capfdbinary.readouterr().err.startswith(b"Usage: ")


def test_watch_prints_changes_as_they_come(database: Database, path: str) -> None:
    watch = command("qubesdb-watch", path, "-n", "-1", "/f/", "/ready")
    with subprocess.Popen(watch, stdout=subprocess.PIPE) as tool:
        assert tool.stdout is not None
        # Nothing tells from outside when the watch is there.
        while not select.select([tool.stdout], [], [], 0.02)[0]:
            database.ask(MessageType.WRITE, "/ready", b"")
        database.ask(MessageType.WRITE, "/other", b"")
        database.ask(MessageType.WRITE, "/f/a", b"")
        database.ask(MessageType.RM, "/f/")
        lines = iter(tool.stdout.readline, b"/f/\n")
        assert {*lines} == {b"/ready\n", b"/f/a\n"}
        tool.send_signal(signal.SIGINT)
        assert tool.wait(10) == 130


def test_watch_ends_after_as_many_events_as_asked_for(
    database: Database, path: str
) -> None:
    watch = command("qubesdb-watch", path, "-n", "2", "/f/")
    with subprocess.Popen(watch, stdout=subprocess.PIPE) as tool:
        while tool.poll() is None:
            database.ask(MessageType.WRITE, "/f/a", b"")
        assert tool.stdout is not None
        assert tool.stdout.read() == b"/f/a\n/f/a\n"
        assert tool.returncode == 0


def test_wait_ends_when_there_is_a_value(
    database: Database, capfdbinary: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[MessageType] = []
    original = Database.ask

    def ask(
        self: Database, kind: MessageType, path: str, value: bytes = b""
    ) -> dict[str, bytes]:
        found = original(self, kind, path, value)
        asked.append(kind)
        if asked.count(MessageType.READ) == 2 and kind is MessageType.READ:
            original(database, MessageType.WRITE, "/late", b"here")
        return found

    monkeypatch.setattr(Database, "ask", ask)
    assert run("qubesdb-read", ["-w", "/late"]) == 0
    assert capfdbinary.readouterr().out == b"here\n"
    assert asked == [MessageType.READ, MessageType.WATCH, *[MessageType.READ] * 2]


def test_reader_of_the_output_may_leave(database: Database, path: str) -> None:
    fill(database, {f"/f/{n}": b"x" * 3000 for n in range(100)})
    with subprocess.Popen(
        command("qubesdb-multiread", path, "/"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as tool:
        assert tool.stdout is not None
        assert tool.stderr is not None
        tool.stdout.close()
        assert tool.stderr.read() == b""
        assert tool.wait(10) == 1


def test_tools_are_quick_to_import() -> None:
    script = "import sys, qubesforward.lab.qubesdb_tools; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    slow = {"asyncio", "subprocess", "logging", "pathlib", "json", "argparse"}
    assert slow & set(done.stdout.split()) == set()
