# SPDX-License-Identifier: GPL-2.0-or-later
"""The applier on a real kernel."""

import subprocess
import time
from collections.abc import Iterable

import pytest

from qubesforward.agent.backend import Upset
from qubesforward.agent.netlink import NetlinkError
from qubesforward.errors import ApplyError
from qubesforward.model.entry import Entry
from qubesforward.nft.elements_wire import Counter, Element
from qubesforward.nft.forwards import encode_mark, mark_of
from qubesforward.nft.refusals import Surroundings
from tests.agent.kernel_rig import (
    QUBES,
    Rig,
    elements_of,
    list_nft,
    nft,
    our_rules,
)
from tests.agent.namespaces import isolated
from tests.nft.entries import entry

OUTERMOST = Surroundings(False)
INNER = Surroundings(True)
A, B, C = "0000000a", "0000000b", "0000000c"


def live_marks() -> set[int]:
    return {shown["elem"]["val"] for shown in elements_of("live")}


def counters() -> dict[int, int]:
    return {
        shown["elem"]["val"]: shown["elem"]["counter"]["packets"]
        for shown in elements_of("live")
    }


def set_counter(entry_id: str, packets: int) -> None:
    mark = mark_of(entry_id)
    nft(
        f"delete element inet qubes-forward live {{ {mark} }}\n"
        f"add element inet qubes-forward live"
        f" {{ {mark} counter packets {packets} bytes {60 * packets} }}\n"
    )


@isolated
def test_nft_shows_what_was_applied() -> None:
    nft(QUBES)
    rig = Rig()
    wanted = {
        A: entry("ports=443 toports=8443 until=4000000000"),
        B: entry("proto=udp ports=80-90 src=10.0.0.0/8"),
        C: entry("ports=5000-5001 src=::/0 toports=6000-6001"),
    }
    rig.applier.converge(wanted, OUTERMOST)
    assert rig.selection.refused == {}
    ((door, mark),) = elements_of("external4")
    assert door["elem"]["val"] == {"concat": ["tcp", 443]}
    assert mark == mark_of(A)
    ((wide, _mark),) = elements_of("external4_wide")
    assert (
        wide["elem"]["val"]
        if "elem" in wide
        else wide
        == {
            "concat": [
                "udp",
                {"range": [80, 90]},
                {"prefix": {"addr": "10.0.0.0", "len": 8}},
            ]
        }
    )
    assert elements_of("fixed4") == [[mark_of(A), {"concat": ["10.137.0.5", 8443]}]]
    assert elements_of("keep4") == [[mark_of(B), "10.137.0.5"]]
    assert {to["concat"][1] for _from, to in elements_of("each6")} == {6000, 6001}
    assert live_marks() == {mark_of(one) for one in wanted}
    assert len(elements_of("outermost")) == 2


@isolated
def test_each_custom_chain_has_our_rule_once_and_first() -> None:
    nft(QUBES)
    nft("add rule ip qubes custom-forward counter drop")
    for _ in range(2):
        Rig().applier.converge({A: entry("")}, OUTERMOST)
        for family in ("ip", "ip6"):
            assert our_rules(family, "custom-input") == ["qubes-forward"]
        assert our_rules("ip", "custom-forward") == ["qubes-forward", ""]


@isolated
def test_without_the_chains_of_qubes_nothing_is_made_there_and_all_is_refused() -> None:
    rig = Rig()
    rig.applier.converge({A: entry("")}, OUTERMOST)
    assert rig.selection.refused == {A: "no custom-forward chain in table ip qubes"}
    assert [t["table"]["family"] for t in list_nft("tables")[1:]] == ["inet"]
    nft(QUBES)
    rig.kernel.take_notices()
    rig.applier.converge({A: entry("")}, OUTERMOST, touched=[])
    assert rig.selection.refused == {}


@isolated
def test_one_more_entry_is_one_transaction_of_its_own_elements() -> None:
    nft(QUBES)
    rig = Rig()
    wanted = {A: entry("")}
    rig.applier.converge(wanted, OUTERMOST)
    added: list[Element] = []
    change = rig.kernel.change

    def record(removed: Iterable[Element], new: Iterable[Element], now: float) -> None:
        assert not list(removed)
        added.extend(new)
        change([], added, now)

    rig.kernel.change = record  # type: ignore[assignment, method-assign]
    wanted[B] = entry("ports=80")
    rig.applier.converge(wanted, OUTERMOST, touched=[B])
    assert [element.set for element in added] == ["external4", "live", "keep4"]
    assert live_marks() == {mark_of(A), mark_of(B)}


@isolated
def test_a_later_end_keeps_the_counter_and_moves_the_timeout() -> None:
    nft(QUBES)
    rig = Rig()
    now = int(time.time())
    wanted = {A: entry(f"until={now + 100}")}
    rig.applier.converge(wanted, OUTERMOST)
    mark = mark_of(A)
    nft(
        f"delete element inet qubes-forward live {{ {mark} }}\n"
        f"add element inet qubes-forward live"
        f" {{ {mark} counter packets 7 bytes 420 timeout 100s }}\n"
    )
    wanted[A] = entry(f"until={now + 1000}")
    rig.applier.converge(wanted, OUTERMOST, touched=[A])
    (shown,) = elements_of("live")
    assert shown["elem"]["counter"] == {"packets": 7, "bytes": 420}
    assert 900 < shown["elem"]["timeout"] <= 1000


