# SPDX-License-Identifier: GPL-2.0-or-later
"""libtorrent, which asks by PCP and UPnP at once, behind two netvms and a router."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.forwards import dom0, forwards_of
from tests.lab.routers import ASKER as NET
from tests.lab.routers import PUBLIC, ROUTER, router_topology
from tests.lab.running_lab import RunningLab, needs_nftables, running_lab
from tests.lab.standing import Caller, eventually
from tests.lab.torrents import Port, Session

EDGE = f"{PUBLIC}1"
LAN = "192.168.1.20"
_ports = itertools.count(6881)
GIVES_UP = 25.0
"""Seconds after which libtorrent has sent all its requests, and now waits for hours."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    file = tmp_path_factory.mktemp("libtorrent") / "topology.toml"
    running = ("sys-net", "sys-firewall", "work")
    file.write_text(router_topology(running=running))
    with running_lab(file) as one:
        yield one


@pytest.fixture(scope="module")
def caller(lab: RunningLab) -> Iterator[Caller]:
    with Caller(lab) as one:
        yield one


@pytest.fixture
def allowed(lab: RunningLab) -> Iterator[RunningLab]:
    dom0(lab, "qvm-features", "work", "portmap", "allow")
    yield lab
    dom0(lab, "qvm-features", "--unset", "work", "portmap")
    eventually(lambda: forwards_of(lab, "work"), [])


@pytest.fixture
def asked(lab: RunningLab) -> Iterator[RunningLab]:
    dom0(lab, "qvm-features", "work", "portmap", "ask")
    yield lab
    dom0(lab, "qvm-features", "--unset", "work", "portmap")
    eventually(lambda: forwards_of(lab, "work"), [])


@pytest.fixture
def port() -> int:
    """A port of this test's own: what was closed a moment ago cannot be bound yet."""
    return next(_ports)


def ports(port: int) -> set[Port]:
    """What libtorrent is told when everything is granted at an outer port."""
    return {
        Port(via, proto, port)
        for via in ("NAT-PMP", "UPnP")
        for proto in ("tcp", "udp")
    }


def edges(lab: RunningLab) -> set[tuple[str, str]]:
    """Where the internet reaches what programs of `work` have, and who asked."""
    return {(each["origin"], each["edge"]) for each in forwards_of(lab, "work")}


def requests(caller: Caller) -> list[dict[str, Any]]:
    told = json.loads(caller.call("admin.vm.firewall.Requests", "dom0", "forward"))
    return list(told["requests"])


@pytest.mark.lab
@needs_nftables
class TestAllowed:
    def test_is_told_the_port_at_which_the_router_is_reached(
        self, allowed: RunningLab, port: int
    ) -> None:
        with Session(allowed, "work", port, maps=True) as session:
            eventually(lambda: session.look().opened, ports(port))
            assert len(forwards_of(allowed, "work")) == 2
            eventually(lambda: edges(allowed), {("portmap", f"{EDGE}:{port}")})

    @pytest.mark.parametrize(
        ("where", "proto"), [("internet", "tcp"), ("internet", "udp"), ("lan", "udp")]
    )
    def test_peer_outside_downloads(
        self, allowed: RunningLab, port: int, where: str, proto: str
    ) -> None:
        with Session(allowed, "work", port, maps=True) as seed:
            eventually(lambda: seed.look().opened, ports(port))
            # The LAN dials sys-net: few routers turn round what comes from inside.
            peer = (EDGE if where == "internet" else NET), port
            with Session(allowed, where, 6999, peer=peer, proto=proto) as leech:
                eventually(lambda: leech.look().has, 1.0, patience=15)
            begins = PUBLIC if where == "internet" else LAN
            assert [p for p in seed.look().peers if p.startswith(begins)]

    def test_is_told_the_port_of_a_router_that_gives_another(
        self, allowed: RunningLab, port: int
    ) -> None:
        words = ["natpmpc", "-g", ROUTER, "-a", str(port), str(port), "tcp", "60"]
        allowed.check("lan", *words)
        # A router that takes its time is not waited for; renewing tells its port.
        dom0(allowed, "qvm-features", "work", "portmap-lifetime", "8")
        with Session(allowed, "work", port, maps=True) as seed:

            def reached() -> set[int]:
                found = {int(e.split(":")[1]) for _, e in edges(allowed) if e}
                return {each.port for each in seed.look().opened} & found - {port}

            eventually(lambda: len(reached()), 1, patience=10)
            peer = EDGE, reached().pop()
            with Session(allowed, "internet", 6999, peer=peer) as leech:
                eventually(lambda: leech.look().has, 1.0, patience=15)
        dom0(allowed, "qvm-features", "--unset", "work", "portmap-lifetime")
        allowed.check("lan", *words[:-1], "0")

    def test_renews_in_time(self, allowed: RunningLab, port: int) -> None:
        def newest() -> int:
            return max(
                int(each["rule"].partition("expire=")[2].split()[0])
                for each in forwards_of(allowed, "work")
            )

        dom0(allowed, "qvm-features", "work", "portmap-lifetime", "8")
        with Session(allowed, "work", port, maps=True) as session:
            eventually(lambda: session.look().opened, ports(port))
            first = newest()
            eventually(lambda: newest() > first + 2, True, patience=9)
        dom0(allowed, "qvm-features", "--unset", "work", "portmap-lifetime")

    def test_takes_back_all_when_it_ends(self, allowed: RunningLab, port: int) -> None:
        session = Session(allowed, "work", port, maps=True)
        eventually(lambda: session.look().opened, ports(port))
        session.finish()
        eventually(lambda: forwards_of(allowed, "work"), [])


@pytest.mark.lab
@needs_nftables
class TestAsked:
    def test_burst_is_one_question(
        self, asked: RunningLab, caller: Caller, port: int
    ) -> None:
        with Session(asked, "work", port, maps=True) as session:
            eventually(lambda: len(requests(caller)), 1)
            question = requests(caller)[0]
            assert (question["qube"], question["inner"]) == ("work", port)
            # It asks for both protocols by UPnP before anybody could have answered.
            caller.call("admin.vm.firewall.Grant", "work", "forward", question["id"])
            eventually(lambda: session.look().opened, ports(port), patience=15)
            assert requests(caller) == []
            told = session.look()
            assert told.failed == []
        log = dom0(asked, "qvm-forward", "--log").stdout
        assert log.count("  requested  ") == 1

    def test_answer_after_it_gave_up(
        self, asked: RunningLab, caller: Caller, port: int
    ) -> None:
        with Session(asked, "work", port, maps=True) as session:
            # By UPnP, for TCP and for UDP: it has asked for all that it ever will.
            eventually(lambda: len(session.look().failed), 2, patience=GIVES_UP)
            (question,) = requests(caller)
            assert set(question["protos"]) == {"tcp", "udp"}
            caller.call("admin.vm.firewall.Grant", "work", "forward", question["id"])
            # PCP's answers may come at any time, and it takes them.
            eventually(lambda: set(session.look().answers), {"tcp", "udp"})
            session.finish()
        with Session(asked, "work", port, maps=True) as again:
            eventually(lambda: again.look().opened, ports(port))
        assert requests(caller) == []
