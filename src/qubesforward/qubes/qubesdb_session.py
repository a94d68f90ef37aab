# SPDX-License-Identifier: GPL-2.0-or-later
"""Which answer belongs to which request of a QubesDB client. No I/O.

Requests may be sent without waiting; the daemon answers them in order. Events of
watches arrive at any moment, between the parts of a listing too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from qubesforward.errors import MalformedMessage
from qubesforward.qubes.qubesdb_wire import (
    ANSWERS,
    Message,
    MessageReader,
    MessageType,
    encode_message,
)

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of one listing that are kept. A qube may fill its QubesDB without limit."""

_SIZE_OF_ENTRY = 72
"""Bytes that an entry counts for besides its data: its header on the wire."""

_LISTINGS = {
    MessageType.LIST: MessageType.ANSWER_LIST,
    MessageType.MULTIREAD: MessageType.ANSWER_MULTIREAD,
}
"""Requests that are answered by many messages, ended by one with an empty path."""

_SINGLE = {
    MessageType.READ: {MessageType.ANSWER_READ, MessageType.ERROR_NOENT},
    MessageType.WRITE: {MessageType.OK},
    MessageType.RM: {MessageType.OK, MessageType.ERROR_NOENT},
    MessageType.WATCH: {MessageType.OK},
    MessageType.UNWATCH: {MessageType.OK, MessageType.ERROR_NOENT},
}
"""What ends a request in one message. Every request may also be answered ERROR."""


@dataclass(slots=True)
class Answer:
    """The whole answer to one request; `error` says why it failed, else it is empty.

    `entries` has what was read or listed (values of a LIST are empty), and nothing
    when there was nothing.
    """

    request: Message
    entries: dict[str, bytes] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Fired:
    """A watch fired: the path was written or removed.

    A path with ``/`` at its end tells that the whole subtree was removed. The daemon
    does not tell that to watches of single paths below it.
    """

    path: str


class Session:
    """One connection, seen from the client."""

    def __init__(self) -> None:
        self._reader = MessageReader(ANSWERS)
        self._waiting: deque[Message] = deque()
        self._current: Answer | None = None
        self._room = MAX_ANSWER

    def request(self, message: Message) -> bytes:
        """Note a request and return the bytes to send.

        Raises MalformedMessage, and notes nothing, if it cannot be sent.
        """
        encoded = encode_message(message)
        self._waiting.append(message)
        return encoded

    def receive(self, untrusted_data: bytes) -> Iterator[Answer | Fired]:
        """Take in bytes; iterate to get answers, in the order of requests, and events.

        Raises MalformedMessage: the connection must be given up.
        """
        for message in self._reader.feed(untrusted_data):
            if message.type is MessageType.ANSWER_WATCH:
                yield Fired(message.path)
            elif (answer := self._take_in(message)) is not None:
                yield answer

    def _take_in(self, message: Message) -> Answer | None:
        answer = self._current
        if answer is None:
            if not self._waiting:
                raise MalformedMessage("QubesDB: an answer that nobody asked for")
            answer = self._current = Answer(self._waiting.popleft())
            self._room = MAX_ANSWER
        if not self._completes(answer, message):
            return None
        self._current = None
        return answer

    def _completes(self, answer: Answer, message: Message) -> bool:
        kind = answer.request.type
        if message.type is MessageType.ERROR:
            answer.error = answer.error or "QubesDB refused the request"
        elif message.type is _LISTINGS.get(kind):
            if message.path:
                self._keep(answer, message)
                return False
        elif message.type is MessageType.ANSWER_READ and kind is MessageType.READ:
            answer.entries[answer.request.path] = message.data
        elif message.type not in _SINGLE.get(kind, ()):
            raise MalformedMessage(
                f"QubesDB: {message.type.name} does not answer {kind.name}"
            )
        return True

    def _keep(self, answer: Answer, message: Message) -> None:
        self._room -= _SIZE_OF_ENTRY + len(message.data)
        if self._room < 0:
            # The rest is read, and dropped: only this request fails.
            answer.entries.clear()
            answer.error = f"more than {MAX_ANSWER} bytes of entries"
            return
        answer.entries[message.path] = message.data
