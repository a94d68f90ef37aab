# SPDX-License-Identifier: GPL-2.0-or-later
"""QubesDB's wire, both ways: answers to a client, and requests to a server."""

from __future__ import annotations

from fuzz.target import Target
from qubesforward.errors import MalformedMessage
from qubesforward.qubes.qubesdb_session import Answer, Fired, Session
from qubesforward.qubes.qubesdb_wire import (
    REQUESTS,
    Message,
    MessageReader,
    MessageType,
    encode_message,
)

_ASKED = (
    Message(MessageType.WATCH, "/qubes-forward/"),
    Message(MessageType.MULTIREAD, "/qubes-forward/"),
    Message(MessageType.READ, "/name"),
    Message(MessageType.WRITE, "/qubes-forward", b"1"),
    Message(MessageType.LIST, "/"),
    Message(MessageType.RM, "/a/"),
    Message(MessageType.UNWATCH, "/b"),
)
_ANSWERED = b"".join(
    encode_message(message)
    for message in (
        Message(MessageType.OK, "/qubes-forward/"),
        Message(MessageType.ANSWER_MULTIREAD, "/qubes-forward/0a0b0c0d", b"in=self"),
        Message(MessageType.ANSWER_WATCH, "/qubes-forward/0a0b0c0d"),
        Message(MessageType.ANSWER_MULTIREAD, ""),
        Message(MessageType.ANSWER_READ, "/name", b"work"),
        Message(MessageType.OK, "/qubes-forward"),
        Message(MessageType.ANSWER_LIST, "/name"),
        Message(MessageType.ANSWER_LIST, ""),
        Message(MessageType.ERROR_NOENT, "/a/"),
        Message(MessageType.ERROR, "/b"),
    )
)
_HEADERS = tuple(encode_message(Message(kind, "/x")) for kind in MessageType)


def _receive(data: bytes) -> str:
    whole = _take([data])
    size = 1 + data[-1] % 90 if data else 1
    start = data[:2000]
    cut = [start[at : at + size] for at in range(0, len(start), size)]
    assert _take([*cut, data[2000:]]) == whole
    return f"{len(whole[0])} {whole[1]}"


def _take(pieces: list[bytes]) -> tuple[list[str], str]:
    session = Session()
    for message in _ASKED:
        session.request(message)
    received = []
    try:
        for piece in pieces:
            for item in session.receive(piece):
                assert isinstance(item, Answer | Fired)
                received.append(repr(item))
    except MalformedMessage as error:
        return received, str(error)
    return received, ""


def _read_requests(data: bytes) -> str:
    messages = list(MessageReader(REQUESTS).feed(data))
    for message in messages:
        (again,) = MessageReader(REQUESTS).feed(encode_message(message))
        assert again == message
    return f"{[message.type.name for message in messages[:4]]}"


TARGETS = (
    Target("qubesdb-answers", _receive, (), (_ANSWERED,), _HEADERS),
    Target(
        "qubesdb-requests",
        _read_requests,
        (MalformedMessage,),
        (b"".join(map(encode_message, _ASKED)),),
        _HEADERS,
    ),
)
