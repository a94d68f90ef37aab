# SPDX-License-Identifier: GPL-2.0-or-later
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import MalformedMessage
from qubesforward.nft.netlink_wire import (
    Message,
    decode_attributes,
    decode_messages,
    decode_text,
    encode_attribute,
    encode_message,
    encode_nested,
    encode_text,
    iter_attributes,
)


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40))))
def test_attributes_come_back_in_order(attributes: list[tuple[int, bytes]]) -> None:
    encoded = b"".join(encode_attribute(*one) for one in attributes)
    assert list(iter_attributes(encoded)) == attributes


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=40))))
def test_messages_come_back_in_order(sent: list[tuple[int, bytes]]) -> None:
    padded = [(kind, payload + bytes(-len(payload) % 4)) for kind, payload in sent]
    data = b"".join(encode_message(kind, 5, 7, payload) for kind, payload in padded)
    expected = [Message(kind, 5, 7, payload) for kind, payload in padded]
    assert list(decode_messages(data)) == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for decode in (decode_messages, iter_attributes):
        try:
            list(decode(data))
        except MalformedMessage:
            continue


def test_nested_attributes_are_found_by_their_kind() -> None:
    data = encode_nested(7, encode_text(1, "name"), encode_attribute(2, b"x"))
    inner = decode_attributes(decode_attributes(data)[7])
    assert decode_text(inner[1]) == "name"
    assert inner[2] == b"x"


@pytest.mark.parametrize("length", [0, 3, 9])
def test_an_attribute_with_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(MalformedMessage, match="length"):
        decode_attributes(struct.pack("=HHI", length, 1, 0))


def test_a_message_that_is_cut_off_is_refused() -> None:
    data = encode_message(3, 0, 1, b"12345678")
    with pytest.raises(MalformedMessage):
        list(decode_messages(data[:-1]))
