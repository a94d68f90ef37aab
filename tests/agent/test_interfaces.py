# SPDX-License-Identifier: GPL-2.0-or-later
"""What a qube is, read from a real kernel."""

import subprocess
from contextlib import suppress
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from qubesforward.agent.detour import Detour, Way, find_ways
from qubesforward.agent.interfaces import (
    Interfaces,
    has_rule_for,
    open_route_socket,
    read_interfaces,
)
from qubesforward.agent.route_wire import (
    Link,
    decode_address,
    decode_default_route,
    decode_link,
    decode_route_link,
    decode_rule_mark,
)
from qubesforward.errors import MalformedMessage
from qubesforward.nft.marks import DETOUR
from tests.agent.namespaces import isolated


def run(*commands: str) -> str:
    script = "set -e\n" + "\n".join(commands)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read() -> Interfaces:
    return read_interfaces(open_route_socket())


UPLINK = (
    "ip link set lo up",
    "ip link add eth0 type veth peer name peer",
    "ip link set peer group 2 up",
    "ip link set eth0 group 1 up",
    "ip addr add 10.137.0.5/32 dev eth0",
    "ip addr add fd00::5/128 dev eth0 nodad",
    "ip route add default via 10.137.0.1 dev eth0 onlink",
    "ip route add default via fe80::1 dev eth0",
)
CARD = (
    "ip link add ens0 type veth peer name peer",
    "ip link set peer group 2 up",
    "ip link set ens0 up",
    "ip addr add 192.168.1.10/24 dev ens0",
    "ip addr add fd01::10/64 dev ens0 nodad",
)
TUNNEL = (
    "ip link add tun0 type vxlan id 7 remote 192.0.2.1 dev {} dstport 4789",
    "ip addr add 10.8.0.2/24 dev tun0",
    "ip link set tun0 up",
)


def tunnel_over(card: str) -> list[str]:
    return [command.format(card) for command in TUNNEL]


@isolated
def test_an_inner_hop_has_an_uplink_and_is_not_dialled_from_outside() -> None:
    run(*UPLINK)
    here = read()
    assert here.uplink is not None
    assert here.uplink.name == "eth0"
    assert here.tunnels == {}
    assert here.astray == frozenset()
    assert here.outside == []


@isolated
def test_an_outermost_hop_is_dialled_at_its_cards_addresses() -> None:
    run(*CARD, *tunnel_over("ens0"))
    here = read()
    assert here.uplink is None
    dialled = ["192.168.1.10", "fd01::10", "10.8.0.2"]
    assert list(map(str, here.outside)) == dialled


@isolated
def test_addresses_that_nobody_should_dial_are_left_out() -> None:
    run(*CARD)
    run("ip addr add 169.254.3.3/16 dev ens0 scope link")
    run("ip addr add fd01::11/64 dev ens0 preferred_lft 0")
    assert list(map(str, read().outside)) == ["192.168.1.10", "fd01::10"]


@isolated
def test_a_default_route_through_a_tunnel_is_found() -> None:
    run(*UPLINK, *tunnel_over("eth0"), "ip route replace default dev tun0")
    assert read().tunnels == {4: "tun0"}
    assert read().astray == {4}


@isolated
def test_halves_of_a_default_route_beside_the_old_one_are_found() -> None:
    run(*UPLINK, *tunnel_over("eth0"), "ip route add 128.0.0.0/1 dev tun0")
    assert read().tunnels == {4: "tun0"}


@isolated
def test_a_default_route_by_a_rule_in_another_table_is_found() -> None:
    run(
        *UPLINK,
        *tunnel_over("eth0"),
        "ip route add default dev tun0 table 51820",
        "ip rule add not fwmark 51820 table 51820",
    )
    assert read().tunnels == {4: "tun0"}


@isolated
def test_a_tunnel_that_is_not_the_default_route_is_none_to_bypass() -> None:
    run(*UPLINK, *tunnel_over("eth0"))
    assert read().tunnels == {}


@isolated
def test_a_card_beside_an_uplink_counts_as_a_tunnel_and_alone_does_not() -> None:
    run(*CARD, "ip route add default via 192.168.1.1")
    assert read().tunnels == {}
    run("ip link add eth0 type veth peer name p", "ip link set eth0 group 1 up")
    assert read().tunnels == {4: "ens0"}


@isolated
def test_an_unreachable_default_route_is_no_tunnel() -> None:
    run(*UPLINK, "ip route replace unreachable default")
    assert read().tunnels == {}


@isolated
def test_a_detour_is_made_kept_and_taken_back() -> None:
    run(*UPLINK, *tunnel_over("eth0"), "ip route replace default dev tun0")
    here = read()
    ways = find_ways(here, {4: ip_address("10.137.0.1")})
    assert here.uplink is not None
    assert ways == {4: Way(here.uplink, ip_address("10.137.0.1"))}
    socket = open_route_socket()
    detour = Detour(socket)
    detour.converge(ways)
    marked = run(f"ip route get 198.51.100.7 mark {DETOUR:#x}")
    assert "via 10.137.0.1 dev eth0" in marked
    assert "dev tun0" in run("ip route get 198.51.100.7")
    rules = run("ip rule")
    detour.converge(ways)
    assert run("ip rule") == rules
    run("ip route flush table 3559")
    detour.converge(ways)
    assert "via 10.137.0.1 dev eth0" in run(f"ip route get 1.1.1.1 mark {DETOUR:#x}")
    detour.converge({})
    assert not has_rule_for(socket, 4, DETOUR)


@isolated
def test_an_outermost_hop_goes_past_its_tunnel_by_the_cards_own_gateway() -> None:
    run(
        *CARD,
        *tunnel_over("ens0"),
        "ip route add default via 192.168.1.1",
        "ip route add 0.0.0.0/1 dev tun0",
        "ip route add 128.0.0.0/1 dev tun0",
    )
    here = read()
    assert here.tunnels == {4: "tun0"}
    (way,) = find_ways(here, {}).values()
    assert (way.link.name, str(way.gateway)) == ("ens0", "192.168.1.1")


def test_without_a_gateway_there_is_no_way() -> None:
    eth0 = Link(2, "eth0", 1, "", False)
    tun0 = Link(3, "tun0", 0, "tun", False)
    here = Interfaces([eth0, tun0], default_links={4: [tun0], 6: [tun0]})
    assert find_ways(here, {}) == {}
    assert find_ways(here, {6: ip_address("fe80::1")}).keys() == {6}


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for decode in (
        decode_link,
        decode_address,
        decode_route_link,
        decode_default_route,
        decode_rule_mark,
    ):
        with suppress(MalformedMessage):
            decode(data)
