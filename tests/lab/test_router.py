# SPDX-License-Identifier: GPL-2.0-or-later
"""A router with miniupnpd: what it opens for a netvm's card, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qubesforward.errors import LabError
from qubesforward.lab.igd import render_config
from qubesforward.lab.topology import load_topology
from tests.lab.conftest import MakeLab
from tests.lab.routers import (
    ASKER,
    CARRIER,
    DESCRIPTION,
    PUBLIC,
    REFUSE_ALL,
    ROUTER,
    router_topology,
)
from tests.lab.running_lab import BACKEND, RunningLab, running_lab
from tests.lab.standing import eventually
from tests.lab.traffic import Answer, probe, serving

EDGE, INTERNET = f"{PUBLIC}1", f"{PUBLIC}2"

# RFC 6887, sections 7.1 and 11.1: a MAP request for an IPv4 client; prints the answer's
# result, lifetime, outer port and outer address.
_PCP = """
import socket, struct, sys
router, own, inner, outer, lifetime = sys.argv[1:3] + [int(x) for x in sys.argv[3:]]
mapped = bytes(10) + b"\\xff\\xff"
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.settimeout(5)
one.connect((router, 5351))
head = struct.pack(">BBHI16s", 2, 1, 0, lifetime, mapped + socket.inet_aton(own))
asked = b"0123456789ab", 6, inner, outer, mapped + bytes(4)
one.send(head + struct.pack(">12sB3xHH16s", *asked))
head, rest = struct.unpack(">BBxBII12x", (got := one.recv(1100))[:24]), got[24:]
fields = struct.unpack(">12sB3xHH16s", rest[:36])
print(head[2], head[3], fields[3], socket.inet_ntoa(fields[4][12:]))
"""


@pytest.fixture(scope="module")
def opener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab whose router takes everything; every test has ports of its own."""
    file = tmp_path_factory.mktemp("router") / "topology.toml"
    file.write_text(router_topology())
    with running_lab(file) as lab:
        let_in(lab)
        yield lab


def let_in(lab: RunningLab) -> None:
    """Open what tests use in sys-net itself: the router is what is looked at."""
    if BACKEND == "iptables":
        rule = "-p tcp --dport 8000:9000 -j ACCEPT"
        lab.check("sys-net", "iptables", "-I", "INPUT", *rule.split())
        return
    rule = "tcp dport 8000-9000 accept"
    lab.check("sys-net", "nft", "add", "rule", "ip", "qubes", "custom-input", rule)


def natpmpc(lab: RunningLab, *words: str) -> str:
    done = lab.exec("sys-net", ["natpmpc", "-g", ROUTER, *words])
    return str(done.stdout + done.stderr)


def upnpc(lab: RunningLab, *words: str) -> str:
    # By its address: the search for it is by multicast, and sys-net's firewall does
    # not take the answers to that for answers.
    said = ""
    for _ in range(3):
        done = lab.exec("sys-net", ["upnpc", "-u", DESCRIPTION, *words])
        said = str(done.stdout + done.stderr)
        # On a busy machine the router's answer may come too late for upnpc.
        if "No valid UPNP" not in said:
            break
    return said


def reach(lab: RunningLab, port: int) -> Answer | None:
    return probe(lab, "internet", EDGE, port)


def seen(port: int) -> Answer:
    return Answer("sys-net", INTERNET, port)


