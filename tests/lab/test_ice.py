# SPDX-License-Identifier: GPL-2.0-or-later
"""Two programs on two computers: when they connect without a relay, and when not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.forwards import dom0
from tests.lab.peers import Peer, Stun, connect, two_homes
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.standing import eventually

PATIENCE = 4.0
"""Seconds for connecting, in which a check is sent four times; it takes one or two."""

QUBES = ("work", "far", "near")
HOME, OFFICE = "44.128.1.11", "44.128.1.12"


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    file = tmp_path_factory.mktemp("homes") / "topology.toml"
    file.write_text(two_homes())
    with running_lab(file) as lab, Stun(lab):
        yield lab


KEEPING = "masquerade"
CHANGING = "masquerade random"
"""How a router chooses the outer port of a flow: the inner one where it is free, or a
fresh one for each far end, by which nobody can be told where to send to."""


def set_routers(lab: RunningLab, masquerading: str, *, answers: bool = False) -> None:
    """Have routers choose ports in a way, and answer strangers or drop what they send.

    What a Linux router answers by itself it holds for a flow of its own; a flow from
    inside that would leave from the same port gets another.
    """
    verdict = "accept" if answers else "drop"
    rules = f"""
        table inet router {{
            chain input {{
                type filter hook input priority 0;
            }}
        }}
        flush chain inet router input
        flush chain inet router postrouting
        add rule inet router input iifname wan0 ct state new {verdict}
        add rule inet router postrouting meta nfproto ipv4 oifname wan0 {masquerading}
    """
    for router in ("router-home", "router-office"):
        lab.check(router, "nft", "-f", "-", input=rules)


def allow(lab: RunningLab, *qubes: str, reach: str = "internet") -> None:
    """Let programs of these qubes have ports, and of no others."""
    for qube in QUBES:
        dom0(lab, "qvm-features", qube, "portmap-reach", reach)
        dom0(lab, "qvm-features", qube, "portmap", "allow" if qube in qubes else "")

        def is_served(qube: str = qube) -> bool:
            return bool(lab.exec(qube, ["natpmpc"]).returncode == 0)

        eventually(is_served, qube in qubes)


@contextmanager
def peers(lab: RunningLab, one: str, other: str) -> Iterator[tuple[Peer, Peer]]:
    with (
        Peer(lab, one, leads=True, patience=PATIENCE) as first,
        Peer(lab, other, leads=False, patience=PATIENCE) as second,
    ):
        yield first, second


def do_connect(lab: RunningLab, one: str, other: str) -> bool:
    with peers(lab, one, other) as pair:
        return connect(*pair) is not None


@pytest.mark.lab
class TestTwoComputersOnTheInternet:
    """`work`, behind two netvms, and `far`, behind three, each with a router."""

    @pytest.mark.parametrize("qubes", [("work",), ("far",), ("work", "far")])
    @pytest.mark.parametrize(
        ("masquerading", "answers"),
        [(KEEPING, False), (KEEPING, True), (CHANGING, False)],
    )
    def test_connect_if_one_has_its_port(
        self,
        homes: RunningLab,
        masquerading: str,
        answers: bool,
        qubes: tuple[str, ...],
    ) -> None:
        set_routers(homes, masquerading, answers=answers)
        allow(homes, *qubes)
        assert do_connect(homes, "work", "far")

    @pytest.mark.parametrize(
        ("masquerading", "answers", "wanted"),
        [(KEEPING, False, True), (KEEPING, True, False), (CHANGING, False, False)],
    )
    def test_depend_on_the_routers_without(
        self, homes: RunningLab, masquerading: str, answers: bool, wanted: bool
    ) -> None:
        set_routers(homes, masquerading, answers=answers)
        allow(homes)
        assert do_connect(homes, "work", "far") is wanted

    def test_stun_sees_the_mapped_port(self, homes: RunningLab) -> None:
        set_routers(homes, KEEPING)
        allow(homes, "work", "far")
        with peers(homes, "work", "far") as (work, far):
            assert work.knows.mapped == work.knows.seen
            assert work.knows.seen[0] == HOME
            assert far.knows.mapped == far.knows.seen
            assert far.knows.seen[0] == OFFICE


@pytest.mark.lab
class TestTwoComputersOnOneLan:
    """`work` and `near`, behind one netvm, both behind the same router."""

    @pytest.mark.parametrize("qubes", [("work",), ("near",), ("work", "near")])
    def test_connect_if_one_has_a_port_of_the_lan(
        self, homes: RunningLab, qubes: tuple[str, ...]
    ) -> None:
        set_routers(homes, KEEPING)
        allow(homes, *qubes, reach="lan")
        assert do_connect(homes, "work", "near")

    @pytest.mark.parametrize("qubes", [(), ("work",), ("work", "near")])
    def test_do_not_where_the_router_would_have_to_turn_packets_round(
        self, homes: RunningLab, qubes: tuple[str, ...]
    ) -> None:
        set_routers(homes, KEEPING)
        allow(homes, *qubes)
        assert not do_connect(homes, "work", "near")
