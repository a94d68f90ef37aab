# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards while everything around them changes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from tests.lab.moving import (
    EXTERNAL,
    INNER,
    NET,
    NET6,
    OUTER,
    Moving,
    forwarding,
)
from tests.lab.openings import published
from tests.lab.standing import eventually
from tests.lab.traffic import serving

pytestmark = pytest.mark.lab

CHAIN = ("sys-net", "sys-firewall", "work")
FORWARDS_SET = "admin.vm.firewall.Set"
OTHER = ("sys-net", "other-firewall", "work")


class TestNetvm:
    def test_of_the_target(self, moving: Moving) -> None:
        with forwarding(moving):
            eventually(moving.sees, "work")
            moving.do("qvm-prefs work netvm other-firewall")
            eventually(moving.sees, "work")
            moving.wait_open(*OTHER)
            moving.do("qvm-prefs work netvm none")
            eventually(moving.sees, None)
            moving.wait_open()
            assert moving.states("work") == ["unreachable"]
            moving.do("qvm-prefs work netvm sys-firewall")
            eventually(moving.sees, "work")
            eventually(lambda: moving.sees(NET6), "work")
            moving.wait_open(*CHAIN)

    def test_of_a_hop(self, moving: Moving) -> None:
        with forwarding(moving):
            eventually(moving.sees, "work")
            moving.do("qvm-prefs sys-firewall netvm none")
            eventually(moving.sees, None)
            # It is the outermost now; whatever card it may get leads in.
            moving.wait_open("sys-firewall", "work")
            moving.do("qvm-prefs sys-firewall netvm other-firewall")
            eventually(moving.sees, "work")
            moving.wait_open("other-firewall", *CHAIN)
            moving.do("qvm-prefs sys-firewall netvm sys-net")
            eventually(moving.sees, "work")
            moving.wait_open(*CHAIN)

    def test_old_path_is_closed_before_the_new_one_opens(self, moving: Moving) -> None:
        """With the old hop's agent asleep, so that there is time to look."""
        with forwarding(moving):
            eventually(moving.sees, "work")
            agent = moving.lab.pids("sys-firewall", "qubes-forward-agent")
            for pid in agent:
                os.kill(pid, signal.SIGSTOP)
            try:
                moving.do("qvm-prefs work netvm other-firewall")
                eventually(lambda: published(moving.reader, "sys-firewall"), set())
                # The others have closed, and nothing new is open while it sleeps;
                # only after a while they no longer wait for it.
                eventually(moving.sees, "work")
                assert published(moving.reader, "sys-firewall") == set()
            finally:
                for pid in agent:
                    os.kill(pid, signal.SIGCONT)
            moving.wait_open(*OTHER)
            moving.do("qvm-prefs work netvm sys-firewall")
            eventually(moving.sees, "work")
            moving.wait_open(*CHAIN)

    def test_back_and_forth_faster_than_it_can_follow(self, moving: Moving) -> None:
        with forwarding(moving):
            for netvm in ("other-firewall", "none", "sys-firewall") * 5:
                value = "" if netvm == "none" else netvm
                moving.caller.call("admin.vm.property.Set", "work", "netvm", value)
            eventually(moving.sees, "work")
            moving.wait_open(*CHAIN)


def restart_in(moving: Moving, ended: Sequence[str], begun: Sequence[str]) -> None:
    for qube in ended:
        moving.do(f"qvm-kill {qube}")
    for qube in begun:
        moving.do(f"qvm-start --skip-if-running {qube}")