@isolated
def test_only_a_new_mapping_makes_the_kernel_look_for_what_leaves_otherwise() -> None:
    nft(QUBES)
    rig = Rig()
    now = int(time.time())
    plain, mapped = "ports=80", f"proto=udp mapped=yes until={now + 100}"
    for text, looks in ((plain, False), (mapped, True)):
        rig.applier.converge({}, OUTERMOST)
        rig.applier.clear_away()
        rig.applier.converge({A: entry(text)}, OUTERMOST, touched=[A])
        assert rig.applier.has_leftovers is looks
    rig.applier.clear_away()
    # A later end has replaced the elements; the old mark is live again.
    later = mapped.replace(f"{now + 100}", f"{now + 200}")
    looked: list[object] = []
    rig.conntrack.find_strays = looked.append  # type: ignore[assignment, method-assign]
    rig.applier.converge({A: entry(later)}, OUTERMOST, touched=[A])
    rig.applier.clear_away()
    assert looked == []


@isolated
def test_a_new_run_changes_only_what_differs() -> None:
    nft(QUBES)
    wanted = {A: entry(""), B: entry("ports=80")}
    Rig().applier.converge(wanted, OUTERMOST)
    set_counter(A, 5)
    nft("add element inet qubes-forward live { 0xb0000077 }")
    nft("delete element inet qubes-forward keep4 { 0xb000000b }")
    handle = list_nft("table", "inet", "qubes-forward")[1]["table"]["handle"]
    rig = Rig()
    rig.applier.converge(wanted, OUTERMOST)
    assert counters() == {mark_of(A): 5, mark_of(B): 0}
    assert len(elements_of("keep4")) == 2
    table = list_nft("table", "inet", "qubes-forward")[1]["table"]
    assert table["handle"] == handle


@isolated
def test_an_entry_that_dom0_took_back_meanwhile_is_closed_at_the_start() -> None:
    nft(QUBES)
    Rig().applier.converge({A: entry(""), B: entry("ports=80")}, OUTERMOST)
    Rig().applier.converge({B: entry("ports=80")}, OUTERMOST)
    assert live_marks() == {mark_of(B)}
    assert len(elements_of("external4")) == 1
    assert len(elements_of("keep4")) == 1


@isolated
def test_with_no_orders_the_table_stays_and_is_empty() -> None:
    nft(QUBES)
    Rig().applier.converge({A: entry("")}, OUTERMOST)
    Rig().applier.converge({}, OUTERMOST)
    assert elements_of("live") == elements_of("external4") == []


@isolated
def test_a_table_of_another_layout_is_replaced_and_its_counters_kept() -> None:
    nft(QUBES)
    nft(
        "table inet qubes-forward {\n"
        "chain layout-00000000 {\n}\n"
        "set live { type mark; flags timeout; counter; elements = {"
        f" {mark_of(A)} counter packets 9 bytes 540 }}\n}}\n"
        "map old { type mark : ipv4_addr; }\n"
        "}\n"
    )
    Rig().applier.converge({A: entry("")}, OUTERMOST)
    assert counters() == {mark_of(A): 9}
    names = [i["map"]["name"] for i in list_nft("maps") if "map" in i]
    assert "old" not in names
    assert "external4" in names


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset\n" + QUBES,
        "delete table inet qubes-forward",
        "flush chain inet qubes-forward forward",
        "delete element inet qubes-forward live { 0xb000000a }",
        "flush map inet qubes-forward external4",
        "add element inet qubes-forward live { 0xb0000077 }",
        "add rule inet qubes-forward input accept",
        "add table inet qubes-forward { flags dormant; }",
        "flush chain ip qubes custom-forward",
        "delete table ip qubes\n" + QUBES,
    ],
)
def test_damage_by_others_is_noticed_and_repaired(damage: str) -> None:
    isolated(lambda: damage_and_repair(damage))()


def damage_and_repair(damage: str) -> None:
    nft(QUBES)
    rig = Rig()
    wanted = {A: entry("")}
    rig.applier.converge(wanted, OUTERMOST)
    before = comparable_rules()
    rig.kernel.take_notices()
    assert rig.upsets == []
    nft(damage)
    assert comparable_rules() != before
    rig.kernel.take_notices()
    assert rig.upsets != []
    rig.applier.converge(wanted, OUTERMOST, touched=[])
    assert not rig.applier.is_upset
    assert comparable_rules() == before


