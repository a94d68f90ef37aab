# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mapped qube sends leaves a real hop by the port that leads back to it."""

import time
from collections.abc import Iterator
from itertools import count

import pytest

from tests.agent.forward_world import (
    DIAL,
    FILTER,
    GATEWAY,
    HOP,
    HOP6,
    LAN,
    LAN6,
    NEIGHBOUR,
    TARGET,
    TARGET6,
    Talker,
    World,
    make_world,
    wait_until,
)
from tests.lab.running_lab import needs_nftables

A, B, S, T = "1000000a", "1000000b", "10000001", "10000002"

_TELL = """
import socket, sys, threading
def tell(peer):
    return f"{peer[0].removeprefix('::ffff:')} {peer[1]}\\n".encode()
def stream(listener):
    while True:
        s, peer = listener.accept()
        threading.Thread(target=talk, args=(s, peer), daemon=True).start()
def talk(s, peer):
    s.sendall(tell(peer))
    while data := s.recv(100):
        s.sendall(tell(peer))
def datagrams(s):
    while True:
        data, info, _, peer = s.recvmsg(100, 200)
        s.sendmsg([tell(peer)], info, 0, peer)
for port in range(*map(int, sys.argv[1:])):
    listener = socket.create_server(("::", port), family=socket.AF_INET6,
                                    dualstack_ipv6=True)
    threading.Thread(target=stream, args=[listener], daemon=True).start()
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    s.bind(("::", port))
    threading.Thread(target=datagrams, args=[s], daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
"""Tells each client from which address and port it comes."""

_FAR = count(7000)
_NEAR = count(5100)
"""Another port for each use: what is tracked of earlier ones would be found again,
and the kernel lets a socket have the outer port that it had last."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world, with somebody to ask in the LAN and beside the target."""
    with make_world(tmp_path_factory.mktemp("world")) as world:
        for space in (world.lan, world.neighbour):
            server = space.script(_TELL, "7000", "7100")
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
        world.target_agent.order(
            {
                S: "in=self proto=udp ports=5000-5000 src=0.0.0.0/0",
                T: "in=self proto=tcp ports=5000-5000 src=0.0.0.0/0",
            }
        )
        yield world


@pytest.fixture
def inner() -> int:
    return next(_NEAR)


@pytest.fixture
def outer(inner: int) -> int:
    return inner + 1000


def mapped(inner: int, proto: str = "udp", more: str = "", **words: object) -> str:
    """Write an entry of a port of the target, mapped to one a thousand higher."""
    entry = {"in": "external", "proto": proto, "ports": inner + 1000}
    entry |= {"src": "0.0.0.0/0", "to": TARGET, "toports": inner, "mapped": "yes"}
    return " ".join(f"{name}={value}" for name, value in (entry | words).items()) + more


def ask(dial: Talker, proto: str, source: int, host: str = LAN) -> str:
    """Ask a fresh port of a host from where it is asked."""
    return dial(proto, host, next(_FAR), source)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_a_mapping_holds_in_both_directions(world: World, proto: str) -> None:
    assert ask(world.dial_from_target, proto, 4999) == f"{HOP} 4999"
    with world.hop_agent.ordered({A: mapped(5000, proto)}):
        assert ask(world.dial_from_target, proto, 5000) == f"{HOP} 6000"
        assert world.dial(proto, HOP, 6000) == LAN
    assert world.dial(proto, HOP, 6000) == "TimeoutError"


def test_in_ipv6_too(world: World, inner: int, outer: int) -> None:
    with world.hop_agent.ordered({A: mapped(inner, src="::/0", to=TARGET6)}):
        assert ask(world.dial_from_target, "udp", inner, LAN6) == f"{HOP6} {outer}"
        assert ask(world.dial_from_target, "udp", inner) == f"{HOP} {inner}"


def test_nothing_else_is_moved_to_the_outer_port(world: World, inner: int) -> None:
    with world.hop_agent.ordered({A: mapped(inner)}):
        assert ask(world.dial_from_target, "udp", 4998) == f"{HOP} 4998"
        assert ask(world.dial_from_target, "tcp", inner) == f"{HOP} {inner}"
        assert ask(world.dial_from_neighbour, "udp", inner) == f"{HOP} {inner}"


