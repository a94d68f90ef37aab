# SPDX-License-Identifier: GPL-2.0-or-later
"""A block of UDP ports that anyone reaches, of a program that asks nobody for it."""

from __future__ import annotations

import pytest

from tests.lab.conftest import MakeLab
from tests.lab.forwards import dom0
from tests.lab.routers import ASKER, PUBLIC, router_topology
from tests.lab.standing import Prober, eventually
from tests.lab.traffic import serving

IN_BLOCK, BESIDE = 40001, 40004


@pytest.mark.lab
def test_anyone_reaches_a_socket_in_the_block(make_lab: MakeLab) -> None:
    running = ("sys-net", "sys-firewall", "work")
    with (
        make_lab(router_topology(running=running)) as lab,
        serving(lab, "work", [IN_BLOCK, BESIDE]),
        Prober(lab, "internet") as internet,
        Prober(lab, "lan") as lan,
    ):

        def who_is_reached() -> list[str | None]:
            edge = f"{PUBLIC}1"
            return [
                *(internet.reach(edge, port, "udp") for port in (IN_BLOCK, BESIDE)),
                *(lan.reach(ASKER, port, "udp") for port in (IN_BLOCK, BESIDE)),
                lan.reach(ASKER, IN_BLOCK, "tcp"),
            ]

        assert who_is_reached() == [None] * 5
        dom0(lab, "qvm-features", "work", "portmap-cone", "40000-40003")
        assert who_is_reached() == [None] * 5
        dom0(lab, "qvm-features", "work", "portmap", "ask")
        eventually(who_is_reached, ["work", None, "work", None, None])
        dom0(lab, "qvm-firewall", "work", "add", "--before", "0", "drop", "proto=icmp")
        eventually(who_is_reached, [None] * 5)
        said = " ".join(dom0(lab, "qvm-forward", "work").stdout.split())
        assert "its block of UDP ports is not open: portmap-cone=40000-40003" in said
        dom0(lab, "qvm-firewall", "work", "reset")
        eventually(who_is_reached, ["work", None, "work", None, None])
        dom0(lab, "qvm-features", "--unset", "work", "portmap-cone")
        eventually(who_is_reached, [None] * 5)