class TestRunning:
    @pytest.mark.parametrize("how", ["qvm-kill", "qvm-shutdown --force --wait"])
    @pytest.mark.parametrize("hop", CHAIN)
    def test_one_of_the_chain_ends_and_comes_back(
        self, moving: Moving, hop: str, how: str
    ) -> None:
        with forwarding(moving):
            eventually(moving.sees, "work")
            moving.do(f"{how} {hop}")
            eventually(moving.sees, None)
            moving.wait_open()
            assert moving.states("work") == ["pending"]
            assert f"{hop} is halted" in moving.forwards("work")[0]["reason"]
            moving.do(f"qvm-start {hop}")
            with serving_if_ended(moving, hop == "work"):
                eventually(moving.sees, "work")
                moving.wait_open(*CHAIN)

    @pytest.mark.parametrize(
        ("ended", "begun"),
        [
            (CHAIN, CHAIN),
            (CHAIN, CHAIN[::-1]),
            (CHAIN[::-1], ("sys-firewall", "work")),
            (("work", "sys-net"), ("work", "sys-net")),
            (("sys-firewall", "sys-net"), ("sys-net", "sys-firewall")),
        ],
    )
    def test_several_in_any_order(
        self, moving: Moving, ended: Sequence[str], begun: Sequence[str]
    ) -> None:
        with forwarding(moving):
            eventually(moving.sees, "work")
            restart_in(moving, ended, begun)
            with serving_if_ended(moving, "work" in ended):
                eventually(moving.sees, "work")
                moving.wait_open(*CHAIN)

    def test_hop_killed_again_and_again(self, moving: Moving) -> None:
        with forwarding(moving):
            for _ in range(5):
                restart_in(moving, ["sys-firewall"], ["sys-firewall"])
            eventually(moving.sees, "work")
            moving.wait_open(*CHAIN)

    def test_paused_hop_holds_up_nobody_and_catches_up(self, moving: Moving) -> None:
        with forwarding(moving):
            eventually(moving.sees, "work")
            moving.do("qvm-pause sys-firewall")
            try:
                # As the tool would, but that it complains of the hop's silence.
                moving.caller.call(FORWARDS_SET, "work", "forward")
                moving.do(f"qvm-firewall personal add {EXTERNAL} proto=tcp")
                assert moving.sees() is None
                eventually(
                    lambda: moving.openings()["sys-net"],
                    {
                        f"external tcp 443-443 {anyone} to {to} 443-443"
                        for anyone, to in (
                            ("0.0.0.0/0", moving.address("sys-firewall")),
                            ("::/0", moving.address("sys-firewall", 6)),
                        )
                    },
                )
                assert moving.states("personal") == ["pending"]
            finally:
                moving.do("qvm-unpause sys-firewall")
            try:
                with serving(moving.lab, "personal", [INNER]):
                    eventually(lambda: moving.lan.reach(NET, OUTER), "personal")
                eventually(lambda: moving.states("personal"), ["active"])
            finally:
                moving.do("qvm-forward personal --close-all")
            moving.wait_open()


def serving_if_ended(moving: Moving, ended: bool) -> Any:
    """Serve again in work, where its first server ended with it."""
    return serving(moving.lab, "work", [INNER] if ended else [])


class TestAddresses:
    @pytest.mark.parametrize("qube", ["work", "sys-firewall"])
    def test_ip_changed(self, moving: Moving, qube: str) -> None:
        old = moving.address(qube)
        with forwarding(moving):
            eventually(moving.sees, "work")
            moving.do(f"qvm-prefs {qube} ip 10.137.7.7")
            try:
                eventually(moving.sees, "work")
                shown = str(moving.settle())
                assert old not in shown
                assert "10.137.7.7" in shown
            finally:
                moving.do(f"qvm-prefs --default {qube} ip")
            eventually(moving.sees, "work")
            assert "10.137.7.7" not in str(moving.settle())

    def test_ipv6_off_and_on(self, moving: Moving) -> None:
        with forwarding(moving):
            eventually(lambda: moving.sees(NET6), "work")
            moving.do("qvm-features sys-net ipv6 ")
            try:
                eventually(lambda: moving.sees(NET6), None)
                eventually(moving.sees, "work")
                assert "::" not in str(moving.settle())
                assert moving.states("work") == ["active"]
            finally:
                moving.do("qvm-features sys-net ipv6 1")
            eventually(lambda: moving.sees(NET6), "work")
            eventually(moving.sees, "work")

    def test_freed_address_inherits_nothing(self, moving: Moving) -> None:
        address = moving.address("work")
        with forwarding(moving):
            eventually(moving.sees, "work")
            moving.do("qvm-kill work")
            moving.do(f"qvm-prefs personal ip {address}")
            try:
                with serving(moving.lab, "personal", [INNER, OUTER]):
                    assert moving.sees() is None
                    moving.wait_open()
                    assert moving.sees() is None
            finally:
                moving.do("qvm-prefs --default personal ip")
                moving.do("qvm-start work")

    def test_address_of_a_running_qube_moves_to_another(self, moving: Moving) -> None:
        """Work gives it up, personal has it at once: what led there is closed."""
        address = moving.address("work")
        with forwarding(moving), serving(moving.lab, "personal", [INNER, OUTER]):
            eventually(moving.sees, "work")
            moving.do("qvm-prefs work ip 10.137.7.8")
            moving.do(f"qvm-prefs personal ip {address}")
            try:
                assert moving.sees() in (None, "work")
                eventually(moving.sees, "work")
                assert f"to {address} " not in str(moving.settle())
            finally:
                moving.do("qvm-prefs --default personal ip")
                moving.do("qvm-prefs --default work ip")
            eventually(moving.sees, "work")


def test_status_of_all_is_right_after_all_that(moving: Moving) -> None:
    told = json.loads(moving.do("qvm-forward --json"))
    assert not [f for qube in told["qubes"] for f in qube["forwards"]]
    assert all(hop["state"] == "ok" for hop in told["hops"])
