# SPDX-License-Identifier: GPL-2.0-or-later
from qubesforward.model.entry import Entry
from qubesforward.nft.refusals import Surroundings
from qubesforward.nft.selection import Selection
from tests.nft.entries import entry
from tests.nft.test_refusals import INNER, OUTERMOST

NOW = 1_790_000_000.0
A, B, C = "0000000a", "0000000b", "0000000c"


def update(
    selection: Selection,
    wanted: dict[str, Entry],
    touched: str = "",
    here: Surroundings = OUTERMOST,
    now: float = NOW,
) -> dict[str, Entry | None]:
    return selection.update(wanted, touched.split(), here, now)


def test_only_what_was_touched_is_looked_at() -> None:
    selection = Selection()
    wanted = {A: entry(""), B: entry("ports=80")}
    assert update(selection, wanted, A) == {A: None}
    assert selection.accepted == {A: wanted[A]}


def test_a_bad_entry_refuses_itself_and_not_its_neighbours() -> None:
    selection = Selection()
    wanted = {A: entry(""), B: entry("ports=400-500"), C: entry("ports=80")}
    update(selection, wanted, f"{A} {B} {C}")
    assert selection.accepted.keys() == {A, C}
    assert selection.refused == {B: "ports=400-500: overlaps 0000000a"}


def test_who_came_first_keeps_its_place_against_lower_ids() -> None:
    selection = Selection()
    wanted = {B: entry("")}
    update(selection, wanted, B)
    wanted[A] = entry("ports=443-444")
    update(selection, wanted, A)
    assert selection.accepted.keys() == {B}
    update(selection, wanted, f"{A} {B}")
    assert selection.accepted.keys() == {B}


def test_a_refused_entry_is_taken_once_its_obstacle_is_gone() -> None:
    selection = Selection()
    wanted = {A: entry(""), B: entry("")}
    update(selection, wanted, f"{A} {B}")
    old = wanted.pop(A)
    assert update(selection, wanted, A) == {A: old, B: None}
    assert selection.accepted.keys() == {B}
    assert selection.refused == {}


def test_an_entry_is_taken_once_the_qube_has_become_what_it_needs() -> None:
    selection = Selection()
    wanted = {A: entry("in=uplink")}
    update(selection, wanted, A)
    assert selection.refused == {A: "in=uplink: this qube has no uplink"}
    update(selection, wanted, here=INNER)
    assert selection.accepted == wanted
    assert selection.refused == {}


def test_what_is_over_is_neither_applied_nor_refused() -> None:
    selection = Selection()
    wanted = {A: entry("until=1790000010"), B: entry("ports=80 until=1789999999")}
    update(selection, wanted, f"{A} {B}")
    assert selection.accepted.keys() == {A}
    assert selection.find_next_end() == NOW + 10
    assert update(selection, wanted, now=NOW + 10) == {A: wanted[A]}
    assert selection.accepted == {}
    assert selection.refused == {}
    assert selection.find_next_end() is None


def test_a_later_end_takes_the_place_of_the_earlier() -> None:
    selection = Selection()
    wanted = {A: entry("until=1790000010")}
    update(selection, wanted, A)
    wanted[A] = entry("until=1790000020")
    assert update(selection, wanted, A) == {A: entry("until=1790000010")}
    assert selection.find_next_end() == NOW + 20
    assert update(selection, wanted, now=NOW + 15) == {}
    assert selection.accepted == wanted


def test_what_the_kernel_refused_stays_refused_until_it_changes() -> None:
    selection = Selection()
    wanted = {A: entry("")}
    update(selection, wanted, A)
    selection.bar(A, "kernel: no")
    update(selection, wanted)
    assert selection.refused == {A: "kernel: no"}
    wanted[A] = entry("ports=80")
    update(selection, wanted, A)
    assert selection.accepted == wanted


def test_what_the_kernel_refused_can_be_tried_again() -> None:
    selection = Selection()
    wanted = {A: entry("")}
    update(selection, wanted, A)
    selection.bar(A, "kernel: no")
    selection.unbar()
    update(selection, wanted)
    assert selection.accepted == wanted


def test_doors_and_bypasses_are_counted_in_and_out() -> None:
    selection = Selection()
    wanted = {A: entry("in=uplink bypass=yes"), B: entry("in=self ports=80")}
    update(selection, wanted, f"{A} {B}", INNER)
    assert (selection.bypasses, selection.doors) == (1, 1)
    update(selection, {}, f"{A} {B}", INNER)
    assert (selection.bypasses, selection.doors) == (0, 0)
