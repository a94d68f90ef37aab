# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qubesforward.lab.qubesdb_tools import Database
from qubesforward.qubes.qubesdb_wire import MessageType
from tests.qubes.running import short_directory


@contextmanager
def daemon(directory: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "qubesforward.lab.qubesdb_daemon", "work"),
            *("--dom0-socket", str(directory / "dom0"), *more),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        yield process
        process.kill()


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as found:
        yield found


def test_daemon_is_ready_when_it_says_so_and_leaves_nothing(directory: Path) -> None:
    with daemon(directory, "--qube-socket", str(directory / "qube")) as process:
        assert process.stdout is not None
        # All of the output: it is closed, so whoever waits for its end goes on.
        assert process.stdout.read() == b"ready\n"
        dom0, qube = (
            Database(str(directory / "dom0")),
            Database(str(directory / "qube")),
        )
        dom0.ask(MessageType.WRITE, "/name", b"work")
        assert qube.ask(MessageType.READ, "/name") == {"/name": b"work"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert list(directory.iterdir()) == []
        dom0.close()
        qube.close()


def test_daemon_of_dom_zero_has_one_socket(directory: Path) -> None:
    with daemon(directory) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"ready\n"
        assert [path.name for path in directory.iterdir()] == ["dom0"]


def test_daemon_that_was_killed_can_be_started_again(directory: Path) -> None:
    for _ in range(2):
        with daemon(directory) as process:
            assert process.stdout is not None
            assert process.stdout.read() == b"ready\n"
            process.kill()


def test_second_daemon_says_that_there_is_one(directory: Path) -> None:
    with daemon(directory) as first:
        assert first.stdout is not None
        first.stdout.read()
        with daemon(directory) as second:
            _out, error = second.communicate(timeout=10)
            assert second.returncode == 1
            assert b"another process" in error
        Database(str(directory / "dom0")).close()
