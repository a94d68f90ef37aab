# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that others wrote ask for ports in `work`, and are reached by them."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network

import pytest

from tests.lab.conftest import MakeLab
from tests.lab.forwards import dom0, forwarded, forwards_of
from tests.lab.mapping import (
    Asker,
    addresses,
    allow,
    forbid,
    list_by_upnp,
    mapped,
    mirror,
    natpmpc,
    seen_as,
    upnpc,
)
from tests.lab.routers import ASKER as NET
from tests.lab.routers import CARRIER, PUBLIC, REFUSE_ALL, router_topology
from tests.lab.running_lab import RunningLab, needs_nftables, running_lab
from tests.lab.standing import eventually
from tests.lab.traffic import Answer, probe, serving

pytestmark = pytest.mark.lab

EDGE, INTERNET = f"{PUBLIC}1", f"{PUBLIC}2"
LAN = "192.168.1.20"
CHAIN = ("sys-net", "sys-firewall", "work")


@pytest.fixture(scope="module")
def granting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab in which programs of work get what they ask for; no port is used twice."""
    file = tmp_path_factory.mktemp("portmap") / "topology.toml"
    file.write_text(router_topology(running=(*CHAIN, "personal")))
    with running_lab(file) as lab:
        allow(lab, "work", portmap_reach="internet")
        yield lab


@pytest.fixture(autouse=True)
def _closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave nothing open to the next test."""
    yield
    if "granting" in request.fixturenames:
        dom0(request.getfixturevalue("granting"), "qvm-forward", "work", "--close-all")


def reach(lab: RunningLab, where: str, port: int, proto: str = "udp") -> Answer | None:
    """Return who answers at a port of the router from the internet, of sys-net else."""
    return probe(lab, where, EDGE if where == "internet" else NET, port, proto)


def reached(lab: RunningLab, where: str, port: int, inner: int, proto: str) -> None:
    """Wait until the server sees a client from there with its real address."""
    client = INTERNET if where == "internet" else LAN
    wanted = Answer("work", client, inner)
    eventually(lambda: reach(lab, where, port, proto), wanted)


def renew(lab: RunningLab, inner: int, proto: str) -> tuple[str, int, int] | None:
    """Ask for a mapping again, for longer; return where it is."""
    told = natpmpc(lab, "work", inner, 0, proto, 600)
    return None if told is None else (told.address, told.outer, told.lifetime)


def lasts(lab: RunningLab, hop: str, port: int) -> bool:
    """Whether a hop was told that a port is open for minutes, and has taken it in."""
    (forward,) = (f for f in forwards_of(lab, "work") if f"={port}-" in f["rule"])
    ends = [step["until"] for step in forward["path"] if step["qube"] == hop]
    return bool(forward["state"] == "active" and min(ends) > time.time() + 500)


class TestNatPmp:
    @pytest.mark.parametrize("proto", ["udp", "tcp"])
    def test_gets_uses_renews_and_deletes(
        self, granting: RunningLab, proto: str
    ) -> None:
        inner = 5000 if proto == "udp" else 5001
        with serving(granting, "work", [inner]):
            told = natpmpc(granting, "work", inner, inner + 10, proto, 60)
            assert told is not None
            assert (told.outer, told.lifetime) == (inner + 10, 60)
            reached(granting, "lan", inner + 10, inner, proto)
            reached(granting, "internet", inner + 10, inner, proto)
            assert mapped(granting, "work") == {f"{proto} {inner + 10}": "active"}
            assert renew(granting, inner, proto) == (EDGE, inner + 10, 600)
            for hop in ("sys-net", "sys-firewall"):
                eventually(partial(lasts, granting, hop, inner + 10), True)
            told = natpmpc(granting, "work", inner, 0, proto, 0)
            assert told is not None
            eventually(lambda: reach(granting, "lan", inner + 10, proto), None)
            eventually(lambda: reach(granting, "internet", inner + 10, proto), None)
            assert mapped(granting, "work") == {}

    def test_knows_the_outside_before_it_asks_for_a_port(
        self, granting: RunningLab
    ) -> None:
        told = natpmpc(granting, "work")
        assert told is not None
        assert told.address == EDGE

    def test_loses_it_in_time(self, granting: RunningLab) -> None:
        with serving(granting, "work", [5030]):
            assert natpmpc(granting, "work", 5030, 5030, "tcp", 2) is not None
            reached(granting, "internet", 5030, 5030, "tcp")
            eventually(lambda: reach(granting, "lan", 5030, "tcp"), None)
            eventually(lambda: reach(granting, "internet", 5030, "tcp"), None)
            eventually(lambda: listed(granting), [])


