# SPDX-License-Identifier: GPL-2.0-or-later
"""One change costs one write; an ID never gets another meaning."""

from dataclasses import replace
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from qubesforward.model.entry import Entry, parse_entry
from qubesforward.plan.diff import diff_hop, diff_planned_hop


def _entry(port: int, until: int | None = None) -> Entry:
    entry = parse_entry(
        f"in=uplink proto=tcp ports={port}-{port} src=0.0.0.0/0 to=10.137.0.20"
        f" toports={port}-{port}"
    )
    return replace(entry, until=until)


def test_one_more_forward_is_one_write() -> None:
    present = {f"{n:08x}": _entry(n) for n in range(1, 1000)}
    wanted = [*present.values(), _entry(5000)]
    diff = diff_hop(wanted, present, count(0x5000))
    assert diff.remove == ()
    assert diff.write == {"00005000": _entry(5000)}


def test_a_moved_end_keeps_the_id() -> None:
    diff = diff_hop([_entry(80, until=9)], {"0000000a": _entry(80, until=5)}, count(1))
    assert diff.remove == ()
    assert diff.write == {"0000000a": _entry(80, until=9)}


def test_changed_content_gets_a_fresh_id() -> None:
    diff = diff_hop([_entry(81)], {"0000000a": _entry(80)}, count(0xA))
    assert diff.remove == ("0000000a",)
    assert diff.write == {"0000000b": _entry(81)}


def test_ids_differ_in_the_bits_that_the_kernel_keeps() -> None:
    # Neither what others have, nor what doors have.
    numbers = iter([0x10000005, 0x20000000, 0x1FFFFFFF, 0x1FFFFFFE, 0x30000006])
    diff = diff_hop([_entry(80), _entry(81)], {"00000005": _entry(80)}, numbers)
    assert diff.write == {"30000006": _entry(81)}


def test_what_is_no_entry_or_stands_twice_is_removed() -> None:
    present = {"00000001": _entry(80), "00000002": _entry(80), "00000003": None}
    diff = diff_hop([_entry(80)], present, count(1))
    assert diff.remove == ("00000002", "00000003")
    assert diff.write == {}


@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([None, 5, 9])), max_size=6),
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([None, 5, 9])), max_size=6),
)
def test_what_is_planned_already_need_not_be_looked_at(
    old: list[tuple[int, int | None]], new: list[tuple[int, int | None]]
) -> None:
    planned = frozenset(_entry(port, until) for port, until in dict(old).items())
    wanted = frozenset(_entry(port, until) for port, until in dict(new).items())
    present: dict[str, Entry | None] = {
        f"{number:08x}": one for number, one in enumerate(planned, 1)
    }
    ids = {one.content: i for i, one in present.items() if one is not None}
    taken = {int(entry_id, 16) for entry_id in present}
    whole = diff_hop(wanted, present, count(1))
    diff = diff_planned_hop(wanted, planned, ids, present, taken, count(1))
    assert set(diff.remove) == set(whole.remove)
    after = {i: one for i, one in present.items() if i not in diff.remove}
    assert frozenset((after | dict(diff.write)).values()) == wanted
    assert diff.write.keys() - present.keys() == whole.write.keys() - present.keys()
