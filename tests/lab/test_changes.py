# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards while everything around them changes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.lab.forwards import forwards_of
from tests.lab.moving import (
    EXTERNAL,
    INNER,
    NET,
    NET6,
    OUTER,
    Moving,
    forwarding,
    moving_lab,
)
from tests.lab.openings import published
from tests.lab.standing import eventually
from tests.lab.traffic import serving

pytestmark = pytest.mark.lab

CHAIN = ("sys-net", "sys-firewall", "work")
FORWARDS_SET = "admin.vm.firewall.Set"
OTHER = ("sys-net", "other-firewall", "work")


@pytest.fixture(scope="module")
def moving() -> Iterator[Moving]:
    with moving_lab() as one:
        yield one


def states(moving: Moving, qube: str) -> list[str]:
    return [forward["state"] for forward in forwards_of(moving.lab, qube)]


def first(moving: Moving, qube: str) -> dict[str, Any]:
    return forwards_of(moving.lab, qube)[0]


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
            assert states(moving, "work") == ["unreachable"]
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
            assert states(moving, "work") == ["pending"]
            assert f"{hop} is halted" in first(moving, "work")["reason"]
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
                assert states(moving, "personal") == ["pending"]
            finally:
                moving.do("qvm-unpause sys-firewall")
            try:
                with serving(moving.lab, "personal", [INNER]):
                    eventually(lambda: moving.lan.reach(NET, OUTER), "personal")
                eventually(lambda: states(moving, "personal"), ["active"])
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
                assert states(moving, "work") == ["active"]
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


class TestCopies:
    def test_next_qube_of_a_name_and_address_inherits_nothing(
        self, moving: Moving
    ) -> None:
        make = "qvm-create --label green --prop netvm=sys-firewall shop"
        moving.do(make)
        moving.do("qvm-start shop")
        with forwarding(moving, "shop"):
            eventually(moving.sees, "shop")
            address = moving.address("shop")
            moving.do("qvm-kill shop")
            moving.do("qvm-remove -f shop")
            moving.do(make)
            assert moving.address("shop") == address
            moving.do("qvm-start shop")
            try:
                with serving(moving.lab, "shop", [INNER, OUTER]):
                    moving.wait_open()
                    assert moving.sees() is None
                    assert forwards_of(moving.lab, "shop") == []
            finally:
                moving.do("qvm-kill shop")
                moving.do("qvm-remove -f shop")

    def test_clone_has_no_forwards(self, moving: Moving) -> None:
        with forwarding(moving):
            moving.do("qvm-clone work copy")
            try:
                assert forwards_of(moving.lab, "copy") == []
            finally:
                moving.do("qvm-remove -f copy")

    def test_rename_keeps_nothing_open_under_the_old_name(self, moving: Moving) -> None:
        """As Qubes renames: a clone, and removal of the original."""
        moving.do("qvm-create --label green --prop netvm=sys-firewall shop")
        moving.do("qvm-start shop")
        with forwarding(moving, "shop"):
            eventually(moving.sees, "shop")
            moving.do("qvm-kill shop")
            moving.do("qvm-clone --with-files shop store")
            moving.do("qvm-remove -f shop")
            try:
                moving.do("qvm-start store")
                with serving(moving.lab, "store", [INNER, OUTER]):
                    moving.wait_open()
                    assert states(moving, "store") == ["unconfirmed"]
                    assert moving.sees() is None
                    moving.do("qvm-firewall store confirm")
                    eventually(moving.sees, "store")
            finally:
                moving.do("qvm-kill store")
                moving.do("qvm-remove -f store")

    def test_restored_copy_waits_for_consent_and_is_the_younger(
        self, moving: Moving
    ) -> None:
        """Its name comes before the original's: that must not make it the older."""
        with forwarding(moving):
            moving.do("qvm-clone --with-files work archive")
            try:
                moving.do("qvm-start archive")
                with serving(moving.lab, "archive", [INNER]):
                    assert states(moving, "archive") == ["unconfirmed"]
                    eventually(moving.sees, "work")
                    moving.do("qvm-firewall archive confirm")
                    assert states(moving, "archive") == ["conflict"]
                    eventually(moving.sees, "work")
                    moving.do("qvm-forward work --close-all")
                    eventually(moving.sees, "archive")
            finally:
                moving.do("qvm-kill archive")
                moving.do("qvm-remove -f archive")


def make_disposable(moving: Moving) -> str:
    """Make and start one, as programs do."""
    asked = "qubesd-query -e dom0 admin.vm.CreateDisposable default-dvm"
    name = moving.do(asked)
    moving.do(f"qubesd-query -e dom0 admin.vm.Start {name}")
    return name


