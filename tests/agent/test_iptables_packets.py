# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets of `test_forward_packets` once more, with iptables in hop and target."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.agent import test_forward_packets as packets
from tests.agent.forward_world import HOP, LAN, World, make_world, wait_until
from tests.agent.iptables_world import KINDS, iptables_filter, load_base, run
from tests.agent.test_forward_packets import A, forward

CORE = [
    packets.test_the_target_sees_the_clients_own_address,
    packets.test_udp_and_ipv6_go_the_same_ways,
    packets.test_a_source_outside_its_network_gets_nothing,
    packets.test_external_is_not_for_neighbours_and_local_not_for_the_outside,
    packets.test_a_target_lets_in_what_its_doors_say_and_cuts_what_they_say_no_more,
    packets.test_an_end_holds_with_the_agent_dead,
    packets.test_an_unchanged_forward_survives_a_kill_and_a_restart,
    packets.test_the_report_counts_each_forward_for_itself,
]
"""What is run always; the rest with LAB_BACKEND=iptables (``make test-iptables``)."""

ALL = [
    test
    for name, test in vars(packets).items()
    if name.startswith("test_")
    and not hasattr(test, "pytestmark")
    # Its damage is done with nft.
    and test is not packets.test_a_flushed_ruleset_is_put_right_within_a_second
]

IS_WHOLE = os.environ.get("LAB_BACKEND") == "iptables"

# The fixture that opens the target's doors, on the world of this module.
world = packets.world


@pytest.fixture(scope="module", params=KINDS if IS_WHOLE else KINDS[:1])
def shared_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    programs = tmp_path_factory.mktemp("bin")
    packet_filter = iptables_filter(programs, request.param)
    with make_world(tmp_path_factory.mktemp("world"), packet_filter) as made:
        yield made


@pytest.mark.parametrize(
    "test", ALL if IS_WHOLE else CORE, ids=lambda test: test.__name__
)
def test_iptables(world: World, test: Callable[[World], None]) -> None:
    test(world)


@pytest.mark.parametrize("kind", ["tcp", "udp-stream"])
def test_a_closed_connection_is_not_taken_up_again(world: World, kind: str) -> None:
    packets.test_a_closed_connection_is_not_taken_up_again_by_its_target(world, kind)


def test_what_others_do_to_the_tables_is_put_right_within_a_second(
    world: World,
) -> None:
    environment = dict(world.hop_agent._filter.environment)
    world.hop_agent.order({A: forward()})
    for damage in (
        "iptables -F QBS-FWD-PASSING",
        "iptables -t nat -F PREROUTING",
        "iptables -D FORWARD 2; iptables -D FORWARD 1",
        "iptables -I QBS-FWD-FORWARD -j DROP",
        "",
    ):
        if damage:
            run(world.hop, environment, damage)
        else:
            load_base(world.hop, environment)
        started = time.monotonic()
        assert wait_until(lambda: world.dial("tcp", HOP, 5000) == LAN), damage
        assert time.monotonic() - started < 1.7
    world.hop_agent.order({A: None})


def test_a_range_keeps_its_offset(world: World) -> None:
    world.hop_agent.order({A: forward("ports=1000-5000 toports=4443-8443")})
    assert world.dial("tcp", HOP, 5000) == LAN
    assert world.dial("tcp", HOP, 1557) == LAN
    assert world.dial("tcp", HOP, 1556) in packets.NOBODY
    world.hop_agent.order({A: None})


def test_withdrawn_nothing_is_left_and_outbound_rules_stay(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    packet_filter = iptables_filter(tmp_path_factory.mktemp("bin"), KINDS[0])
    environment = dict(packet_filter.environment)
    saves = ("iptables-save", "ip6tables-save")
    with make_world(tmp_path_factory.mktemp("world"), packet_filter) as world:
        hop = world.hop_agent
        world.target_agent.order(
            {"10000001": "in=self proto=tcp ports=5000-5000 src=0.0.0.0/0"}
        )
        hop.order({A: forward()})
        assert world.dial("tcp", HOP, 5000) == LAN
        assert "QBS-FWD-PASSING" in run(hop.space, environment, *saves)
        hop.kill()
        variables = [f"{name}={value}" for name, value in environment.items()]
        module = ["-m", "qubesforward.agent.main", "--backend", "iptables"]
        command = [sys.executable, *module, "--withdraw"]
        subprocess.run([*hop.space.entered, "env", *variables, *command], check=True)
        left = run(hop.space, environment, *saves)
        chains = set(re.findall(r"QBS-FWD-\w+", left))
        assert chains == {"QBS-FWD-OUTBOUND", "QBS-FWD-ABOVE", "QBS-FWD-BELOW"}
        assert world.dial("tcp", HOP, 5000) in (
            "TimeoutError",
            "ConnectionRefusedError",
        )
