# SPDX-License-Identifier: GPL-2.0-or-later
"""Merged doors are disjoint and cover exactly what was asked, as long as asked."""

from ipaddress import IPv4Network, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from qubesforward.model.ports import PortRange
from qubesforward.plan.doors import Door, merge_doors

# A small world, so that doors overlap often: ports 1-6, addresses 10.0.0.0-7.
_ports = st.tuples(st.integers(1, 6), st.integers(1, 6)).map(
    lambda ends: PortRange(min(ends), max(ends))
)
_networks = st.tuples(st.integers(0, 7), st.integers(29, 32)).map(
    lambda x: IPv4Network((0x0A000000 + x[0], x[1]), strict=False)
)
_doors = st.builds(Door, _ports, _networks, st.sampled_from([None, 10, 20, 30]))
_END = 10**9


def _open_until(doors: list[Door], port: int, host: int) -> list[int]:
    address = IPv4Network((0x0A000000 + host, 32))
    return [
        door.until or _END
        for door in doors
        if port in door.ports and address.subnet_of(door.src)  # type: ignore[arg-type]
    ]


@given(st.lists(_doors, max_size=7))
@settings(max_examples=300, deadline=None)
def test_every_place_is_open_once_and_as_long_as_the_longest(doors: list[Door]) -> None:
    merged = merge_doors(doors)
    for port in range(1, 7):
        for host in range(8):
            asked = _open_until(doors, port, host)
            assert _open_until(merged, port, host) == ([max(asked)] if asked else [])


def test_a_door_inside_another_changes_nothing_of_the_other() -> None:
    wide = Door(PortRange(80, 90), ip_network("0.0.0.0/0"), None)
    narrow = Door(PortRange(85, 85), ip_network("192.168.1.0/24"), 100)
    assert merge_doors([narrow, wide]) == [wide]


def test_separate_doors_stay_as_they_are() -> None:
    doors = [Door(PortRange(p, p), ip_network("::/0"), p) for p in range(8000, 8020)]
    assert merge_doors(reversed(doors)) == doors
