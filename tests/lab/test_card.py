# SPDX-License-Identifier: GPL-2.0-or-later
"""The physical card of sys-net, as cables, drivers and DHCP change it."""

from __future__ import annotations

import pytest

from tests.lab.moving import (
    NET,
    NET6,
    Moving,
    forwarding,
)
from tests.lab.standing import eventually

pytestmark = pytest.mark.lab


def card_addresses(moving: Moving) -> set[str]:
    return set(moving.forwards("work")[0]["dial"])


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