class TestDisposables:
    def test_several_at_once_and_the_next_in_line(self, moving: Moving) -> None:
        rule = f"{EXTERNAL} disposables=yes"
        moving.do(f"qvm-firewall default-dvm add {rule}")
        made: list[str] = []
        try:
            made += [make_disposable(moving) for _ in range(3)]
            one, two, three = made
            # Each serves, so who answers is who has the port.
            with (
                serving(moving.lab, one, [INNER]),
                serving(moving.lab, two, [INNER]),
                serving(moving.lab, three, [INNER]),
            ):
                eventually(moving.sees, one)
                assert states(moving, two) == ["conflict"]
                assert one in first(moving, three)["reason"]
                moving.do(f"qvm-kill {one}")
                eventually(moving.sees, two)
                moving.do(f"qvm-kill {two}")
                eventually(moving.sees, three)
        finally:
            end_all(moving, made)
            moving.do("qvm-forward default-dvm --close-all")
        moving.wait_open()

    def test_none_without_the_word(self, moving: Moving) -> None:
        moving.do(f"qvm-firewall default-dvm add {EXTERNAL}")
        name = make_disposable(moving)
        try:
            with serving(moving.lab, name, [INNER]):
                moving.wait_open()
                assert moving.sees() is None
                assert forwards_of(moving.lab, name) == []
        finally:
            end_all(moving, [name])
            moving.do("qvm-forward default-dvm --close-all")


def end_all(moving: Moving, names: Sequence[str]) -> None:
    for name in names:
        moving.lab.exec("dom0", ["qvm-kill", name])


def card_addresses(moving: Moving) -> set[str]:
    return set(first(moving, "work")["dial"])


class TestCard:
    """The physical card of sys-net, as cables, drivers and DHCP change it."""

    def test_down_and_up(self, moving: Moving) -> None:
        with forwarding(moving):
            eventually(moving.sees, "work")
            moving.inside("sys-net", "ip link set ens6 down")
            try:
                eventually(moving.sees, None)
            finally:
                plug_in(moving, "ens6")
            eventually(moving.sees, "work")
            eventually(lambda: moving.sees(NET6), "work")

    def test_renamed(self, moving: Moving) -> None:
        with forwarding(moving):
            eventually(moving.sees, "work")
            rename(moving, "ens6", "wlp2s0")
            try:
                eventually(moving.sees, "work")
                eventually(lambda: moving.sees(NET6), "work")
            finally:
                rename(moving, "wlp2s0", "ens6")
            eventually(moving.sees, "work")

    def test_replaced(self, moving: Moving) -> None:
        make = "ip link add link ens6 name usb0 type macvlan mode bridge"
        with forwarding(moving):
            eventually(moving.sees, "work")
            moving.inside("sys-net", "ip addr flush dev ens6")
            moving.inside("sys-net", make)
            try:
                plug_in(moving, "usb0")
                eventually(moving.sees, "work")
                eventually(lambda: card_addresses(moving), {NET, NET6})
            finally:
                moving.inside("sys-net", "ip link del usb0")
                plug_in(moving, "ens6")
            eventually(moving.sees, "work")

    def test_address_changed(self, moving: Moving) -> None:
        with forwarding(moving):
            eventually(moving.sees, "work")
            moving.inside("sys-net", "ip addr del 192.168.1.10/24 dev ens6")
            moving.inside("sys-net", "ip addr add 192.168.1.77/24 dev ens6")
            try:
                eventually(lambda: moving.sees("192.168.1.77"), "work")
                eventually(lambda: card_addresses(moving), {"192.168.1.77", NET6})
            finally:
                moving.inside("sys-net", "ip addr del 192.168.1.77/24 dev ens6")
                plug_in(moving, "ens6")
            eventually(moving.sees, "work")
            eventually(lambda: card_addresses(moving), {NET, NET6})


def plug_in(moving: Moving, card: str) -> None:
    """Give a card what DHCP and router advertisements would."""
    batch = [
        f"link set {card} up",
        f"addr replace {NET}/24 dev {card}",
        f"addr replace {NET6}/64 dev {card} nodad",
        f"route replace default via 192.168.1.1 dev {card}",
        f"-6 route replace default via 2001:db8:1::1 dev {card}",
    ]
    for command in batch:
        moving.inside("sys-net", f"ip {command}")
    # A card that is new to its network says so, and neighbours forget the old one.
    moving.inside("lan", "ip neigh flush all")
    moving.inside("lan", "ip -6 neigh flush all")


def rename(moving: Moving, old: str, new: str) -> None:
    moving.inside("sys-net", f"ip link set {old} down")
    moving.inside("sys-net", f"ip link set {old} name {new}")
    plug_in(moving, new)


def test_status_of_all_is_right_after_all_that(moving: Moving) -> None:
    told = json.loads(moving.do("qvm-forward --json"))
    assert not [f for qube in told["qubes"] for f in qube["forwards"]]
    assert all(hop["state"] == "ok" for hop in told["hops"])
