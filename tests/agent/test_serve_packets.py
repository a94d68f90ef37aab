# SPDX-License-Identifier: GPL-2.0-or-later
"""What a real hop lets in to itself from the qubes below, and from nobody else."""

import time
from collections.abc import Iterator

import pytest

from tests.agent.forward_world import (
    FILTER,
    GATEWAY,
    GATEWAY6,
    HOP,
    LAN,
    NEIGHBOUR,
    SERVE,
    TARGET,
    TARGET6,
    Talker,
    World,
    make_world,
    wait_until,
)

A, B, C, D, E = "1000000a", "1000000b", "1000000c", "1000000d", "1000000e"
REFUSED = "OSError"
"""No route to host: what an administrator's rejection becomes."""
NOBODY = ("TimeoutError", REFUSED)

_GROUP = """
import select, socket, struct
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", 1900))
link = struct.pack("=4xI", socket.if_nametoindex("vif1.0"))
for group in ("239.255.255.250", "239.255.255.251"):
    member = socket.inet_aton(group) + link
    listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
six.bind(("::", 1900))
for group in ("ff02::c", "ff05::c"):
    member = socket.inet_pton(socket.AF_INET6, group) + link[4:]
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
print("ready", flush=True)
while True:
    for s in select.select([listener, six], [], [])[0]:
        data, peer = s.recvfrom(100)
        s.sendto(data, peer)
"""

_SEARCH = """
import socket, sys
held = None
def search(group, port="1900"):
    global held
    six = ":" in group
    held = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    held.settimeout(0.6)
    if six:
        index = socket.if_nametoindex("eth0")
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    held.bind((sys.argv[2] if six else sys.argv[1], 0))
    held.sendto(b"?", (group, int(port)))
    return f"told by {held.recvfrom(100)[1][0]}"
def again(host):
    # To the one who answered, and no more to the group.
    held.settimeout(0.4)
    held.sendto(b"?", (host, 1900))
    return f"told by {held.recvfrom(100)[1][0]}"
for line in sys.stdin:
    words = line.split()
    try:
        answer = again(words[1]) if words[0] == "again" else search(*words)
    except OSError as error:
        answer = type(error).__name__
    print(answer, flush=True)
"""

_ANTISPOOFING = f"""
table inet antispoofing {{
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    iifname "vif1.0" ip saddr != {TARGET} drop
    iifname "vif2.0" ip saddr != {NEIGHBOUR} drop
    iifgroup != 2 ip saddr {{ {TARGET}, {NEIGHBOUR} }} drop
  }}
}}
"""
"""As Qubes has it, for two qubes."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world, with something to be asked for in the hop itself."""
    with make_world(tmp_path_factory.mktemp("world")) as world:
        for space in (world.target, world.neighbour):
            space.run("ip route add 239.0.0.0/8 dev eth0")
        world.target_agent.order(
            {
                D: answer(),
                E: answer(f"{GATEWAY6}/128"),
            }
        )
        for source, words in ((SERVE, ("5351", "49000")), (_GROUP, ())):
            server = world.hop.script(source, *words)
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
        yield world


def door(proto: str = "udp", port: int = 5351, src: str = f"{TARGET}/32") -> str:
    return f"in=serve proto={proto} ports={port}-{port} src={src}"


def answer(src: str = f"{GATEWAY}/32") -> str:
    return f"in=answer proto=udp ports=1900-1900 src={src}"


@pytest.mark.parametrize(("proto", "port"), [("udp", 5351), ("tcp", 49000)])
def test_only_who_has_a_door_comes_in(world: World, proto: str, port: int) -> None:
    assert world.dial_from_target(proto, GATEWAY, port) in NOBODY
    with world.hop_agent.ordered({A: door(proto, port)}):
        assert world.dial_from_target(proto, GATEWAY, port) == TARGET
        assert world.dial_from_neighbour(proto, GATEWAY, port) == "TimeoutError"
        other = {5351: 49000, 49000: 5351}[port]
        assert world.dial_from_target(proto, GATEWAY, other) == "TimeoutError"
        assert world.dial("udp", HOP, port) == "TimeoutError"
    assert world.dial_from_target(proto, GATEWAY, port) != TARGET


