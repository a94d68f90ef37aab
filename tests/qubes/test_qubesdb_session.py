# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import MalformedMessage
from qubesforward.qubes import qubesdb_session
from qubesforward.qubes.qubesdb_session import Answer, Fired, Session
from qubesforward.qubes.qubesdb_wire import (
    MAX_VALUE,
    Message,
    MessageType,
    encode_message,
)
from tests.qubes.running import UNHURRIED
from tests.qubes.test_qubesdb_wire import PATHS, split

STORES = st.dictionaries(PATHS, st.binary(max_size=20), max_size=4)


def answer_parts(request: Message, store: dict[str, bytes]) -> list[Message]:
    """What the daemon would send, in the simplest words."""
    path = request.path
    match request.type:
        case MessageType.READ if path in store:
            return [Message(MessageType.ANSWER_READ, path, store[path])]
        case MessageType.READ:
            return [Message(MessageType.ERROR_NOENT, path)]
        case MessageType.LIST:
            found = [Message(MessageType.ANSWER_LIST, inner) for inner in store]
            return [*found, Message(MessageType.ANSWER_LIST, "")]
        case MessageType.MULTIREAD:
            kind = MessageType.ANSWER_MULTIREAD
            return [
                *(Message(kind, *item) for item in store.items()),
                Message(kind, ""),
            ]
        case _:
            return [Message(MessageType.OK, path)]


def expected_entries(request: Message, store: dict[str, bytes]) -> dict[str, bytes]:
    match request.type:
        case MessageType.READ:
            return {request.path: store[request.path]} if request.path in store else {}
        case MessageType.LIST:
            return dict.fromkeys(store, b"")
        case MessageType.MULTIREAD:
            return store
        case _:
            return {}


REQUEST_TYPES = st.sampled_from([t for t in MessageType if t < MessageType.OK])


@UNHURRIED
@given(
    STORES,
    st.lists(st.builds(Message, REQUEST_TYPES, PATHS), max_size=8),
    st.lists(st.tuples(st.integers(min_value=0), PATHS), max_size=5),
    st.lists(st.integers(min_value=0), max_size=20),
)
def test_pipelined_answers_meet_their_requests_with_events_anywhere(
    store: dict[str, bytes],
    requests: list[Message],
    events: list[tuple[int, str]],
    cuts: list[int],
) -> None:
    session = Session()
    for request in requests:
        session.request(request)
    stream = [part for request in requests for part in answer_parts(request, store)]
    for place, path in events:
        where = place % (len(stream) + 1)
        stream.insert(where, Message(MessageType.ANSWER_WATCH, path))
    pieces = split(b"".join(map(encode_message, stream)), cuts)
    received = [item for piece in pieces for item in session.receive(piece)]
    answers = [item for item in received if isinstance(item, Answer)]
    fired = [item.path for item in received if isinstance(item, Fired)]
    assert [answer.request for answer in answers] == requests
    assert [a.entries for a in answers] == [
        expected_entries(r, store) for r in requests
    ]
    assert fired == [m.path for m in stream if m.type is MessageType.ANSWER_WATCH]


@UNHURRIED
@given(
    st.lists(st.builds(Message, REQUEST_TYPES, PATHS), max_size=4),
    st.lists(
        st.builds(
            Message,
            st.sampled_from([t for t in MessageType if t >= MessageType.OK]),
            PATHS | st.just(""),
            st.binary(max_size=9),
        ),
        max_size=10,
    ),
    st.binary(max_size=100),
)
def test_whatever_a_daemon_sends_only_the_documented_error_comes(
    requests: list[Message], messages: list[Message], garbage: bytes
) -> None:
    session = Session()
    for request in requests:
        session.request(request)
    try:
        list(session.receive(b"".join(map(encode_message, messages)) + garbage))
    except MalformedMessage:
        return


def feed(session: Session, *messages: Message) -> list[Answer | Fired]:
    return list(session.receive(b"".join(map(encode_message, messages))))


def test_answer_that_nobody_asked_for_is_malformed() -> None:
    with pytest.raises(MalformedMessage):
        feed(Session(), Message(MessageType.OK, "/a"))


def test_answer_to_something_else_is_malformed() -> None:
    session = Session()
    session.request(Message(MessageType.LIST, "/a"))
    with pytest.raises(MalformedMessage):
        feed(session, Message(MessageType.ANSWER_MULTIREAD, "/a", b"x"))


def test_listing_may_end_in_an_error() -> None:
    session = Session()
    session.request(Message(MessageType.LIST, "/a"))
    (answer,) = feed(session, Message(MessageType.ERROR, "/a"))
    assert isinstance(answer, Answer)
    assert answer.error


def test_removing_what_is_not_there_is_no_error() -> None:
    session = Session()
    session.request(Message(MessageType.RM, "/a"))
    (answer,) = feed(session, Message(MessageType.ERROR_NOENT, "/a"))
    assert answer == Answer(Message(MessageType.RM, "/a"))


def test_endless_listing_fails_alone_and_takes_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(qubesdb_session, "MAX_ANSWER", 3 * (72 + MAX_VALUE))
    session = Session()
    session.request(Message(MessageType.MULTIREAD, "/"))
    session.request(Message(MessageType.READ, "/a"))
    kind = MessageType.ANSWER_MULTIREAD
    flood = [Message(kind, f"/{n}", b"x" * MAX_VALUE) for n in range(5)]
    large, small = feed(
        session,
        *flood,
        Message(kind, ""),
        Message(MessageType.ANSWER_READ, "/a", b"1"),
    )
    assert isinstance(large, Answer)
    assert large.error
    assert not large.entries
    assert isinstance(small, Answer)
    assert small.entries == {"/a": b"1"}
