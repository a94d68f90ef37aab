# SPDX-License-Identifier: GPL-2.0-or-later
"""One change costs one write; an ID never gets another meaning."""

from dataclasses import replace
from itertools import count

from qubesforward.model.entry import Entry, parse_entry
from qubesforward.plan.diff import diff_hop


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