def test_two_qubes_with_the_same_inner_port_do_not_mix(
    world: World, inner: int, outer: int
) -> None:
    other = mapped(inner, to=NEIGHBOUR, ports=4001)
    with world.hop_agent.ordered({A: mapped(inner), B: other}):
        far = next(_FAR)
        for _ in range(2):
            told = world.dial_from_target("udp", LAN, far, inner)
            assert told == f"{HOP} {outer}"
            told = world.dial_from_neighbour("udp", LAN, far, inner)
            assert told == f"{HOP} 4001"


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_nobody_else_can_send_from_the_outer_port(
    world: World, proto: str, inner: int, outer: int
) -> None:
    # Else what this far end sends to the mapped port would come to the neighbour.
    with world.hop_agent.ordered({A: mapped(inner, proto)}):
        far = next(_FAR)
        address, port = world.dial_from_neighbour(proto, LAN, far, outer).split()
        assert address == HOP
        assert int(port) != outer
        assert world.dial_from_target(proto, LAN, far, inner) == f"{HOP} {outer}"
        # Nor the target itself, from another of its sockets.
        _address, port = ask(world.dial_from_target, proto, outer).split()
        assert int(port) != outer


def test_a_neighbour_who_had_the_outer_port_by_chance_kept_it(
    world: World, inner: int, outer: int
) -> None:
    far = next(_FAR)
    assert world.dial_from_neighbour("udp", LAN, far, outer) == f"{HOP} {outer}"
    with world.hop_agent.ordered({A: mapped(inner)}):
        moved = f"{HOP} {outer}"
        assert wait_until(
            lambda: world.dial_from_target("udp", LAN, far, inner) == moved
        )
        assert world.dial_from_neighbour("again").split()[1] != str(outer)


def test_a_port_that_is_mapped_to_another_was_still_used_by_the_one_before(
    world: World, inner: int, outer: int
) -> None:
    far = next(_FAR)
    moved = f"{HOP} {outer}"
    with world.hop_agent.ordered({A: mapped(inner)}):
        assert world.dial_from_target("udp", LAN, far, inner) == moved
    with world.hop_agent.ordered({B: mapped(inner, to=NEIGHBOUR)}):
        assert wait_until(
            lambda: world.dial_from_neighbour("udp", LAN, far, inner) == moved
        )
        assert world.dial_from_target("again") == f"{HOP} {inner}"
        assert ask(world.dial_from_target, "udp", inner) == f"{HOP} {inner}"


def test_a_tcp_connection_that_has_the_outer_port_keeps_it_to_that_far_end(
    world: World, inner: int, outer: int
) -> None:
    far = next(_FAR)
    assert world.dial_from_neighbour("tcp", LAN, far, outer) == f"{HOP} {outer}"
    with world.hop_agent.ordered({A: mapped(inner, "tcp")}):
        assert world.dial_from_target("tcp", LAN, far, inner) == "TimeoutError"
        assert world.dial_from_neighbour("again") == f"{HOP} {outer}"
        assert ask(world.dial_from_target, "tcp", inner) == f"{HOP} {outer}"


def test_between_qubes_below_nothing_is_rewritten(world: World, inner: int) -> None:
    far = next(_FAR)
    inside = f"in=local proto=udp ports={far} src=0.0.0.0/0 to={NEIGHBOUR}"
    with world.hop_agent.ordered({A: mapped(inner), B: f"{inside} toports={far}"}):
        told = world.dial_from_target("udp", GATEWAY, far, inner)
        assert told == f"{TARGET} {inner}"


def test_a_program_that_sent_before_it_asked_got_to_keep_the_old_port(
    world: World, inner: int, outer: int
) -> None:
    assert ask(world.dial_from_target, "udp", inner) == f"{HOP} {inner}"
    with world.hop_agent.ordered({A: mapped(inner)}):
        moved = f"{HOP} {outer}"
        assert wait_until(lambda: world.dial_from_target("again") == moved)