def listed(lab: RunningLab) -> list[str]:
    """Return what the gateway lists to work, as `UDP 5010->5000`."""
    at = addresses(lab, ["work", "sys-firewall"])
    found = list_by_upnp(lab, "work", at["sys-firewall"])
    return [each.replace(f"{at['work']}:", "") for each in found]


def by_upnp(lab: RunningLab, *words: str) -> str:
    """Run upnpc in work, which knows where the gateway is."""
    gateway = addresses(lab, ["sys-firewall"])["sys-firewall"]
    return upnpc(lab, "work", *words, gateway=gateway)


@needs_nftables
class TestUpnp:
    def test_gets_lists_uses_and_deletes(self, granting: RunningLab) -> None:
        own = addresses(granting, ["work"])["work"]
        with serving(granting, "work", [5100]):
            said = upnpc(granting, "work", "-a", own, "5100", "5110", "tcp", "60")
            assert f"5110 TCP is redirected to internal {own}:5100" in said, said
            assert f"ExternalIPAddress = {EDGE}" in said
            reached(granting, "lan", 5110, 5100, "tcp")
            reached(granting, "internet", 5110, 5100, "tcp")
            assert listed(granting) == ["TCP 5110->5100"]
            said = by_upnp(granting, "-d", "5110", "tcp")
            assert "UPNP_DeletePortMapping() returned : 0" in said
            eventually(lambda: reach(granting, "lan", 5110, "tcp"), None)
            eventually(lambda: reach(granting, "internet", 5110, "tcp"), None)

    def test_renews_and_loses_it_in_time(self, granting: RunningLab) -> None:
        own = addresses(granting, ["work"])["work"]
        add = ["-a", own, "5140", "5141", "tcp"]
        with serving(granting, "work", [5140]):
            assert "is redirected" in by_upnp(granting, *add, "60")
            reached(granting, "internet", 5141, 5140, "tcp")
            assert "is redirected" in by_upnp(granting, *add, "600")
            eventually(partial(lasts, granting, "sys-net", 5141), True)
            assert listed(granting) == ["TCP 5141->5140"]
            assert "is redirected" in by_upnp(granting, *add, "2")
            eventually(lambda: reach(granting, "lan", 5141, "tcp"), None)
            eventually(lambda: reach(granting, "internet", 5141, "tcp"), None)
            assert listed(granting) == []

    def test_sees_and_leaves_what_the_qube_holds_by_other_protocols(
        self, granting: RunningLab
    ) -> None:
        assert natpmpc(granting, "work", 5120, 5121, "udp", 60) is not None
        assert listed(granting) == ["UDP 5121->5120"]
        assert "failed with code : 606" in by_upnp(granting, "-d", "5121", "udp")
        assert natpmpc(granting, "work", 5120, 0, "udp", 0) is not None
        assert listed(granting) == []

    def test_any_port_if_the_one_is_taken(self, granting: RunningLab) -> None:
        own = addresses(granting, ["work"])["work"]
        with forwarded(granting, "personal", "forwardtype=external srcports=5130"):
            said = by_upnp(granting, "-a", own, "5130", "5130", "tcp", "60")
            assert "failed with code 718" in said, said
            said = by_upnp(granting, "-n", own, "5130", "5130", "tcp", "60")
            assert "is redirected" in said, said
            (only,) = listed(granting)
            assert re.fullmatch(r"TCP \d+->5130", only)
            assert only != "TCP 5130->5130"