def comparable_rules() -> str:
    # As text: of a dormant table, nft 1.0.6 writes JSON that is none, by chance.
    done = subprocess.run(
        ["nft", "--stateless", "list", "ruleset"],
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(sorted(done.stdout.splitlines()))


@isolated
def test_our_own_changes_are_not_taken_for_those_of_others() -> None:
    nft(QUBES)
    rig = Rig()
    for number in range(1, 50):
        rig.applier.converge({f"{number:08x}": entry("")}, OUTERMOST)
        rig.kernel.run_nft("add table ip6 another")
        rig.kernel.take_notices()
    assert rig.upsets == []


@isolated
def test_what_does_not_concern_us_upsets_nothing() -> None:
    nft(QUBES)
    rig = Rig()
    rig.applier.converge({}, OUTERMOST)
    nft("add table ip elsewhere")
    rig.kernel.take_notices()
    assert rig.upsets == []


@isolated
def test_a_foreign_change_just_before_ours_is_noticed_too() -> None:
    nft(QUBES)
    rig = Rig()
    rig.applier.converge({}, OUTERMOST)
    nft("flush chain ip qubes custom-forward")
    rig.applier.converge({A: entry("")}, OUTERMOST, touched=[A])
    assert rig.upsets == [Upset.CUSTOM]
    assert rig.applier.is_upset


@isolated
def test_the_kernels_refusal_of_one_entry_is_not_that_of_its_neighbours() -> None:
    nft(QUBES)
    rig = Rig()
    bad = encode_mark(mark_of("00000013"))
    change = rig.kernel.change

    def refuse_one(
        removed: Iterable[Element], added: Iterable[Element], now: float
    ) -> None:
        new = list(added)
        if any(one.set == "keep4" and one.key == bad for one in new):
            raise NetlinkError(22, "transaction")
        change(removed, new, now)

    rig.kernel.change = refuse_one  # type: ignore[assignment, method-assign]
    wanted = {f"{n:08x}": entry(f"ports={n}") for n in range(1, 41)}
    rig.applier.converge(wanted, OUTERMOST)
    assert rig.selection.refused == {
        "00000013": "kernel: transaction: Invalid argument"
    }
    assert live_marks() == {mark_of(one) for one in wanted} - {mark_of("00000013")}
    assert len(elements_of("external4")) == 39


@isolated
def test_a_kernel_that_takes_nothing_is_an_error_and_tried_anew_next_time() -> None:
    nft(QUBES)
    rig = Rig()
    run_nft = rig.kernel.run_nft

    def refuse(commands: str) -> None:
        raise ApplyError("nft: not today")

    rig.kernel.run_nft = refuse  # type: ignore[method-assign]
    with pytest.raises(ApplyError):
        rig.applier.converge({A: entry("")}, OUTERMOST)
    rig.kernel.run_nft = run_nft  # type: ignore[method-assign]
    rig.applier.converge({A: entry("")}, OUTERMOST)
    assert live_marks() == {mark_of(A)}


@isolated
def test_an_element_that_somebody_put_in_the_way_is_put_right() -> None:
    nft(QUBES)
    rig = Rig()
    rig.applier.converge({}, OUTERMOST)
    nft("add element inet qubes-forward external4 { tcp . 443 : 0xb0000077 }")
    rig.applier.converge({A: entry("")}, OUTERMOST, touched=[A])
    ((_door, mark),) = elements_of("external4")
    assert mark == mark_of(A)
    assert rig.selection.accepted.keys() == {A}


@isolated
def test_what_has_ended_leaves_nothing_behind() -> None:
    nft(QUBES)
    end = int(time.time()) + 2
    wanted = {A: entry(f"until={end}")}
    rig = Rig()
    rig.applier.converge(wanted, OUTERMOST)
    assert live_marks() == {mark_of(A)}
    time.sleep(end + 0.1 - time.time())
    assert elements_of("live") == elements_of("external4") == []
    rig.applier.converge(wanted, OUTERMOST, touched=[])
    assert elements_of("keep4") == []
    assert rig.selection.accepted == {}
    assert rig.selection.refused == {}


@isolated
def test_an_uplink_that_comes_takes_the_outside_from_a_hop() -> None:
    nft(QUBES)
    rig = Rig()
    wanted = {A: entry("in=external"), B: entry("in=uplink")}
    rig.applier.converge(wanted, OUTERMOST)
    assert rig.selection.accepted.keys() == {A}
    rig.applier.converge(wanted, INNER, touched=[])
    assert rig.selection.accepted.keys() == {B}
    assert elements_of("outermost") == elements_of("external4") == []
    assert live_marks() == {mark_of(B)}


def make_many(count: int) -> dict[str, Entry]:
    return {f"{n:08x}": entry(f"ports={n} toports=80") for n in range(1, count + 1)}


@isolated
def test_a_reading_of_a_table_that_has_just_grown_misses_nothing() -> None:
    nft(QUBES)
    wanted = make_many(5000)
    rig = Rig()
    rig.applier.converge(wanted, OUTERMOST)
    found = rig.kernel.read_elements(time.time())
    assert len(found) == 3 * len(wanted) + 2


@isolated
def test_an_element_can_be_read_with_its_counter() -> None:
    nft(QUBES)
    rig = Rig()
    rig.applier.converge({A: entry("")}, OUTERMOST)
    set_counter(A, 3)
    live = Element("live", encode_mark(mark_of(A)))
    found = rig.kernel.read_element(live, 0)
    assert found is not None
    assert found.counter == Counter(3, 180)
    assert rig.kernel.read_element(live._replace(key=b"1234"), 0) is None
