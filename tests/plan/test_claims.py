# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports that are taken and given back, single ones and ranges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qubesforward.model.entry import Entry
from qubesforward.plan.claims import Claims
from tests.nft.entries import entry

_ports = st.tuples(st.integers(1, 600), st.sampled_from([0, 0, 1, 300])).map(
    lambda pair: f"{pair[0]}-{pair[0] + pair[1]}"
)
_entries = st.builds(
    lambda ports, entrance, src: entry(f"in={entrance} ports={ports} src={src}"),
    _ports,
    st.sampled_from(["self", "uplink"]),
    st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "192.168.1.0/24"]),
)


def _meet(one: Entry, other: Entry) -> bool:
    both_doors = one.is_door and other.is_door
    return (
        not both_doors
        and one.ports.overlaps(other.ports)
        and one.src.overlaps(other.src)
    )


@given(st.lists(_entries, max_size=20), st.sets(st.integers(0, 19)), _entries)
def test_owners_are_those_who_took_and_did_not_give_back(
    taken: list[Entry], given_back: set[int], needed: Entry
) -> None:
    claims: Claims[int] = Claims()
    for number, one in enumerate(taken):
        claims.take("hop", one, number)
    for number in given_back & set(range(len(taken))):
        claims.release("hop", taken[number], number)
    left = [
        number
        for number, one in enumerate(taken)
        if number not in given_back and _meet(one, needed)
    ]
    assert sorted(claims.find_owners("hop", needed)) == left
    assert claims.find_owner("hop", needed) == (left[0] if left else None)
    assert claims.find_owner("another", needed) is None


def test_of_many_owners_the_first_is_named() -> None:
    # Whoever has a range was named before whoever had a single port.
    claims: Claims[str] = Claims()
    claims.take("hop", entry("in=uplink ports=85"), "older")
    claims.take("hop", entry("in=uplink ports=80-84"), "younger")
    assert claims.find_owner("hop", entry("in=uplink ports=80-90")) == "older"
