# SPDX-License-Identifier: GPL-2.0-or-later
"""A program of a qube asks for a port, and the user answers it at a terminal."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.forwards import dom0, forwards_of
from tests.lab.routers import PUBLIC, router_topology
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.standing import eventually
from tests.lab.traffic import Answer, probe, serving

EDGE, INTERNET = f"{PUBLIC}1", f"{PUBLIC}2"
PORT = 7777
MAPPED = f"Mapped public port {PORT} protocol TCP to local port {PORT}"


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab behind a router that opens ports. Every test has a qube of its own.

    Who was told no, or had a port closed, is not asked about for a minute.
    """
    file = tmp_path_factory.mktemp("requests") / "topology.toml"
    file.write_text(router_topology(running=("sys-net", "sys-firewall", "work")))
    with running_lab(file) as lab:
        yield lab


def let_ask(lab: RunningLab, qube: str) -> None:
    dom0(lab, "qvm-forward", qube, "--portmap", "ask")
    eventually(lambda: is_served(lab, qube), True)


def is_served(lab: RunningLab, qube: str) -> bool:
    """Whether a gateway answers the qube; it is asked for its address only."""
    return lab.exec(qube, ["natpmpc"]).returncode == 0


@contextmanager
def natpmpc(lab: RunningLab, qube: str) -> Iterator[subprocess.Popen[str]]:
    """Have natpmpc ask for a port, as it does: again and again, for some minutes."""
    words = ["natpmpc", "-a", str(PORT), str(PORT), "tcp", "600"]
    with lab.spawn(qube, words) as process:
        try:
            eventually(lambda: len(requests(lab)), 1)
            yield process
        finally:
            process.terminate()


def requests(lab: RunningLab) -> list[dict[str, Any]]:
    told = json.loads(dom0(lab, "qvm-forward", "--requests", "--json").stdout)
    return list(told["requests"])


def reach(lab: RunningLab) -> Answer | None:
    return probe(lab, "internet", EDGE, PORT)


def logged(lab: RunningLab, qube: str) -> list[str]:
    _header, *lines = dom0(lab, "qvm-forward", qube, "--log").stdout.splitlines()
    return [line.split()[2] for line in lines]


def extents(lab: RunningLab) -> list[tuple[str, str, str]]:
    return [(f["origin"], f["extent"], f["edge"]) for f in forwards_of(lab, "work")]


@pytest.mark.lab
class TestAnsweringAtATerminal:
    def test_yes_opens_it_up_to_the_internet_until_it_is_closed(
        self, asking: RunningLab
    ) -> None:
        let_ask(asking, "work")
        edge = f"{EDGE}:{PORT}"
        with serving(asking, "work", [PORT]), natpmpc(asking, "work") as program:
            assert reach(asking) is None
            said = dom0(asking, "qvm-forward", "--requests").stdout
            assert "a program of work asks by NAT-PMP that the LAN, and the" in said
            assert f"can reach tcp port {PORT} of work, as port {PORT} if" in said

            (request,) = requests(asking)
            said = dom0(asking, "qvm-forward", "--grant", request["id"][:4]).stdout
            assert f"can now reach tcp port {PORT} of work" in said
            assert f"qvm-forward work --close {PORT}." in said
            assert MAPPED in program.communicate(timeout=30)[0]
            eventually(lambda: extents(asking), [("portmap", "internet", edge)])
            assert reach(asking) == Answer("work", INTERNET, PORT)

            said = dom0(asking, "qvm-forward", "work").stdout
            assert f"It reaches the internet, as {edge}." in said
            assert "A program of work asked for it by NAT-PMP; it ends then" in said
            assert f"internet: {edge}" in dom0(asking, "qvm-forward").stdout

            said = dom0(asking, "qvm-forward", "work", "--close", f"{PORT}/tcp").stdout
            assert f"Port {PORT}/tcp no longer leads to work." in said
            assert "qvm-forward work --portmap off" in said
            assert reach(asking) is None
            assert forwards_of(asking, "work") == []

        told = ["requested", "granted", "granted", "opened", "removed", "closed"]
        eventually(lambda: logged(asking, "work"), told)

    def test_no_for_good_ends_all_questions(self, asking: RunningLab) -> None:
        dom0(asking, "qvm-start", "personal")
        let_ask(asking, "personal")
        with natpmpc(asking, "personal") as program:
            (request,) = requests(asking)
            dom0(asking, "qvm-forward", "--deny", request["id"], "--for-good")
            assert "Mapped" not in program.communicate(timeout=30)[0]
        assert dom0(asking, "qvm-features", "personal", "portmap").stdout.strip() == ""
        eventually(lambda: is_served(asking, "personal"), False)
        assert requests(asking) == []

    def test_waiting_shows_what_comes(self, asking: RunningLab) -> None:
        dom0(asking, "qvm-start", "untrusted")
        let_ask(asking, "untrusted")
        with asking.spawn("dom0", ["qvm-forward", "--requests", "--wait"]) as watch:
            try:
                with natpmpc(asking, "untrusted"):
                    assert watch.stdout is not None
                    heard = ""
                    while "no:  qvm-forward --deny" not in heard:
                        line = watch.stdout.readline()
                        assert line, heard
                        heard += line
                    assert "a program of untrusted asks by NAT-PMP" in heard
            finally:
                watch.terminate()
