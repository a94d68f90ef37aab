# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from qubesforward.nft.elements_wire import Counter, Element
from qubesforward.nft.forwards import (
    Change,
    decode_mark,
    diff_elements,
    door_element,
    entry_elements,
    hop_elements,
    mark_of,
    place,
)
from qubesforward.nft.marks import TAG
from qubesforward.nft.shapes import SHAPES
from tests.nft.entries import entry

NOW = 1_790_000_000.0
ID = "5a00000b"


def sets_of(text: str) -> list[str]:
    return [element.set for element in entry_elements(ID, entry(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["external4", "live", "keep4"]),
        ("toports=8443", ["external4", "live", "fixed4"]),
        ("src=::/0 in=uplink", ["uplink6", "live", "keep6"]),
        ("src=10.0.0.0/8 in=local", ["local4_8", "live", "keep4"]),
        ("src=10.0.0.0/9", ["external4_wide", "live", "keep4"]),
        ("src=10.0.0.1/32 ports=1-2", ["external4_wide", "live", "keep4"]),
        ("ports=1-60000", ["external4_wide", "live", "keep4"]),
        ("ports=1-60000 toports=80", ["external4_wide", "live", "fixed4"]),
        ("ports=1-3 toports=2-4", ["external4_wide", "live", *["each4"] * 3]),
        ("in=self", ["self4"]),
        ("in=self src=fd00::/8", ["self6_wide"]),
        ("in=self src=fd00::/64", ["self6_64"]),
        ("in=serve src=10.137.0.5/32", ["serve4"]),
        ("in=serve src=fd09::5/128", ["serve6"]),
        ("in=answer src=10.137.0.1/32 proto=udp ports=1900", ["answer4"]),
        ("in=uplink bypass=yes", ["uplink4", "live", "keep4", "detour"]),
        ("mapped=yes", ["external4", "live", "keep4", "out4", "held"]),
        (
            "in=uplink mapped=yes src=fd09::/64 toports=80",
            ["uplink6_64", "live", "fixed6", "out6", "held"],
        ),
    ],
)
def test_each_kind_of_entry_has_its_elements(text: str, expected: list[str]) -> None:
    assert sets_of(text) == expected
    assert set(expected) <= SHAPES.keys()


def test_a_door_holds_protocol_port_and_mark() -> None:
    door = door_element(ID, entry("proto=udp ports=443"))
    assert door.key == b"\x11\0\0\0\x01\xbb\0\0"
    assert door.end == b""
    assert decode_mark(door.data) == mark_of(ID) == TAG | 0xA00000B


def test_a_wide_door_holds_the_ends_of_ports_and_sources() -> None:
    door = door_element(ID, entry("ports=80-90 src=192.168.1.0/24"))
    assert door.key == b"\x06\0\0\0\0\x50\0\0\xc0\xa8\x01\0"
    assert door.end == b"\x06\0\0\0\0\x5a\0\0\xc0\xa8\x01\xff"


def test_a_serving_door_holds_protocol_port_and_one_address() -> None:
    door = door_element(ID, entry("in=serve proto=udp ports=5351 src=10.137.0.5/32"))
    assert door.key == b"\x11\0\0\0\x14\xe7\0\0\x0a\x89\0\x05"
    assert door.end == door.data == b""


def test_the_way_out_leads_from_the_inner_socket_to_the_outer_port() -> None:
    text = "mapped=yes proto=udp ports=6000 toports=5000 until=1790000060"
    out, held = entry_elements(ID, entry(text))[-2:]
    assert out.key == b"\x11\0\0\0\x0a\x89\0\x05\x13\x88\0\0"
    assert out.data == b"\x17\x70"
    assert held.key == b"\x02\0\0\0\x11\0\0\0\x17\x70\0\0"
    assert out.until == held.until == NOW + 60


def test_offset_ranges_pair_each_outer_port_with_its_inner_one() -> None:
    elements = entry_elements(ID, entry("ports=10-12 toports=20-22"))
    pairs = [(e.key[4:6], e.data[4:6]) for e in elements if e.set == "each4"]
    assert pairs == [
        (b"\0\x0a", b"\0\x14"),
        (b"\0\x0b", b"\0\x15"),
        (b"\0\x0c", b"\0\x16"),
    ]


def test_what_lets_packets_in_ends_with_the_entry() -> None:
    elements = entry_elements(ID, entry("until=1790000060 in=uplink bypass=yes"))
    ends = {element.set: element.until for element in elements}
    assert ends == {
        "uplink4": NOW + 60,
        "live": NOW + 60,
        "detour": NOW + 60,
        "keep4": None,
    }


def test_a_hop_is_outermost_for_both_families_without_an_uplink() -> None:
    assert len(hop_elements(has_uplink=False, astray=[])) == 2
    assert hop_elements(has_uplink=True, astray=[]) == []
    astray = hop_elements(has_uplink=True, astray=[4])
    assert astray == [Element("astray", b"\x02")]


def diff(present: list[Element], wanted: list[Element]) -> Change:
    return diff_elements({place(e): e for e in present}, wanted, NOW)


def test_what_is_there_already_is_left_alone() -> None:
    elements = entry_elements(ID, entry("until=1790000060"))
    read = [e._replace(until=e.until and e.until - 0.3) for e in elements]
    assert diff(read, elements) == Change([], [])


def test_a_new_end_replaces_the_element_and_keeps_its_counter() -> None:
    old = Element("live", b"1234", until=NOW + 60, counter=Counter(3, 180))
    new = Element("live", b"1234", until=NOW + 90)
    assert diff([old], [new]) == Change([old], [new._replace(counter=Counter(3, 180))])


def test_an_end_that_is_remembered_is_compared_to_the_second() -> None:
    old = Element("live", b"1234", until=1_790_000_060)
    new = Element("live", b"1234", until=1_790_000_061)
    assert diff([old], [new]) == Change([old], [new])
    assert diff([old], [old]) == Change([], [])


def test_another_target_replaces_the_element() -> None:
    old = Element("keep4", b"1234", data=b"aaaa")
    new = Element("keep4", b"1234", data=b"bbbb")
    assert diff([old], [new]) == Change([old], [new])


def test_what_is_not_wanted_is_removed() -> None:
    old = Element("keep4", b"1234", data=b"aaaa")
    assert diff([old], []) == Change([old], [])


def test_what_has_ended_is_neither_removed_nor_added() -> None:
    over = Element("live", b"1234", until=NOW - 1)
    assert diff([over], []) == Change([], [])
    assert diff([], [over]) == Change([], [])


def test_elements_that_packets_make_are_never_removed() -> None:
    assert diff([Element("severed4", b"1234", until=NOW + 9)], []) == Change([], [])