class TestBothWays:
    def test_own_packets_leave_by_the_outer_port(self, granting: RunningLab) -> None:
        with mirror(granting, "internet", 9000), mirror(granting, "lan", 9000):
            assert natpmpc(granting, "work", 5200, 5210, "udp", 60) is not None
            eventually(
                lambda: seen_as(granting, "work", 5200, LAN, 9000), f"{NET} 5210"
            )
            eventually(
                lambda: seen_as(granting, "work", 5200, INTERNET, 9000),
                f"{EDGE} 5210",
            )
            assert natpmpc(granting, "work", 5200, 0, "udp", 0) is not None


class TestPcp:
    def test_by_ipv6(self, granting: RunningLab) -> None:
        own, gateway = (
            str(dom0(granting, "qvm-prefs", name, "ip6").stdout).strip()
            for name in ("work", "sys-firewall")
        )
        with Asker(granting, "work") as asker, serving(granting, "work", [5300]):
            response = asker.pcp(own, gateway, 5300, outer=5310)
            assert response is not None
            assert (response.result, response.external) == (0, 5310)
            assert str(response.address) == "2001:db8:1::10"
            edge = str(response.address)
            eventually(
                lambda: probe(granting, "lan", edge, 5310, "udp"),
                Answer("work", "2001:db8:1::20", 5300),
            )
            # Not by IPv4, for which nobody asked.
            assert reach(granting, "lan", 5310) is None
            response = asker.pcp(own, gateway, 5300, lifetime=0)
            assert response is not None
            assert response.result == 0

    def test_a_filter_keeps_everybody_else_out(self, granting: RunningLab) -> None:
        at = addresses(granting, CHAIN)
        own, gateway = at["work"], at["sys-firewall"]
        only = frozenset({ip_network(f"{LAN}/32")})

        def who_is_let_in() -> list[bool]:
            hosts = ("lan", "lan2", "internet")
            return [reach(granting, where, 5330) is not None for where in hosts]

        with Asker(granting, "work") as asker, serving(granting, "work", [5330]):
            first = asker.pcp(own, gateway, 5330, outer=5330, filters=only)
            assert first is not None
            assert first.result == 0
            eventually(who_is_let_in, [True, False, False])
            # Prefix length 0 takes the filters away (RFC 6887, 13.3).
            anyone = frozenset({ip_network("0.0.0.0/0")})
            wider = asker.pcp(own, gateway, 5330, filters=anyone)
            assert wider is not None
            assert wider.result == 0
            eventually(who_is_let_in, [True, True, True])
            asker.pcp(own, gateway, 5330, lifetime=0)

    def test_nonces_of_others_change_nothing(self, granting: RunningLab) -> None:
        at = addresses(granting, CHAIN)
        own, gateway = at["work"], at["sys-firewall"]
        with Asker(granting, "work") as asker:
            first = asker.pcp(own, gateway, 5320, outer=5320)
            assert first is not None
            again = asker.pcp(own, gateway, 5320, outer=5321)
            assert again is not None
            assert (again.result, again.external) == (0, 5320)
            for lifetime in (3600, 0):
                other = asker.pcp(
                    own, gateway, 5320, nonce=b"second nonce", lifetime=lifetime
                )
                assert other is not None
                assert other.result == 2  # NOT_AUTHORIZED
            assert mapped(granting, "work") == {"udp 5320": "active"}
            asker.pcp(own, gateway, 5320, lifetime=0)


