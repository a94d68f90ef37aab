# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent with CAP_NET_ADMIN and nothing else, as its systemd unit runs it.

Some tests with real packets are run again. Where the tests run as root the agent is
nobody; elsewhere it is root of a user namespace that has lost all other capabilities.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pytest

from tests.agent import forward_world
from tests.agent import test_forward_packets as packets
from tests.agent.forward_world import World, make_world
from tests.agent.outbound_world import Space

NOBODY = 65534
CAP_NET_ADMIN = 1 << 12

_CAPABILITIES = "-all,+net_admin"
_DROPPED = [
    *("setpriv", "--no-new-privs", f"--bounding-set={_CAPABILITIES}"),
    *(f"--inh-caps={_CAPABILITIES}", f"--ambient-caps={_CAPABILITIES}"),
]
_AS_NOBODY = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]

# Refuses memory that is both writable and executable, as MemoryDenyWriteExecute does
# (PR_SET_MDWE, Linux 6.3); it stays over the exec.
_START = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
"""

AGAIN = [
    packets.test_the_target_sees_the_clients_own_address,
    packets.test_udp_and_ipv6_go_the_same_ways,
    packets.test_external_is_not_for_neighbours_and_local_not_for_the_outside,
    packets.test_an_end_stops_a_running_transfer_at_its_second,
    packets.test_what_was_closed_while_the_agent_was_dead_is_closed_at_its_start,
    packets.test_the_report_counts_each_forward_for_itself,
    packets.test_the_target_reports_what_came_in_and_whether_anyone_listens,
    packets.test_a_flushed_ruleset_is_put_right_within_a_second,
    packets.test_the_outside_addresses_are_kept_current,
    packets.test_answers_leave_past_the_tunnel_by_the_way_the_question_came,
]

# The fixture that opens the target's doors, on the world of this module.
world = packets.world


class _Host:
    """What a space is made from that has no parent."""

    entered: tuple[str, ...] = ()


class _RootSpace(Space):
    """A network namespace that is root's own, so that others can be somebody in it."""

    def __init__(self, stack: ExitStack, parent: Space | None = None) -> None:
        super().__init__(stack, parent or cast(Space, _Host()))

    @property
    def entered(self) -> list[str]:
        return ["nsenter", "-n", "-t", str(self.pid), "--"]


_start_with_all = forward_world.Agent.start


def _start_dropped(agent: forward_world.Agent) -> None:
    module = "qubesforward.agent.main"
    started = [sys.executable, "-c", _START, module, *agent.options]
    agent.process = forward_world._start(
        agent._stack, [*agent.space.entered, *_dropped(), *started]
    )


def _dropped() -> list[str]:
    return [*_DROPPED, *(_AS_NOBODY if os.geteuid() == 0 else [])]


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    can_import = [*_dropped(), sys.executable, "-c", "import qubesforward.agent.main"]
    if os.geteuid() == 0 and subprocess.run(can_import, cwd="/").returncode != 0:
        pytest.skip("nobody else may read this installation")
    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        patched.setattr(forward_world.Agent, "start", _start_dropped)
        if os.geteuid() == 0:
            patched.setattr(forward_world, "Space", _RootSpace)
        with make_world(Path(folder)) as made:
            yield made


@pytest.mark.parametrize("test", AGAIN, ids=lambda test: test.__name__)
def test_it_does_its_work(world: World, test: Callable[[World], None]) -> None:
    test(world)


def test_it_has_nothing_else(world: World) -> None:
    for agent in (world.hop_agent, world.target_agent):
        status = Path(f"/proc/{agent.process.pid}/status").read_text()
        words = dict(line.split(":\t", 1) for line in status.splitlines())
        for capabilities in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
            assert int(words[capabilities], 16) == CAP_NET_ADMIN
        assert words["NoNewPrivs"] == "1"
        if os.geteuid() == 0:
            assert words["Uid"].split() == [str(NOBODY)] * 4
            assert words["Groups"].strip() == ""


def test_without_it_the_agent_ends_and_acknowledges_nothing() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        space = Space(stack)
        nothing = [
            "setpriv",
            "--no-new-privs",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ]
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setattr(Space, "entered", [*space.entered, *nothing])
        patched.setattr(forward_world.Agent, "start", _start_with_all)
        agent = forward_world.Agent(stack, space, folder)
        entry = "in=self proto=tcp ports=80-80 src=0.0.0.0/0"
        agent.order({"1000000a": entry}, settle=False)
        assert agent.process.wait(10) != 0
        assert agent.read("/qubes-forward-handled") == ""