def test_many_programs_at_once_are_moved_too(world: World) -> None:
    far = next(_FAR)
    talkers = {3000 + n: Talker(world.target, DIAL) for n in range(6)}
    for source, talker in talkers.items():
        assert talker("udp", LAN, far, source) == f"{HOP} {source}"
    entries = {f"2000{source}": mapped(source) for source in talkers}
    with world.hop_agent.ordered(entries):
        for source, talker in talkers.items():
            moved = f"{HOP} {source + 1000}"
            assert wait_until(lambda t=talker, m=moved: t("again") == m)


def test_a_tcp_connection_that_is_there_is_not_broken(world: World, inner: int) -> None:
    assert ask(world.dial_from_target, "tcp", inner) == f"{HOP} {inner}"
    with world.hop_agent.ordered({A: mapped(inner, "tcp")}):
        for _ in range(3):
            assert world.dial_from_target("again") == f"{HOP} {inner}"
            time.sleep(0.02)


def test_a_mapping_ends_in_time_with_the_agent_dead(
    world: World, inner: int, outer: int
) -> None:
    end = int(time.time()) + 2
    agent = world.hop_agent
    with agent.ordered({A: mapped(inner, until=end)}):
        agent.kill()
        assert wait_until(lambda: time.time() > end + 0.05)
        assert ask(world.dial_from_target, "udp", inner) == f"{HOP} {inner}"
        assert ask(world.dial_from_neighbour, "udp", outer) == f"{HOP} {outer}"
        agent.start()


@needs_nftables
@pytest.mark.parametrize("harmed", ["map {}out4", "set {}held", ""])
def test_what_others_remove_is_put_back(
    world: World, inner: int, outer: int, harmed: str
) -> None:
    with world.hop_agent.ordered({A: mapped(inner)}):
        if harmed:
            world.hop.nft("flush " + harmed.format("inet qubes-forward "))
        else:
            world.hop.nft("flush ruleset\n" + FILTER)
        listed = "nft list table inet qubes-forward || true"
        # Its door, the way out, and that nobody else has it.
        assert wait_until(lambda: world.hop.run(listed).count(f"{outer}") == 3)
        assert ask(world.dial_from_target, "udp", inner) == f"{HOP} {outer}"


def test_what_cannot_be_mapped_says_why(world: World, inner: int) -> None:
    agent = world.hop_agent
    again = f"mapped=yes: what is sent is mapped by {A} already"
    with agent.ordered({A: mapped(inner), B: mapped(inner, ports=4002)}):
        assert agent.refused(B) == again
    split = ("10.0.0.0/8", "192.168.0.0/16")
    first, second = (mapped(inner, src=src) for src in split)
    with agent.ordered({A: first, B: second}):
        assert agent.refused(B) == again
    with agent.ordered({A: mapped(inner, ports="6000-6001")}):
        assert "one port" in agent.refused(A)


def test_an_inner_hop_rewrites_at_its_uplink_and_not_into_a_tunnel(
    world: World, inner: int, outer: int
) -> None:
    far, near = "10.9.0.2", "10.9.0.1"
    world.hop.run(
        "ip link set ens0 group 1",
        # Beside an uplink any other way out counts as a tunnel.
        f"ip link add tun0 type veth peer name tun0 netns {world.lan.pid}",
        f"ip addr add {near}/24 dev tun0",
        "ip link set tun0 up",
    )
    world.lan.run(f"ip addr add {far}/24 dev tun0", "ip link set tun0 up")
    world.hop.run(f"ip route add default via {far}")
    agent = world.hop_agent
    uplink = {"in": "uplink"}
    entry = mapped(inner, bypass="yes", **uplink)
    with agent.ordered({A: entry, B: mapped(inner, "tcp", **uplink)}):
        assert wait_until(lambda: agent.refused(A) == "")
        assert wait_until(lambda: "would bypass" in agent.refused(B))
        assert ask(world.dial_from_target, "udp", inner) == f"{HOP} {outer}"
        assert ask(world.dial_from_target, "udp", inner, far) == f"{near} {inner}"
        assert ask(world.dial_from_target, "tcp", inner) == f"{HOP} {inner}"
    world.hop.run("ip link del tun0", "ip link set ens0 group 0")
    agent.restart_qube()
