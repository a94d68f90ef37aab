# SPDX-License-Identifier: GPL-2.0-or-later
"""What is left of the agent in a kernel after ``--withdraw``, which is nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from qubesforward.agent.withdrawal import withdraw
from qubesforward.nft.refusals import Surroundings
from tests.agent.forward_world import FILTER, HOP, LAN, World, make_world
from tests.agent.kernel_rig import QUBES, Rig, list_nft, nft, our_rules
from tests.agent.namespaces import isolated
from tests.nft.entries import entry

A, S = "1000000a", "10000001"
ENTRY = (
    "in=external proto=tcp ports=5000-5000 src=0.0.0.0/0 to=10.137.0.5"
    " toports=5000-5000"
)
DOOR = "in=self proto=tcp ports=5000-5000 src=0.0.0.0/0"
COMMAND = [sys.executable, "-m", "qubesforward.agent.main", "--withdraw"]


def tables() -> set[str]:
    return {item["table"]["name"] for item in list_nft("tables") if "table" in item}


@isolated
def test_rules_of_others_stay() -> None:
    nft(QUBES)
    nft("add rule ip qubes custom-input tcp dport 22 accept comment mine")
    rig = Rig()
    rig.applier.converge({A: entry("ports=443")}, Surroundings(False))
    assert our_rules("ip", "custom-input") == ["qubes-forward", "mine"]
    withdraw()
    assert tables() == {"qubes"}
    assert our_rules("ip", "custom-input") == ["mine"]
    assert our_rules("ip6", "custom-forward") == []


@isolated
def test_where_nothing_is_nothing_is_made() -> None:
    withdraw()
    withdraw()
    assert tables() == set()


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("world")) as one:
        yield one


def test_ports_are_shut_and_the_rules_are_those_of_qubes(world: World) -> None:
    world.target_agent.order({S: DOOR})
    world.hop_agent.order({A: ENTRY})
    assert world.dial("tcp", HOP, 5000) == LAN
    before = world.hop.run("nft list ruleset")
    assert "qubes-forward" in before
    for agent in (world.hop_agent, world.target_agent):
        agent.kill()
        subprocess.run([*agent.space.entered, *COMMAND], check=True)
        left = agent.space.run("nft list tables")
        assert "inet qubes-forward" not in left
        agent.space.run("nft delete table ip qubes-firewall 2>/dev/null || true")
        agent.space.run("nft delete table ip6 qubes-firewall 2>/dev/null || true")
        found = agent.space.run("nft list ruleset")
        agent.space.nft("flush ruleset\n" + FILTER)
        assert found == agent.space.run("nft list ruleset")
    assert world.dial("tcp", HOP, 5000) in ("TimeoutError", "ConnectionRefusedError")


def test_connections_end_with_what_let_them_in(world: World) -> None:
    world.target_agent.order({S: DOOR})
    world.hop_agent.order({A: ENTRY})
    assert world.dial("tcp", HOP, 5000) == LAN
    assert world.dial("flow") == "flows"
    world.hop_agent.kill()
    subprocess.run([*world.hop.entered, *COMMAND], check=True)
    assert world.dial("flow") != "flows"


def test_without_the_right_it_is_said_and_no_traceback() -> None:
    # As nobody, or in a container that may not look at rules.
    done = subprocess.run(
        ["unshare", "-U", "--", *COMMAND], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("qubes-forward-agent: ")
    assert "Traceback" not in done.stderr