@pytest.mark.lab
class TestOpening:
    def test_nothing_is_open_unasked(self, opener: RunningLab) -> None:
        with serving(opener, "sys-net", [8001]):
            assert reach(opener, 8001) is None

    def test_by_nat_pmp(self, opener: RunningLab) -> None:
        with serving(opener, "sys-net", [8080]):
            said = natpmpc(opener, "-a", "8080", "8080", "tcp", "60")
            assert f"Public IP address : {EDGE}" in said
            assert "Mapped public port 8080 protocol TCP to local port 8080" in said
            assert reach(opener, 8080) == seen(8080)
            natpmpc(opener, "-a", "8080", "8080", "tcp", "0")
            assert reach(opener, 8080) is None

    def test_by_upnp(self, opener: RunningLab) -> None:
        with serving(opener, "sys-net", [8082]):
            said = upnpc(opener, "-a", ASKER, "8082", "8083", "tcp", "60")
            assert f"ExternalIPAddress = {EDGE}" in said
            assert f"{EDGE}:8083 TCP is redirected to internal {ASKER}:8082" in said
            assert reach(opener, 8083) == seen(8082)
            assert f"TCP  8083->{ASKER}:8082" in upnpc(opener, "-l")
            upnpc(opener, "-d", "8083", "tcp")
            assert reach(opener, 8083) is None

    def test_by_pcp(self, opener: RunningLab) -> None:
        words = [ROUTER, ASKER, "8084", "8085", "60"]
        with serving(opener, "sys-net", [8084]):
            said = opener.check("sys-net", "python3", "-c", _PCP, *words)
            assert said.split() == ["0", "60", "8085", EDGE]
            assert reach(opener, 8085) == seen(8084)

    def test_only_for_who_asks(self, opener: RunningLab) -> None:
        said = upnpc(opener, "-a", "192.168.1.20", "8086", "8086", "tcp", "60")
        assert "failed with code" in said
        assert "8086" not in upnpc(opener, "-l")

    def test_no_longer_than_asked_for(self, opener: RunningLab) -> None:
        upnpc(opener, "-a", ASKER, "8087", "8087", "tcp", "2")
        natpmpc(opener, "-a", "8088", "8088", "tcp", "2")
        listed = upnpc(opener, "-l")
        assert "8087" in listed
        assert "8088" in listed

        def list_left() -> list[str]:
            rules = opener.check("router", "nft", "list", "table", "inet", "router")
            return [port for port in ("8087", "8088") if port in rules]

        eventually(list_left, [], patience=15)


@pytest.mark.lab
class TestRefusing:
    def test_one_without_nat_pmp(self, make_lab: MakeLab) -> None:
        with make_lab(router_topology(natpmp=False)) as lab:
            said = natpmpc(lab, "-a", "8080", "8080", "tcp", "60")
            assert "does not support nat-pmp" in said
            said = upnpc(lab, "-a", ASKER, "8080", "8080", "tcp", "60")
            assert "is redirected" in said

    def test_one_without_upnp(self, make_lab: MakeLab) -> None:
        with make_lab(router_topology(upnp=False)) as lab:
            assert "No valid UPNP" in upnpc(lab, "-s")
            assert "Mapped" in natpmpc(lab, "-a", "8080", "8080", "tcp", "60")

    def test_one_that_says_no(self, make_lab: MakeLab) -> None:
        with make_lab(router_topology(rules=REFUSE_ALL)) as lab:
            let_in(lab)
            with serving(lab, "sys-net", [8080]):
                said = natpmpc(lab, "-a", "8080", "8080", "tcp", "60")
                assert "Mapped" not in said
                assert "not authorized" in said
                said = upnpc(lab, "-a", ASKER, "8080", "8080", "tcp", "60")
                assert "failed with code" in said
                assert reach(lab, 8080) is None

    def test_one_behind_a_carriers_nat(self, make_lab: MakeLab) -> None:
        with make_lab(router_topology(outside=CARRIER)) as lab:
            said = natpmpc(lab, "-a", "8080", "8080", "tcp", "60")
            assert "network failure" in said
            said = upnpc(lab, "-a", ASKER, "8080", "8080", "tcp", "60")
            assert "failed with code 501" in said


def test_it_is_told_what_the_topology_says(tmp_path: Path) -> None:
    file = tmp_path / "topology.toml"
    file.write_text(router_topology(natpmp=False, rules=REFUSE_ALL))
    host = load_topology(file).host("router")
    assert host is not None
    assert host.igd is not None
    lines = render_config(host, host.igd).splitlines()
    wanted = {"ext_ifname=wan0", "listening_ip=lan0", "enable_natpmp=no"}
    assert {*wanted, "enable_upnp=yes", *REFUSE_ALL} <= set(lines)


def test_only_a_router_can_open_ports(tmp_path: Path) -> None:
    file = tmp_path / "topology.toml"
    file.write_text("[hosts.a]\nigd = { upnp = true }\n")
    with pytest.raises(LabError, match="hosts.a.igd: only a router"):
        load_topology(file)