def test_in_ipv6_by_the_address_that_a_qube_was_given(world: World) -> None:
    with world.hop_agent.ordered({A: door(src=f"{TARGET6}/128")}):
        assert world.dial_from_target("udp", GATEWAY6, 5351) == TARGET6
        assert world.dial_from_target("udp", GATEWAY, 5351) == "TimeoutError"


def test_the_way_in_is_by_a_link_of_a_qube_below(world: World) -> None:
    # Not from the LAN, even with that address, and not by an uplink.
    with world.hop_agent.ordered({A: door(src=f"{LAN}/32")}):
        assert world.dial("udp", HOP, 5351) == "TimeoutError"
        world.hop.run("ip link set ens0 group 1")
        assert world.dial("udp", HOP, 5351) == "TimeoutError"
        world.hop.run("ip link set ens0 group 0")


@pytest.mark.parametrize("spoofs", [TARGET, "10.137.0.77"])
def test_another_qube_with_the_address_of_the_served_one_gets_nothing(
    world: World, spoofs: str
) -> None:
    world.hop.nft(_ANTISPOOFING)
    own = f"{NEIGHBOUR}/32 dev eth0"
    false = f"{spoofs}/32 dev eth0"
    world.neighbour.run(f"ip addr add {false}", f"ip addr del {own}")
    with world.hop_agent.ordered({A: door(src=f"{spoofs}/32")}):
        assert world.dial_from_neighbour("udp", GATEWAY, 5351) == "TimeoutError"
        assert world.hop_agent.report()[A].startswith("0 0 ")
    world.neighbour.run(f"ip addr add {own}", f"ip addr del {false}")
    world.hop.nft("delete table inet antispoofing")


def test_a_removed_door_cuts_what_is_established_at_once(world: World) -> None:
    agent = world.hop_agent
    agent.order({A: door("tcp", 49000), B: door()})
    assert world.dial_from_target("tcp", GATEWAY, 49000) == TARGET
    assert world.dial_from_target("flow") == "flows"
    agent.order({A: None, C: door("tcp", 5351)})
    assert world.dial_from_target("flow") == "TimeoutError"
    assert world.dial_from_target("udp-stream", GATEWAY, 5351) == TARGET
    assert world.dial_from_target("flow") == "flows"
    agent.order({B: None, C: None})
    assert world.dial_from_target("flow") == "TimeoutError"


def test_a_client_whose_door_is_gone_is_told_so(world: World) -> None:
    with world.hop_agent.ordered({A: door()}):
        assert world.dial_from_target("udp", GATEWAY, 5351) == TARGET
    assert world.dial_from_target("again") == REFUSED


def test_what_one_door_cuts_stays_in_another(world: World) -> None:
    agent = world.hop_agent
    agent.order({A: door("tcp", 49000)})
    assert world.dial_from_target("tcp", GATEWAY, 49000) == TARGET
    # As for a target: what is asked for anew goes on.
    agent.order({A: None, B: door("tcp", 49000)})
    assert world.dial_from_target("flow") == "flows"
    agent.kill()
    agent.start()
    agent.order({C: door(src=f"{NEIGHBOUR}/32")})
    assert world.dial_from_target("flow") == "flows"
    assert world.dial_from_neighbour("udp", GATEWAY, 5351) == NEIGHBOUR
    agent.order({B: None, C: None})


def test_a_door_ends_in_time_with_the_agent_dead(world: World) -> None:
    end = int(time.time()) + 2
    agent = world.hop_agent
    with agent.ordered({A: door("tcp", 49000) + f" until={end}"}):
        assert world.dial_from_target("tcp", GATEWAY, 49000) == TARGET
        agent.kill()
        assert wait_until(lambda: time.time() > end + 0.05)
        assert world.dial_from_target("flow") == "TimeoutError"
        agent.start()


@pytest.mark.parametrize("group", ["239.255.255.250", "ff05::c"])
def test_a_search_is_sent_to_a_group(world: World, group: str) -> None:
    search = Talker(world.target, _SEARCH, TARGET, TARGET6)
    neighbour = Talker(world.neighbour, _SEARCH, NEIGHBOUR, "::")
    doors = {A: door(port=1900), B: door(port=1900, src=f"{TARGET6}/128")}
    assert search(group) == "TimeoutError"
    with world.hop_agent.ordered(doors):
        assert search(group).startswith("told by ")
        assert search("239.255.255.251") == "TimeoutError"
        assert search(group, 1901) == "TimeoutError"
        assert neighbour(group) in NOBODY


