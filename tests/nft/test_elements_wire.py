# SPDX-License-Identifier: GPL-2.0-or-later
import struct
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import MalformedMessage
from qubesforward.nft.elements_wire import (
    NEWSETELEM,
    Counter,
    Element,
    decode_elements,
    encode_batch,
)
from qubesforward.nft.netlink_wire import (
    NLM_F_ACK,
    NLM_F_EXCL,
    decode_messages,
)

NOW = 1_790_000_000.0

counters = st.builds(Counter, st.integers(0, 2**63), st.integers(0, 2**63))


def read_back(batch: bytes) -> list[Element]:
    return [
        element
        for message in decode_messages(batch)
        if message.kind == NEWSETELEM
        for element in decode_elements(message.payload, NOW)
    ]


@given(
    st.lists(
        st.builds(
            Element,
            st.sampled_from(["live", "external4_wide"]),
            st.binary(min_size=1, max_size=20),
            st.binary(max_size=20),
            st.binary(max_size=20),
            st.none(),
            st.none() | counters,
        )
    )
)
def test_elements_come_back_as_they_were(elements: list[Element]) -> None:
    batch, _last = encode_batch("table", [], elements, NOW)
    assert sorted(read_back(batch), key=repr) == sorted(elements, key=repr)


def test_a_set_with_more_than_a_message_holds_is_split() -> None:
    elements = [Element("live", struct.pack("=I", n)) for n in range(10_000)]
    batch, last = encode_batch("table", [], elements, NOW)
    assert last > 1
    assert read_back(batch) == elements


def test_only_the_last_message_asks_to_be_confirmed() -> None:
    elements = [Element("live", struct.pack("=I", n)) for n in range(10_000)]
    batch, last = encode_batch("table", elements[:1], elements, NOW)
    confirmed = [m.seq for m in decode_messages(batch) if m.flags & NLM_F_ACK]
    assert confirmed == [last]


def test_removals_come_before_additions() -> None:
    element = Element("live", b"1234")
    batch, _last = encode_batch("table", [element], [element], NOW)
    kinds = [message.kind & 0xFF for message in decode_messages(batch)]
    assert kinds == [0x10, 14, 12, 0x11]


def test_adding_over_what_is_there_can_be_allowed() -> None:
    for exclusive in (True, False):
        batch, _last = encode_batch(
            "table", [], [Element("live", b"1234")], NOW, exclusive=exclusive
        )
        added = list(decode_messages(batch))[1]
        assert bool(added.flags & NLM_F_EXCL) is exclusive


def timeout_of(until: float) -> int:
    batch, _last = encode_batch("t", [], [Element("s", b"1234", until=until)], NOW)
    added = list(decode_messages(batch))[1].payload
    return int(struct.unpack(">Q", added[-8:])[0])


def test_timeouts_are_milliseconds_from_now() -> None:
    assert timeout_of(NOW + 2.5) == 2500


def test_a_timeout_never_becomes_zero_which_would_mean_none() -> None:
    assert timeout_of(NOW + 0.0001) == 1


def test_a_far_end_stays_within_what_the_kernel_takes() -> None:
    assert timeout_of(999_999_999_999) < 20 * 366 * 86400 * 1000


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(MalformedMessage):
        list(decode_elements(data, NOW))
