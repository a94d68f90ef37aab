# SPDX-License-Identifier: GPL-2.0-or-later
"""Real packets through a hop and into a target, with real agents in both."""

import sys
import time
from collections.abc import Iterator

import pytest

from qubesforward.nft.forwards import mark_of
from tests.agent.forward_world import (
    FILTER,
    GATEWAY,
    HOP,
    HOP6,
    LAN,
    LAN6,
    NEIGHBOUR,
    TARGET,
    TARGET6,
    World,
    make_world,
    wait_until,
)

ANY = "src=0.0.0.0/0"
# The last is EHOSTUNREACH: what Qubes itself tells some of those it rejects.
NOBODY = ("TimeoutError", "ConnectionRefusedError", "OSError")
A, B, S, T, U = "1000000a", "1000000b", "10000001", "10000002", "10000003"


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The world with its target's doors open, and no forwards yet."""
    doors = {
        one: f"in=self proto={proto} ports=5000-8443 src={src}"
        for one, proto, src in (
            (S, "tcp", "0.0.0.0/0"),
            (T, "udp", "0.0.0.0/0"),
            (U, "tcp", "::/0"),
        )
    }
    shared_world.target_agent.order(doors)
    yield shared_world
    entries = shared_world.hop_agent.read("/qubes-forward/")
    assert entries.count("in=") < 3, "a test left its forwards behind"
    for agent in (shared_world.hop_agent, shared_world.target_agent):
        agent.order(dict.fromkeys((A, B, S, T, U)))


def forward(more: str = "", src: str = ANY, to: str = TARGET) -> str:
    words = {"in": "external", "proto": "tcp", "ports": "5000-5000"}
    words |= {"toports": "5000-5000"}
    words |= dict(word.split("=") for word in more.split())
    order = ("in", "proto", "ports")
    first = " ".join(f"{name}={words.pop(name)}" for name in order)
    rest = " ".join(f"{name}={value}" for name, value in words.items())
    return f"{first} {src} to={to} {rest}"


def test_the_target_sees_the_clients_own_address(world: World) -> None:
    assert world.dial("tcp", HOP, 5000) in NOBODY
    world.hop_agent.order({A: forward("toports=8443-8443")})
    assert world.dial("tcp", HOP, 5000) == LAN
    world.hop_agent.order({A: None})
    assert world.dial("tcp", HOP, 5000) in NOBODY


def test_udp_and_ipv6_go_the_same_ways(world: World) -> None:
    world.hop_agent.order(
        {A: forward("proto=udp"), B: forward(src="src=::/0", to=TARGET6)}
    )
    assert world.dial("udp", HOP, 5000) == LAN
    assert world.dial("tcp", HOP6, 5000) == LAN6
    assert world.dial("tcp", HOP, 5000) in NOBODY
    world.hop_agent.order({A: None, B: None})


def test_a_source_outside_its_network_gets_nothing(world: World) -> None:
    world.hop_agent.order({A: forward(src="src=192.168.77.128/25")})
    assert world.dial("tcp", HOP, 5000) in NOBODY
    world.hop_agent.order({A: None, B: forward(src=f"src={LAN}/32")})
    assert world.dial("tcp", HOP, 5000) == LAN
    world.hop_agent.order({B: None})


def test_external_is_not_for_neighbours_and_local_not_for_the_outside(
    world: World,
) -> None:
    world.hop_agent.order({A: forward()})
    assert world.dial_from_neighbour("tcp", GATEWAY, 5000) in NOBODY
    assert world.dial_from_neighbour("tcp", HOP, 5000) in NOBODY
    world.hop_agent.order({A: None, B: forward("in=local")})
    assert world.dial_from_neighbour("tcp", GATEWAY, 5000) == NEIGHBOUR
    assert world.dial("tcp", HOP, 5000) in NOBODY
    world.hop_agent.order({B: None})


def test_the_target_cannot_be_dialled_around_the_hop(world: World) -> None:
    world.hop_agent.order({A: forward()})
    assert world.dial("tcp", TARGET, 5000) in NOBODY
    assert world.dial_from_neighbour("tcp", TARGET, 5000) in NOBODY
    world.hop_agent.order({A: None})


def test_a_target_lets_in_what_its_doors_say_and_cuts_what_they_say_no_more(
    world: World,
) -> None:
    world.hop_agent.order({A: forward()})
    assert world.dial("tcp", HOP, 5000) == LAN
    assert world.dial("flow") == "flows"
    world.target_agent.order({S: None})
    assert world.dial("flow") == "TimeoutError"
    assert world.dial("tcp", HOP, 5000) in NOBODY
    world.hop_agent.order({A: None})


