# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import MalformedMessage
from qubesforward.qubes.qubesdb_wire import (
    ANSWERS,
    MAX_VALUE,
    REQUESTS,
    Message,
    MessageReader,
    MessageType,
    encode_message,
    find_entry_fault,
    find_path_fault,
)
from tests.qubes.running import UNHURRIED

ALL = REQUESTS | ANSWERS

PATHS = st.from_regex(r"/[a-zA-Z0-9_.:/-]{0,62}", fullmatch=True)
MESSAGES = st.builds(
    Message, st.sampled_from(MessageType), PATHS | st.just(""), st.binary(max_size=200)
)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def read_all(pieces: list[bytes]) -> tuple[list[Message], bool]:
    reader = MessageReader(ALL)
    found: list[Message] = []
    for piece in pieces:
        try:
            for message in reader.feed(piece):
                found.append(message)
        except MalformedMessage:
            return found, True
    return found, False


def test_layout_is_that_of_the_c_structure() -> None:
    encoded = encode_message(Message(MessageType.WRITE, "/a", b"xyz"))
    assert encoded == b"\x01/a" + bytes(62 + 3) + struct.pack("=I", 3) + b"xyz"
    assert len(encoded) == 72 + 3


def test_types_have_the_numbers_of_the_header_file() -> None:
    assert (MessageType.READ, MessageType.UNWATCH) == (0, 6)
    assert (MessageType.OK, MessageType.ERROR_NOENT, MessageType.ERROR) == (7, 8, 9)
    assert (MessageType.ANSWER_READ, MessageType.ANSWER_WATCH) == (10, 13)


@UNHURRIED
@given(st.lists(MESSAGES), st.lists(st.integers(min_value=0)))
def test_messages_survive_any_split(messages: list[Message], cuts: list[int]) -> None:
    stream = b"".join(map(encode_message, messages))
    assert read_all(split(stream, cuts)) == (messages, False)


@UNHURRIED
@given(
    st.lists(MESSAGES, max_size=3),
    st.binary(max_size=300),
    st.lists(st.integers(min_value=0)),
)
def test_any_bytes_are_messages_or_the_documented_error_however_they_arrive(
    messages: list[Message], garbage: bytes, cuts: list[int]
) -> None:
    stream = b"".join(map(encode_message, messages)) + garbage
    assert read_all(split(stream, cuts)) == read_all([stream])


@UNHURRIED
@given(
    st.binary(min_size=72, max_size=72),
    st.sampled_from([0, 1, 5, MAX_VALUE, MAX_VALUE + 1, 2**32 - 1]),
)
def test_any_header_is_a_message_or_the_documented_error(
    header: bytes, size: int
) -> None:
    stream = header[:68] + struct.pack("=I", size) + bytes(min(size, 5000))
    found, _broken = read_all([stream])
    assert all(len(message.data) <= MAX_VALUE for message in found)


def test_bytes_behind_the_end_of_a_path_are_ignored() -> None:
    header = struct.pack("@B64s3xI", 12, b"/a\0left over from before", 0)
    assert read_all([header]) == ([Message(MessageType.ANSWER_LIST, "/a")], False)


@pytest.mark.parametrize(
    ("kind", "path", "size"),
    [
        (200, b"/a", 0),
        (0, b"/" * 64, 0),
        (0, b"/\xff", 0),
        (0, b"/\x1b[2J", 0),
        (1, b"/a", MAX_VALUE + 1),
    ],
)
def test_broken_header_is_malformed(kind: int, path: bytes, size: int) -> None:
    header = struct.pack("@B64s3xI", kind, path, size)
    with pytest.raises(MalformedMessage):
        list(MessageReader(ALL).feed(header))


def test_answer_is_no_request() -> None:
    encoded = encode_message(Message(MessageType.OK, "/a"))
    with pytest.raises(MalformedMessage):
        list(MessageReader(REQUESTS).feed(encoded))


def test_messages_before_a_fault_are_delivered() -> None:
    good = Message(MessageType.READ, "/a")
    reader = MessageReader(REQUESTS)
    messages = reader.feed(encode_message(good) + b"\xff" * 72)
    assert next(messages) == good
    with pytest.raises(MalformedMessage):
        next(messages)


def test_whoever_stops_reading_finds_the_rest_later() -> None:
    sent = [Message(MessageType.READ, path) for path in ("/a", "/b", "/c")]
    reader = MessageReader(REQUESTS)
    for message in reader.feed(b"".join(map(encode_message, sent))):
        assert message == sent[0]
        break
    assert list(reader.feed(b"")) == sent[1:]


@pytest.mark.parametrize(
    "message",
    [
        Message(MessageType.READ, "/" * 64),
        Message(MessageType.READ, "/\u00e4"),
        Message(MessageType.READ, "/\ud800"),
        Message(MessageType.READ, "/a\0b"),
        Message(MessageType.WRITE, "/a", bytes(MAX_VALUE + 1)),
    ],
)
def test_what_does_not_fit_is_not_sent(message: Message) -> None:
    with pytest.raises(MalformedMessage):
        encode_message(message)


@pytest.mark.parametrize(
    ("path", "is_good"),
    [
        ("/", True),
        ("/qubes-firewall/fd09:24ef:4179::a89:2/policy", True),
        ("/" + "a" * 62, True),
        ("/" + "a" * 63, False),
        ("", False),
        ("a", False),
        ("/a b", False),
        ("/a\n", False),
        ("/a@b", False),
        ("/\u0663", False),
    ],
)
def test_path_that_may_be_sent(path: str, is_good: bool) -> None:
    assert (find_path_fault(path) is None) is is_good


@pytest.mark.parametrize(
    ("path", "value", "is_good"),
    [
        ("/a", b"", True),
        ("/a", b"x" * MAX_VALUE, True),
        ("/a", b"x" * (MAX_VALUE + 1), False),
        ("/a", b"x\0", False),
        ("/a/", b"", False),
        ("/", b"", False),
    ],
)
def test_entry_that_may_be_written(path: str, value: bytes, is_good: bool) -> None:
    assert (find_entry_fault(path, value) is None) is is_good
