# SPDX-License-Identifier: GPL-2.0-or-later
"""QubesDB client for asyncio. Works against the daemon of Qubes and that of the lab."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from qubesforward.errors import MalformedMessage, QubesDBError
from qubesforward.qubes.qubesdb_session import Answer, Fired, Session
from qubesforward.qubes.qubesdb_wire import (
    Message,
    MessageType,
    find_entry_fault,
    find_path_fault,
)
from qubesforward.qubes.unix import connect_unix

PATIENCE = 10.0
"""Seconds that the daemon may take to answer, before the connection is given up."""

MAX_PENDING = 10_000
"""Events that may wait to be taken, before only the watches are named."""

_Paths = list[str]  # the class below has a method of that name
_Values = list[bytes | None]

_CLOSING = 1.0
"""Seconds to get out what was sent just before closing."""


class _Batch:
    """Requests that were sent together: the future is done when all are answered."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: list[Answer] = []
        self.future: asyncio.Future[list[Answer]] = (
            asyncio.get_running_loop().create_future()
        )

    def take_in(self, answer: Answer) -> bool:
        """Return whether this was the last answer."""
        self._answers.append(answer)
        if len(self._answers) < self._size:
            return False
        # A caller that was cancelled has cancelled the future; the answer still came.
        if not self.future.done():
            self.future.set_result(self._answers)
        return True

    def fail(self, error: QubesDBError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Events:
    """Changed paths that nobody has taken yet.

    A path is kept once, where it changed last: whoever takes it reads the present
    value anyway, and a commit still comes after the entries that it commits. Beyond
    MAX_PENDING only the watches are named. So a qube that writes without end takes
    no memory here.
    """

    def __init__(self) -> None:
        self._watched: set[str] = set()
        self._pending: dict[str, None] = {}
        self._arrived = asyncio.Event()
        self._error: QubesDBError | None = None

    def watch(self, path: str) -> None:
        self._watched.add(path)

    def add(self, path: str) -> None:
        if path in self._pending or len(self._pending) < MAX_PENDING:
            self._note(path)
        else:
            for watched in self._watched:
                if path == watched or (watched[-1] == "/" and path.startswith(watched)):
                    self._note(watched)
        self._arrived.set()

    def _note(self, path: str) -> None:
        self._pending.pop(path, None)
        self._pending[path] = None

    def fail(self, error: QubesDBError) -> None:
        self._error = error
        self._arrived.set()

    async def take(self) -> str:
        while not self._pending:
            if self._error is not None:
                raise QubesDBError(str(self._error))
            self._arrived.clear()
            await self._arrived.wait()
        path = next(iter(self._pending))
        del self._pending[path]
        return path


class _Connection(asyncio.Protocol):
    """Moves bytes between the socket and the session.

    It never stops reading: the daemon of Qubes serves all its clients in turn, and
    would stand still with the one that does not read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._session = Session()
        self._batches: deque[_Batch] = deque()
        self._transport: asyncio.Transport | None = None
        self._error: QubesDBError | None = None
        self._ended = "the daemon closed the connection"
        self.events = _Events()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for received in self._session.receive(data):
                if isinstance(received, Fired):
                    self.events.add(received.path)
                elif self._batches[0].take_in(received):
                    self._batches.popleft()
        except MalformedMessage as error:
            self.give_up(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.give_up(str(exc or self._ended))
        self.closed.set()

    def give_up(self, why: str) -> None:
        """End the connection; all that wait, and will wait, hear why."""
        if self._error is not None:
            return
        self._error = error = QubesDBError(f"{self._path}: {why}")
        while self._batches:
            self._batches.popleft().fail(error)
        self.events.fail(error)
        if self._transport is not None:
            self._transport.abort()

    def send(self, requests: Sequence[Message]) -> _Batch:
        if self._error is not None or self._transport is None:
            raise QubesDBError(str(self._error))
        encoded = [self._session.request(request) for request in requests]
        batch = _Batch(len(requests))
        self._batches.append(batch)
        self._transport.write(b"".join(encoded))
        return batch

    async def close(self) -> None:
        self._ended = "closed"
        if self._transport is not None:
            self._transport.close()
        try:
            async with asyncio.timeout(_CLOSING):
                await self.closed.wait()
        except TimeoutError:
            self.give_up(self._ended)


class QubesDB:
    """A connection to one QubesDB daemon; make it with `connect`.

    All methods raise QubesDBError when the daemon refuses, is gone, or does not
    answer within `patience` seconds; after the latter two the connection is dead.
    """

    def __init__(self, connection: _Connection, patience: float) -> None:
        self._connection = connection
        self._patience = patience

    @classmethod
    async def connect(cls, path: str, patience: float = PATIENCE) -> QubesDB:
        """Connect to the socket at `path`. Raises QubesDBError."""
        connection = _Connection(path)
        try:
            async with asyncio.timeout(patience):
                connected = await connect_unix(path)
                await asyncio.get_running_loop().create_unix_connection(
                    lambda: connection, sock=connected
                )
        except TimeoutError:
            raise QubesDBError(f"{path}: no connection in {patience:g} s") from None
        except OSError as error:
            raise QubesDBError(f"{path}: {error.strerror or error}") from error
        return cls(connection, patience)

    async def read(self, path: str) -> bytes | None:
        """Return the value of an entry, None when there is no such entry."""
        (answer,) = await self._ask(MessageType.READ, [path])
        return answer.entries.get(path)

    async def read_many(self, paths: Iterable[str]) -> _Values:
        """Return the values of entries, in this order, None for each that is not."""
        answers = await self._ask(MessageType.READ, list(paths))
        return [answer.entries.get(answer.request.path) for answer in answers]

    async def write(self, path: str, value: bytes) -> None:
        """Write one entry."""
        await self.write_many([(path, value)])

    async def write_many(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Write entries, in this order; none of them if one cannot be written."""
        for path, value in items:
            _raise_fault(path, find_entry_fault(path, value))
        await self._exchange([Message(MessageType.WRITE, *item) for item in items])

    async def multiread(self, prefix: str) -> dict[str, bytes]:
        """Return all entries whose path starts with `prefix`, in order of paths.

        The prefix is compared as text: ``/a`` also finds ``/ab``.
        """
        (answer,) = await self._ask(MessageType.MULTIREAD, [prefix])
        return answer.entries

    async def list(self, prefix: str) -> _Paths:
        """Return the paths that start with `prefix`, in order."""
        (answer,) = await self._ask(MessageType.LIST, [prefix])
        return list(answer.entries)

    async def rm(self, path: str) -> None:
        """Remove an entry, or with ``/`` at the end all below. Missing is no error."""
        await self.rm_many([path])

    async def rm_many(self, paths: Iterable[str]) -> None:
        """Remove entries, in this order."""
        await self._ask(MessageType.RM, list(paths))

    async def watch(self, path: str) -> None:
        """Be told when this entry changes, or with ``/`` at the end any below it."""
        await self._ask(MessageType.WATCH, [path])
        self._connection.events.watch(path)

    async def next_event(self) -> str:
        """Return a path that was written or removed since the last time.

        A path with ``/`` at its end says that anything below it may have changed:
        the subtree was removed, or there were too many changes to name them. Raises
        QubesDBError when the connection is gone and all events are taken.
        """
        return await self._connection.events.take()

    async def aclose(self) -> None:
        """End the connection."""
        await self._connection.close()

    async def _ask(self, kind: MessageType, paths: Sequence[str]) -> Sequence[Answer]:
        for path in paths:
            _raise_fault(path, find_path_fault(path))
        return await self._exchange([Message(kind, path) for path in paths])

    async def _exchange(self, requests: Sequence[Message]) -> Sequence[Answer]:
        if not requests:
            return ()
        batch = self._connection.send(requests)
        try:
            async with asyncio.timeout(self._patience):
                answers = await batch.future
        except TimeoutError:
            self._connection.give_up(f"no answer in {self._patience:g} s")
            raise QubesDBError(
                f"no answer from QubesDB in {self._patience:g} s"
            ) from None
        for answer in answers:
            if answer.error:
                raise QubesDBError(f"{answer.request.path}: {answer.error}")
        return answers


def _raise_fault(path: str, fault: str | None) -> None:
    if fault is not None:
        raise QubesDBError(f"{path[:80]!a}: {fault}")
