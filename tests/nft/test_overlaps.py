# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.model.entry import Entry
from qubesforward.model.hosts import networks_overlap
from qubesforward.nft.overlaps import Occupied
from tests.nft.entries import entry


def obstacle(first: str, second: str) -> str | None:
    occupied = Occupied()
    occupied.take("00000001", entry(first))
    return occupied.find_obstacle("00000002", entry(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", "proto=udp"),
        ("", "in=local"),
        ("", "ports=444"),
        ("", "src=::/0"),
        ("ports=1-442", "ports=443-500"),
        ("src=10.0.0.0/8", "src=192.168.0.0/16"),
        ("in=serve src=10.137.0.5/32", "in=serve src=10.137.0.6/32"),
        ("in=serve src=10.137.0.5/32", "in=local"),
        ("in=serve src=10.137.0.5/32", "in=self"),
    ],
)
def test_what_no_packet_can_match_both_of_stands_together(
    first: str, second: str
) -> None:
    assert obstacle(first, second) is None
    assert obstacle(second, first) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", ""),
        ("ports=443", "ports=400-500"),
        ("ports=400-500", "ports=500-600"),
        ("", "src=10.0.0.0/8"),
        ("src=10.0.0.0/8", "src=10.1.0.0/16 ports=1-65535"),
        ("in=uplink", "in=self"),
    ],
)
def test_overlaps_are_refused_naming_the_other(first: str, second: str) -> None:
    assert obstacle(first, second) == f"ports={entry(second).ports}: overlaps 00000001"
    assert obstacle(second, first) is not None


def test_ids_that_differ_only_in_the_first_digit_cannot_stand_together() -> None:
    occupied = Occupied()
    occupied.take("1abcdef0", entry(""))
    reason = occupied.find_obstacle("2abcdef0", entry("ports=80"))
    assert reason == "2abcdef0: too much like the ID 1abcdef0"


@pytest.mark.parametrize("entry_id", ["30000000", "3fffffff", "3ffffffe"])
def test_an_id_that_would_be_the_mark_of_doors_is_refused(entry_id: str) -> None:
    reason = Occupied().find_obstacle(entry_id, entry(""))
    assert reason == f"{entry_id}: an ID must not end in these digits"


ALREADY = "mapped=yes: what is sent is mapped by 00000001 already"


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("ports=6001 toports=5000", ALREADY),
        ("ports=6000 toports=5001 src=10.0.0.0/8", ALREADY),
        ("ports=6001 toports=5001", None),
        ("ports=6001 toports=5000 to=10.137.0.6", None),
        ("ports=6000 toports=5000 proto=udp", None),
        ("ports=6000 toports=5000 src=::/0", None),
    ],
)
def test_what_is_sent_can_be_mapped_once_only(second: str, reason: str | None) -> None:
    occupied = Occupied()
    first = entry("mapped=yes ports=6000 toports=5000 src=192.168.0.0/16")
    occupied.take("00000001", first)
    new = entry(f"mapped=yes {second}")
    assert occupied.find_obstacle("00000002", new) == reason
    assert occupied.find_obstacle("00000001", new) is None
    unmapped = entry("ports=6001 toports=5000")
    assert occupied.find_obstacle("00000002", unmapped) is None
    occupied.release("00000001", first)
    assert occupied.find_obstacle("00000002", new) is None


def test_what_is_released_is_free_again() -> None:
    occupied = Occupied()
    for text in ("", "ports=400-700"):
        occupied.take("00000001", entry(text))
        occupied.release("00000001", entry(text))
        assert occupied.find_obstacle("f0000001", entry(text)) is None


entries = st.builds(
    lambda first, more, bits: entry(
        f"ports={first}-{min(65535, first + more)} src=128.0.0.0/{bits}"
        if bits
        else f"ports={first}-{min(65535, first + more)}"
    ),
    st.integers(1, 1200),
    st.sampled_from([0, 1, 255, 256, 300]),
    st.sampled_from([0, 1, 2]),
)


@given(st.lists(entries, max_size=12), entries)
def test_the_index_finds_what_comparing_with_each_finds(
    others: list[Entry], new: Entry
) -> None:
    occupied = Occupied()
    for number, other in enumerate(others, 1):
        occupied.take(f"{number:08x}", other)
    expected = any(
        other.ports.overlaps(new.ports) and networks_overlap(other.src, new.src)
        for other in others
    )
    assert (occupied.find_obstacle("00000fff", new) is not None) is expected