def test_an_end_stops_a_running_transfer_at_its_second(world: World) -> None:
    end = int(time.time()) + 2
    world.hop_agent.order({A: forward(f"until={end}")})
    assert world.dial("tcp", HOP, 5000) == LAN
    assert world.dial("flow") == "flows"
    time.sleep(max(0, end + 0.05 - time.time()))
    assert world.dial("flow") == "TimeoutError"
    world.hop_agent.order({A: None})


def test_an_end_holds_with_the_agent_dead(world: World) -> None:
    end = int(time.time()) + 2
    world.hop_agent.order({A: forward(f"until={end}")})
    assert world.dial("tcp", HOP, 5000) == LAN
    world.hop_agent.kill()
    assert world.dial("flow") == "flows"
    time.sleep(max(0, end + 0.05 - time.time()))
    assert world.dial("flow") == "TimeoutError"
    assert world.dial("tcp", HOP, 5000) in NOBODY
    world.hop_agent.start()
    world.hop_agent.order({A: None})


def test_a_moved_end_does_not_cut_the_connection(world: World) -> None:
    end = int(time.time()) + 2
    world.hop_agent.order({A: forward(f"until={end}")})
    assert world.dial("tcp", HOP, 5000) == LAN
    world.hop_agent.order({A: forward(f"until={end + 100}")})
    time.sleep(max(0, end + 0.2 - time.time()))
    assert world.dial("flow") == "flows"
    world.hop_agent.order({A: None})


_COUNT = """
from qubesforward.agent.conntrack import Conntrack
print(len(Conntrack().find_dead(lambda mark: False, [{}])))
"""


def count_tracked(world: World, entry_id: str) -> int:
    """Count the connections of an entry that the hop tracks."""
    count = _COUNT.format(mark_of(entry_id))
    return int(world.hop.run(f"{sys.executable} -c '{count}'"))


@pytest.mark.parametrize("kind", ["tcp", "udp-stream"])
def test_a_closed_connection_is_not_taken_up_again_by_its_target(
    world: World, kind: str
) -> None:
    # With equal ports the entry that the target's next packet would make matches
    # the packets of the client: the connection went on when its entry was deleted.
    closed = {"tcp": "10000c0a", "udp-stream": "10000c0b"}[kind]
    world.hop_agent.order({closed: forward(f"proto={kind[:3]}")})
    assert world.dial(kind, HOP, 5000) == LAN
    assert world.dial("flow") == "flows"
    assert count_tracked(world, closed) == 1
    world.hop_agent.order({closed: None})
    assert wait_until(lambda: count_tracked(world, closed) == 0)
    for _ in range(3):
        assert world.dial("flow") == "TimeoutError"


def test_a_client_with_a_fixed_port_reaches_the_forward_that_comes_next(
    world: World,
) -> None:
    world.hop_agent.order({A: forward("proto=udp")})
    assert world.dial("udp", HOP, 5000, 7777) == LAN
    world.hop_agent.order({A: None, B: forward("proto=udp toports=8443-8443")})
    assert wait_until(lambda: world.dial("again") == LAN)
    world.hop_agent.order({B: None})


def test_an_unchanged_forward_survives_a_kill_and_a_restart(world: World) -> None:
    world.hop_agent.order({A: forward()})
    assert world.dial("tcp", HOP, 5000) == LAN
    world.hop_agent.kill()
    assert world.dial("flow") == "flows"
    world.hop_agent.start()
    world.hop_agent.order({B: forward("ports=80-80 toports=8443-8443")})
    assert world.dial("flow") == "flows"
    assert int(world.hop_agent.report()[A].split()[0]) > 10
    world.hop_agent.order({A: None, B: None})


def test_what_was_closed_while_the_agent_was_dead_is_closed_at_its_start(
    world: World,
) -> None:
    world.hop_agent.order({A: forward()})
    assert world.dial("tcp", HOP, 5000) == LAN
    world.hop_agent.kill()
    world.hop_agent.order({A: None}, settle=False)
    world.hop_agent.start()
    world.hop_agent.order({})
    assert world.dial("flow") == "TimeoutError"


def test_the_report_counts_each_forward_for_itself(world: World) -> None:
    world.hop_agent.order(
        {A: forward("proto=udp"), B: forward("proto=udp ports=80-80")}
    )
    assert world.hop_agent.report() == {A: "0 0", B: "0 0"}
    assert world.dial("udp", HOP, 5000) == LAN
    packets, size = world.hop_agent.report()[A].split()
    assert (packets, world.hop_agent.report()[B]) == ("2", "0 0")
    assert int(size) > 40
    world.hop_agent.order({A: None, B: None})


