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


def test_an_id_that_would_be_the_mark_of_targets_is_refused() -> None:
    reason = Occupied().find_obstacle("30000000", entry(""))
    assert reason is not None
    assert "zero" in reason


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