def test_link_local_sources_are_not_served(world: World) -> None:
    # Qubes' own masquerading makes them of all that goes to this group.
    with world.hop_agent.ordered({A: door(port=1900, src=f"{TARGET6}/128")}):
        assert Talker(world.target, _SEARCH, TARGET, TARGET6)("ff02::c") in NOBODY
        assert world.hop_agent.report()[A] == "0 0 listening"


def test_only_answers_are_heard_and_only_of_who_may_answer(world: World) -> None:
    search = Talker(world.target, _SEARCH, TARGET, TARGET6)
    agent = world.target_agent
    with world.hop_agent.ordered({A: door(port=1900)}):
        agent.order({D: None})
        assert search("239.255.255.250") == "TimeoutError"
        agent.order({D: answer(f"{LAN}/32")})
        assert search("239.255.255.250") == "TimeoutError"
        agent.order({D: None, B: answer()})
        assert search("239.255.255.250") == f"told by {GATEWAY}"
        assert search("again", GATEWAY) == f"told by {GATEWAY}"
        agent.order({B: None})
        assert search("again", GATEWAY) == "TimeoutError"
    agent.order({D: answer()})


def test_a_hop_cannot_answer_who_did_not_ask(world: World) -> None:
    # Something does listen there, which would answer.
    push = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("{GATEWAY}", 1900))
s.settimeout(0.3)
s.connect(("{TARGET}", 8443))
s.send(b"?")
try:
    print(s.recv(100))
except OSError as error:
    print(type(error).__name__)
"""
    assert world.hop.run(f"python3 -c '{push}'") == "TimeoutError\n"
    open_to_all = "in=self proto=udp ports=8443-8443 src=0.0.0.0/0"
    with world.target_agent.ordered({A: open_to_all}):
        assert GATEWAY in world.hop.run(f"python3 -c '{push}'")


def test_the_answer_to_a_search_was_a_way_in_after_the_door_was_closed(
    world: World,
) -> None:
    search = Talker(world.target, _SEARCH, TARGET, TARGET6)
    with world.hop_agent.ordered({A: door(port=1900)}):
        told = search("239.255.255.250")
        assert told == f"told by {GATEWAY}"
        assert search("again", GATEWAY) == told
    for _ in range(3):
        assert search("again", GATEWAY) in NOBODY


def test_a_door_counts_what_comes_in_and_says_whether_anyone_listens(
    world: World,
) -> None:
    with world.hop_agent.ordered({A: door(), B: door(port=9)}):
        assert world.dial_from_target("udp", GATEWAY, 5351) == TARGET
        told = world.hop_agent.report()
        assert int(told[A].split()[0]) >= 2
        assert told[A].endswith(" listening")
        assert told[B] == "0 0 silent"


def test_a_flushed_ruleset_is_put_right(world: World) -> None:
    with world.hop_agent.ordered({A: door()}):
        for damage in (
            "flush ruleset\n" + FILTER,
            "flush chain ip qubes custom-input",
            "flush set inet qubes-forward serve4",
        ):
            world.hop.nft(damage)
            assert wait_until(
                lambda: world.dial_from_target("udp", GATEWAY, 5351) == TARGET
            )


def test_a_forward_may_use_a_port_that_is_served(world: World) -> None:
    # What comes from below is for the hop, what comes from outside for the target.
    forward = f"in=external proto=tcp ports=5351-5351 src=0.0.0.0/0 to={TARGET}"
    opened = {B: "in=self proto=tcp ports=5000-5000 src=0.0.0.0/0"}
    both = {A: door("tcp"), B: f"{forward} toports=5000-5000"}
    with world.target_agent.ordered(opened), world.hop_agent.ordered(both):
        assert world.dial("tcp", HOP, 5351) == LAN
        assert world.dial_from_target("tcp", GATEWAY, 5351) == TARGET