def test_the_target_reports_what_came_in_and_whether_anyone_listens(
    world: World,
) -> None:
    world.target_agent.order({B: "in=self proto=udp ports=9-9 src=0.0.0.0/0"})
    world.hop_agent.order({A: forward("proto=udp")})
    before = world.target_agent.report()[T].split()
    assert world.dial("udp", HOP, 5000) == LAN
    after = world.target_agent.report()
    assert int(after[T].split()[0]) >= int(before[0]) + 2
    assert after[T].endswith("listening")
    assert after[B] == "0 0 silent"
    world.hop_agent.order({A: None})


def test_a_flushed_ruleset_is_put_right_within_a_second(world: World) -> None:
    world.hop_agent.order({A: forward()})
    for damage in (
        "flush ruleset\n" + FILTER,
        "delete table inet qubes-forward",
        "flush chain ip qubes custom-forward",
        "flush set inet qubes-forward live",
    ):
        world.hop.nft(damage)
        started = time.monotonic()
        assert wait_until(lambda: world.dial("tcp", HOP, 5000) == LAN), damage
        assert time.monotonic() - started < 1.7
    world.hop_agent.order({A: None})


def test_entries_that_cannot_be_refuse_themselves_with_a_reason(world: World) -> None:
    agent = world.hop_agent
    bad = {
        "2000000a": "in=external proto=tcp ports=0-0 src=0.0.0.0/0",
        "2000000b": "quite wrong",
        "2000000c": forward("ports=4000-6000 toports=4000-6000"),
        "3000000a": forward("ports=81-81"),
        "2000000d": forward("in=uplink ports=82-82"),
        "XYZ": forward("ports=83-83"),
    }
    agent.order({A: forward(), **bad})
    assert agent.refused("2000000a") == "ports=0-0: ports are 1-65535"
    assert "not an element" in agent.refused("2000000b")
    assert agent.refused("2000000c") == f"ports=4000-6000: overlaps {A}"
    assert agent.refused("3000000a") == f"3000000a: too much like the ID {A}"
    assert agent.refused("2000000d") == "in=uplink: this qube has no uplink"
    assert agent.refused("XYZ") == "an ID is eight lower-case hex digits"
    assert world.dial("tcp", HOP, 5000) == LAN
    agent.order({A: None})
    assert agent.refused("2000000c") == agent.refused("3000000a") == ""
    agent.order(dict.fromkeys(bad))
    assert agent.read("/qubes-forward-refused/") == ""


def test_a_lost_qubesdb_leaves_the_rules_and_is_read_anew(world: World) -> None:
    agent = world.hop_agent
    agent.order({A: forward()})
    agent.database.kill()
    agent.database.wait()
    assert world.dial("tcp", HOP, 5000) == LAN
    agent.start_database()
    agent.order({B: forward("ports=80-80")})
    assert world.dial("tcp", HOP, 5000) in NOBODY
    assert world.dial("tcp", HOP, 80) == LAN
    agent.order({B: None})


def test_a_burst_of_commits_ends_in_the_last_of_them(world: World) -> None:
    for number in range(1, 30):
        more = f"ports={number}-{number}"
        world.hop_agent.order({A: None}, settle=False)
        world.hop_agent.order({A: None, B: forward(more)}, settle=False)
    world.hop_agent.order({A: forward(), B: None})
    assert world.dial("tcp", HOP, 5000) == LAN
    assert world.dial("tcp", HOP, 29) in NOBODY
    world.hop_agent.order({A: None})


def test_without_a_commit_nothing_is_open(world: World) -> None:
    agent = world.hop_agent
    agent.write(f"/qubes-forward/{A}", forward())
    time.sleep(0.2)
    assert world.dial("tcp", HOP, 5000) in NOBODY
    agent.order({A: None})


def test_the_outside_addresses_are_kept_current(world: World) -> None:
    agent = world.hop_agent
    assert agent.read("/qubes-forward-outside") == f"{HOP} {HOP6}"
    world.hop.run("ip addr add 192.168.78.1/24 dev ens0")
    expected = f"{HOP} 192.168.78.1 {HOP6}"
    assert wait_until(lambda: agent.read("/qubes-forward-outside") == expected)
    world.hop.run("ip addr del 192.168.78.1/24 dev ens0")
    expected = f"{HOP} {HOP6}"
    assert wait_until(lambda: agent.read("/qubes-forward-outside") == expected)
    assert world.target_agent.read("/qubes-forward-outside") == ""