class TestForwardOfTheUsers:
    def test_reaches_the_internet_if_it_says_so(self, granting: RunningLab) -> None:
        rule = "forwardtype=external proto=tcp srcports=5400"
        with serving(granting, "work", [5400]):
            with forwarded(granting, "work", rule):
                reached(granting, "lan", 5400, 5400, "tcp")
                assert reach(granting, "internet", 5400, "tcp") is None
            with forwarded(granting, "work", f"{rule} reach=internet"):
                reached(granting, "internet", 5400, 5400, "tcp")
                (forward,) = forwards_of(granting, "work")
                assert forward["extent"] == "internet"
                assert forward["edge"] == f"{EDGE}:5400"
            eventually(lambda: reach(granting, "internet", 5400, "tcp"), None)

    def test_is_told_to_programs_that_want_the_port_and_stays(
        self, granting: RunningLab
    ) -> None:
        rule = (
            "forwardtype=external proto=tcp srcports=5411 dstports=5410 reach=internet"
        )
        with forwarded(granting, "work", rule):
            assert listed(granting) == []
            told = natpmpc(granting, "work", 5410, 5410, "tcp", 60)
            assert told is not None
            assert told.outer == 5411
            for _ in range(2):
                assert natpmpc(granting, "work", 5410, 0, "tcp", 0) is None
            (forward,) = forwards_of(granting, "work")
            assert (forward["origin"], forward["state"]) == ("user", "active")


class TestSwitch:
    def test_off_is_nobody_there(self, granting: RunningLab) -> None:
        gateway = addresses(granting, ["sys-firewall"])["sys-firewall"]
        with Asker(granting, "personal") as asker:
            assert asker.is_refused(gateway, 5351)
            assert asker.is_refused(gateway, 1900)
        assert probe(granting, "personal", gateway, 49000) is None


def extent(lab: RunningLab) -> str:
    (forward,) = forwards_of(lab, "work")
    return str(forward["extent"])


class TestRouters:
    """What becomes of it with routers of other kinds."""

    def test_one_with_upnp_only(self, make_lab: MakeLab) -> None:
        with make_lab(router_topology(natpmp=False, running=CHAIN)) as lab:
            allow(lab, "work")
            with serving(lab, "work", [5000]):
                assert natpmpc(lab, "work", 5000, 5010, "udp", 60) is not None
                reached(lab, "internet", 5010, 5000, "udp")
                told = natpmpc(lab, "work", 5000, 5010, "udp", 60)
                assert told is not None
                assert told.address == EDGE
                assert extent(lab) == "internet"
                # Whoever asked for it is dead when it is to be closed.
                for pid in (pids := lab.pids("sys-net", "qubes-forward-gateway")):
                    os.kill(pid, signal.SIGSTOP)
                forbid(lab, "work")
                eventually(lambda: reach(lab, "lan", 5010), None)
                table = ["nft", "list", "table", "inet", "router"]
                assert "5010" in lab.check("router", *table)
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                eventually(lambda: "5010" in lab.check("router", *table), False)

    def test_one_that_says_no(self, make_lab: MakeLab) -> None:
        with make_lab(router_topology(rules=REFUSE_ALL, running=CHAIN)) as lab:
            allow(lab, "work")
            with serving(lab, "work", [5000]):
                assert natpmpc(lab, "work", 5000, 5010, "udp", 60) is not None
                reached(lab, "lan", 5010, 5000, "udp")
                eventually(lambda: extent(lab), "refused")
                assert reach(lab, "internet", 5010) is None

    def test_one_that_knows_nothing_of_it(self, make_lab: MakeLab) -> None:
        topology = router_topology(natpmp=False, upnp=False, running=CHAIN)
        with make_lab(topology) as lab:
            allow(lab, "work")
            with serving(lab, "work", [5000]):
                assert natpmpc(lab, "work", 5000, 5010, "udp", 60) is not None
                reached(lab, "lan", 5010, 5000, "udp")
                eventually(lambda: extent(lab), "silent", patience=15)
                # The program has a port of the LAN, and goes on to have it.
                told = natpmpc(lab, "work", 5000, 5010, "udp", 60)
                assert told is not None
                assert told.address == NET

    def test_one_behind_a_carriers_nat(self, make_lab: MakeLab) -> None:
        with make_lab(router_topology(outside=CARRIER, running=CHAIN)) as lab:
            allow(lab, "work")
            assert natpmpc(lab, "work", 5000, 5010, "udp", 60) is not None
            eventually(lambda: extent(lab) in ("carrier", "refused"), True)
