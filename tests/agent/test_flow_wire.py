# SPDX-License-Identifier: GPL-2.0-or-later
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from qubesforward.agent.conntrack import severed_element
from qubesforward.agent.flow_wire import (
    Side,
    TrackedFlow,
    decode_flow,
    encode_flow_deletion,
    find_ports,
)
from qubesforward.errors import MalformedMessage
from qubesforward.nft.netlink_wire import encode_attribute, encode_nested

LAN, HOP, TARGET = b"\xc0\xa8\x01\x14", b"\xc0\xa8\x01\x0a", b"\x0a\x89\0\x05"


def encode_side(src: bytes, dst: bytes, src_port: int, dst_port: int) -> bytes:
    return encode_nested(
        1, encode_attribute(1, src), encode_attribute(2, dst)
    ) + encode_nested(
        2,
        encode_attribute(1, b"\x06"),
        encode_attribute(2, src_port.to_bytes(2, "big")),
        encode_attribute(3, dst_port.to_bytes(2, "big")),
    )


PAYLOAD = (
    b"\x02\0\0\0"
    + encode_nested(1, encode_side(LAN, HOP, 40000, 443))
    + encode_nested(2, encode_side(TARGET, LAN, 8443, 40000))
    + encode_attribute(8, (0xB000000A).to_bytes(4, "big"))
    + encode_attribute(12, b"\x01\x02\x03\x04")
    + encode_attribute(7, b"\0\0\0\x05")
)


def test_a_connection_is_read_with_both_its_sides() -> None:
    flow = decode_flow(PAYLOAD)
    assert (flow.family, flow.mark) == (4, 0xB000000A)
    assert flow.original == Side(LAN, HOP, 6, 40000, 443)
    assert flow.reply == Side(TARGET, LAN, 6, 8443, 40000)


def test_the_ports_of_an_answer_are_found_without_reading_it() -> None:
    assert find_ports(PAYLOAD) == {40000, 443, 8443}
    # Line breaks are bytes like others.
    newlines = b"\x02\0\0\0" + encode_nested(1, encode_side(LAN, HOP, 2570, 10))
    assert find_ports(newlines) == {2570, 10}
    assert find_ports(b"") == set()


def test_a_deletion_names_the_connection_and_its_id() -> None:
    deletion = encode_flow_deletion(decode_flow(PAYLOAD))
    assert deletion.startswith(b"\x02\0\0\0")
    assert encode_nested(1, encode_side(LAN, HOP, 40000, 443)) in deletion
    assert encode_attribute(12, b"\x01\x02\x03\x04") in deletion


def test_what_is_severed_is_the_way_back() -> None:
    element = severed_element(decode_flow(PAYLOAD), 1000.0)
    assert element.set == "severed4"
    assert element.key == (
        b"\x06\0\0\0" + TARGET + b"\x20\xfb\0\0" + LAN + b"\x9c\x40\0\0"
    )
    assert element.until == 1600.0


@given(st.binary(max_size=150))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(MalformedMessage):
        assert isinstance(decode_flow(data), TrackedFlow)