def test_an_uplink_that_comes_makes_a_hop_refuse_external_forwards(
    world: World,
) -> None:
    agent = world.hop_agent
    agent.order({A: forward(), B: forward("in=uplink ports=80-80")})
    assert agent.refused(B) == "in=uplink: this qube has no uplink"
    world.hop.run("ip link set ens0 group 1")
    assert wait_until(lambda: "not the outermost" in agent.refused(A))
    assert wait_until(lambda: agent.refused(B) == "")
    assert world.dial("tcp", HOP, 5000) in NOBODY
    assert world.dial("tcp", HOP, 80) == LAN
    world.hop.run("ip link set ens0 group 0")
    assert wait_until(lambda: agent.refused(A) == "")
    agent.order({A: None, B: None})


def test_a_tunnel_as_the_default_route_is_not_bypassed_unasked(world: World) -> None:
    agent = world.hop_agent
    world.hop.run(f"ip route add default via {LAN}")
    agent.order({A: forward(), B: forward("ports=80-80 bypass=yes")})
    assert world.dial("tcp", HOP, 5000) == LAN
    world.hop.run(
        f"ip link add tun0 type vxlan id 7 remote {LAN} dstport 4789",
        "ip link set tun0 up",
        "ip route add 0.0.0.0/1 dev tun0",
        "ip route add 128.0.0.0/1 dev tun0",
    )
    assert wait_until(lambda: agent.refused(A) == "would bypass tunnel tun0")
    assert agent.refused(B) == ""
    assert (
        world.dial("flow") == "TimeoutError" or world.dial("tcp", HOP, 5000) in NOBODY
    )
    world.hop.run("ip link del tun0", "ip route del default")
    agent.order({A: None, B: None})
    agent.restart_qube()


def test_a_vpn_program_that_deleted_its_interface_opened_what_it_must_not(
    world: World,
) -> None:
    agent = world.hop_agent
    world.hop.run(
        f"ip route add default via {LAN}",
        f"ip link add tun0 type vxlan id 7 remote {LAN} dstport 4789",
        "ip link set tun0 up",
        "ip route add 0.0.0.0/1 dev tun0",
        "ip route add 128.0.0.0/1 dev tun0",
    )
    agent.order({A: forward(), B: forward("ports=80-80 bypass=yes")})
    assert wait_until(lambda: agent.refused(A) == "would bypass tunnel tun0")
    world.hop.run("ip link del tun0")
    agent.order({A: forward(), B: forward("ports=80-80 bypass=yes")})
    assert agent.refused(A) == "would bypass tunnel tun0"
    agent.kill()
    agent.start()
    agent.order({A: forward()})
    assert agent.refused(A) == "would bypass tunnel tun0"
    assert world.dial("tcp", HOP, 5000) in NOBODY
    assert world.dial("tcp", HOP, 80) == LAN
    agent.restart_qube()
    agent.order({A: forward()})
    assert agent.refused(A) == ""
    assert world.dial("tcp", HOP, 5000) == LAN
    world.hop.run("ip route del default")
    agent.order({A: None})


def test_answers_leave_past_the_tunnel_by_the_way_the_question_came(
    world: World,
) -> None:
    # The client is beyond the LAN: without the detour the tunnel gets the answers.
    far = "198.51.100.7"
    world.lan.run(f"ip addr add {far}/32 dev lo")
    world.hop.run(
        f"ip route add default via {LAN}",
        f"ip link add tun0 type vxlan id 7 remote {LAN} dstport 4789",
        "ip link set tun0 up",
        "ip route add 0.0.0.0/1 dev tun0",
        "ip route add 128.0.0.0/1 dev tun0",
    )
    agent = world.hop_agent
    assert wait_until(lambda: agent.read("/qubes-forward-outside") == f"{HOP} {HOP6}")
    agent.order({A: forward("bypass=yes")})
    dial = (
        f"import socket; s = socket.create_connection(('{HOP}', 5000), 2, ('{far}', 0))"
    )
    said = world.lan.run(f'python3 -c "{dial}; print(s.recv(100).split()[0].decode())"')
    assert said.strip() == far
    agent.order({A: None})
    assert "0x8000000" not in world.hop.run("ip rule", "ip -6 rule")
    world.hop.run("ip link del tun0", "ip route del default")
    agent.restart_qube()
    world.lan.run(f"ip addr del {far}/32 dev lo")
