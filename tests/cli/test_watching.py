# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-forward --requests --wait: a program of its own, ended by Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from qubesforward.qubes.admin import AdminClient
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.serving import serve
from tests.cli.test_qvm_forward import command

NOTHING = "No program asks for a port; waiting (Ctrl-C ends this).\n"


class Watching:
    """The running tool; `said` is all that it has printed."""

    def __init__(self, tool: subprocess.Popen[str]) -> None:
        self.tool = tool
        self.said = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.tool.stdout is not None
        for line in self.tool.stdout:
            self.said += line

    def wait_for(self, text: str) -> None:
        until(lambda: text in self.said, lambda: self.said)

    def end(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit status and what it complained of."""
        self.tool.send_signal(signal.SIGINT)
        status = self.tool.wait(10)
        self._reader.join(10)
        assert self.tool.stderr is not None
        return status, self.tool.stderr.read()


def until(holds: Callable[[], bool], why: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, why()
        time.sleep(0.01)


@contextmanager
def watching(directory: Path, *argv: str) -> Iterator[Watching]:
    words = command(directory, *argv, "--requests", "--wait")
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tool:
        try:
            yield Watching(tool)
        finally:
            tool.kill()


@pytest.mark.usefixtures("client")
class TestWatching:
    def test_shows_what_comes_and_what_is_over(
        self, daemon: FakeDaemon, tmp_path: Path
    ) -> None:
        with watching(tmp_path) as tool:
            tool.wait_for(NOTHING)
            daemon.portmap.ask("1a2b3c4d")
            tool.wait_for("yes: qvm-forward --grant 1a2b3c4d ")
            tool.wait_for("no:  qvm-forward --deny 1a2b3c4d ")
            daemon.portmap.deny("work", b"1a2b3c4d once")
            tool.wait_for("1a2b3c4d: no longer open (port 51413/udp of work).\n")
            assert tool.end() == (130, "")
            assert tool.said.count("a program of work asks") == 1

    def test_what_was_there_before_is_shown_and_more_of_it_again(
        self, daemon: FakeDaemon, tmp_path: Path
    ) -> None:
        daemon.portmap.ask("1a2b3c4d")
        with watching(tmp_path, "work") as tool:
            tool.wait_for("can reach udp port 51413 of work")
            daemon.portmap.questions.clear()
            daemon.portmap.ask("1a2b3c4d", protos={"tcp": 51413, "udp": 51413})
            tool.wait_for("can reach tcp and udp port 51413 of work")
            assert NOTHING not in tool.said

    def test_json_is_an_answer_for_each_change(
        self, daemon: FakeDaemon, tmp_path: Path
    ) -> None:
        with watching(tmp_path, "--json") as tool:
            tool.wait_for("\n}\n")
            daemon.portmap.ask("1a2b3c4d")
            until(lambda: tool.said.count("\n}\n") == 2, lambda: tool.said)
            tool.end()
        decoder, rest, found = json.JSONDecoder(), tool.said, []
        while rest:
            value, end = decoder.raw_decode(rest)
            found.append([each["id"] for each in value["requests"]])
            rest = rest[end:].lstrip()
        assert found == [[], ["1a2b3c4d"]]


def test_goes_on_when_the_daemon_has_started_again(
    daemon: FakeDaemon, tmp_path: Path
) -> None:
    with serve(daemon, tmp_path):
        daemon.portmap.ask("1a2b3c4d")
        with watching(tmp_path) as tool:
            tool.wait_for("--deny 1a2b3c4d")
            daemon.portmap.hang_up = True
            until(lambda: daemon.portmap.listeners == 0, lambda: tool.said)
            daemon.portmap.questions.clear()
            daemon.portmap.hang_up = False
            tool.wait_for("1a2b3c4d: no longer open")
            daemon.portmap.ask("2a2b3c4d")
            tool.wait_for("--deny 2a2b3c4d")
            assert tool.end() == (130, "")


def test_while_no_daemon_is_there_it_waits_for_one(
    daemon: FakeDaemon, tmp_path: Path
) -> None:
    with ExitStack() as first:
        first.enter_context(serve(daemon, tmp_path))
        with watching(tmp_path) as tool:
            tool.wait_for(NOTHING)
            first.close()
            with serve(daemon, tmp_path):
                until(lambda: daemon.portmap.listeners == 1, lambda: tool.said)
                daemon.portmap.ask("1a2b3c4d")
                tool.wait_for("--deny 1a2b3c4d")
                assert tool.end() == (130, "")


def test_a_daemon_that_never_was_there_is_an_error(
    client: AdminClient, without_daemon: tuple[Run, Run]
) -> None:
    _firewall, forward = without_daemon
    ran = forward("--requests", "--wait")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("qvm-forward: qubes-forwardd is not running")
