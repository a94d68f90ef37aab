# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from qubesforward.errors import QubesDBError
from qubesforward.lab.qubesdb_server import QubesDBServer
from qubesforward.qubes import qubesdb as qubesdb_module
from qubesforward.qubes.qubesdb import QubesDB
from qubesforward.qubes.qubesdb_wire import (
    REQUESTS,
    Message,
    MessageReader,
    MessageType,
    encode_message,
)

Answering = Callable[[Message], Sequence[Message]]


def event(path: str) -> Message:
    return Message(MessageType.ANSWER_WATCH, path)


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[QubesDB, QubesDB]]:
    """Two connections to one real server."""
    server = QubesDBServer()
    path = str(directory / "db")
    await server.listen(path)
    first, second = await QubesDB.connect(path), await QubesDB.connect(path)
    try:
        yield first, second
    finally:
        await first.aclose()
        await second.aclose()
        server.close()


class Scripted:
    """A daemon that sends what it is told, a byte at a time if need be."""

    def __init__(self, answer: Answering, piece: int = 65536) -> None:
        self._answer = answer
        self._piece = piece
        self.writer: asyncio.StreamWriter | None = None

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.writer = writer
        messages = MessageReader(REQUESTS)
        while data := await reader.read(65536):
            for request in messages.feed(data):
                stream = b"".join(map(encode_message, self._answer(request)))
                for start in range(0, len(stream), self._piece):
                    writer.write(stream[start : start + self._piece])
                    await writer.drain()
                    await asyncio.sleep(0)
        writer.close()

    def hang_up(self) -> None:
        assert self.writer is not None
        self.writer.transport.abort()


@asynccontextmanager
async def scripted(
    directory: Path, script: Scripted, patience: float = 10.0
) -> AsyncIterator[QubesDB]:
    path = str(directory / "db")
    server = await asyncio.start_unix_server(script.serve, path)
    database = await QubesDB.connect(path, patience)
    try:
        yield database
    finally:
        await database.aclose()
        server.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())


def test_what_is_written_is_read_from_another_connection(socket_dir: Path) -> None:
    async def test() -> None:
        async with served(socket_dir) as (mine, other):
            await mine.write("/a/b", b"value")
            assert await other.read("/a/b") == b"value"
            assert await other.read("/a") is None
            await other.rm("/a/b")
            assert await mine.read("/a/b") is None
            await mine.rm("/a/b")

    run(test)


def test_listings_come_in_order_and_by_text_of_the_prefix(socket_dir: Path) -> None:
    async def test() -> None:
        async with served(socket_dir) as (mine, other):
            await mine.write_many([("/f-x", b"3"), ("/f/b", b"2"), ("/f/a", b"1")])
            assert await other.list("/f/") == ["/f/a", "/f/b"]
            assert await other.list("/f") == ["/f-x", "/f/a", "/f/b"]
            assert await other.multiread("/f/") == {"/f/a": b"1", "/f/b": b"2"}
            assert await other.multiread("/nothing/") == {}
            await mine.rm("/f/")
            assert await other.list("/f") == ["/f-x"]

    run(test)


def test_concurrent_requests_on_one_connection_get_their_own_answers(
    socket_dir: Path,
) -> None:
    async def test() -> None:
        async with served(socket_dir) as (mine, _other):
            await mine.write_many([(f"/k/{n}", b"%d" % n) for n in range(50)])
            reads = [mine.read(f"/k/{n}") for n in range(50)]
            answers = await asyncio.gather(*reads, mine.list("/k/"))
            assert answers[:50] == [b"%d" % n for n in range(50)]
            assert len(answers[50] or ()) == 50

    run(test)


def test_cancelled_request_does_not_shift_the_answers(socket_dir: Path) -> None:
    async def test() -> None:
        async with served(socket_dir) as (mine, _other):
            await mine.write_many([("/a", b"1"), ("/b", b"2")])
            first = asyncio.create_task(mine.read("/a"))
            await asyncio.sleep(0)
            first.cancel()
            assert await mine.read("/b") == b"2"

    run(test)


def test_nothing_is_written_when_one_entry_cannot_be(socket_dir: Path) -> None:
    async def test() -> None:
        async with served(socket_dir) as (mine, other):
            for bad in (("/b/", b""), ("/b", b"\0"), ("/b", b"x" * 3073), ("b", b"")):
                with pytest.raises(QubesDBError):
                    await mine.write_many([("/a", b"1"), bad])
            assert await other.list("/") == []
            await mine.write("/a", b"still connected")

    run(test)


def test_watch_tells_of_writes_and_removals_by_anybody(socket_dir: Path) -> None:
    async def test() -> None:
        async with served(socket_dir) as (mine, other):
            await mine.watch("/f/")
            await mine.watch("/commit")
            await other.write_many(
                [("/f/a", b"1"), ("/elsewhere", b""), ("/commit", b"")]
            )
            await other.rm("/f/a")
            await mine.write("/f/own", b"")
            found = [await mine.next_event() for _ in range(3)]
            assert found == ["/commit", "/f/a", "/f/own"]

    run(test)


def test_path_that_changed_often_is_told_once_after_what_came_before_it(
    socket_dir: Path,
) -> None:
    async def test() -> None:
        async with served(socket_dir) as (mine, other):
            await mine.watch("/f")
            await mine.watch("/f/")
            for number in range(5):
                await other.write_many([(f"/f/{number}", b""), ("/f", b"%d" % number)])
            await mine.read("/f")
            found = [await mine.next_event() for _ in range(6)]
            assert found == ["/f/0", "/f/1", "/f/2", "/f/3", "/f/4", "/f"]

    run(test)


def test_flood_of_events_is_summed_up_as_the_watches(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qubesdb_module, "MAX_PENDING", 2)

    async def test() -> None:
        async with served(socket_dir) as (mine, other):
            for path in ("/f/", "/g", "/quiet"):
                await mine.watch(path)
            await other.write_many([(f"/f/{n}", b"") for n in range(9)] + [("/g", b"")])
            await mine.read("/g")
            found = [await mine.next_event() for _ in range(4)]
            assert found == ["/f/0", "/f/1", "/f/", "/g"]

    run(test)


def test_events_arrive_between_the_parts_of_a_listing(socket_dir: Path) -> None:
    def answer(request: Message) -> list[Message]:
        if request.type is MessageType.WATCH:
            return [event("/w/early"), Message(MessageType.OK, request.path)]
        kind = MessageType.ANSWER_MULTIREAD
        parts = [Message(kind, "/a", b"1"), event("/w/x"), Message(kind, "/b", b"2")]
        return [event("/w/y"), *parts, event("/w/z"), Message(kind, "")]

    async def test() -> None:
        async with scripted(socket_dir, Scripted(answer, piece=7)) as database:
            await database.watch("/w/")
            assert await database.multiread("/") == {"/a": b"1", "/b": b"2"}
            found = [await database.next_event() for _ in range(4)]
            assert found == ["/w/early", "/w/y", "/w/x", "/w/z"]

    run(test)


def test_error_of_the_daemon_names_the_path(socket_dir: Path) -> None:
    def refuse(request: Message) -> list[Message]:
        return [Message(MessageType.ERROR, request.path)]

    async def test() -> None:
        async with scripted(socket_dir, Scripted(refuse)) as database:
            with pytest.raises(QubesDBError, match="/some/entry"):
                await database.write("/some/entry", b"x")

    run(test)


def test_silent_daemon_is_given_up(socket_dir: Path) -> None:
    async def test() -> None:
        script = Scripted(lambda _request: [])
        async with scripted(socket_dir, script, patience=0.05) as database:
            with pytest.raises(QubesDBError, match="no answer"):
                await database.read("/a")
            with pytest.raises(QubesDBError):
                await database.read("/a")
            with pytest.raises(QubesDBError):
                await database.next_event()

    run(test)


def test_nonsense_from_the_daemon_ends_the_connection(socket_dir: Path) -> None:
    def lie(request: Message) -> list[Message]:
        return [Message(MessageType.ANSWER_LIST, "/x"), event("/late")]

    async def test() -> None:
        async with scripted(socket_dir, Scripted(lie)) as database:
            with pytest.raises(QubesDBError, match="ANSWER_LIST"):
                await database.read("/a")

    run(test)


def test_whoever_waits_hears_that_the_daemon_has_gone(socket_dir: Path) -> None:
    script = Scripted(
        lambda request: (
            [Message(MessageType.OK, "/w/"), event("/w/a")]
            if request.type is MessageType.WATCH
            else []
        )
    )

    async def test() -> None:
        async with scripted(socket_dir, script) as database:
            await database.watch("/w/")
            reading = asyncio.create_task(database.read("/a"))
            await asyncio.sleep(0.01)
            script.hang_up()
            with pytest.raises(QubesDBError):
                await reading
            # What was told before is not lost with the connection.
            assert await database.next_event() == "/w/a"
            with pytest.raises(QubesDBError):
                await database.next_event()
            with pytest.raises(QubesDBError):
                await database.write("/a", b"")

    run(test)


def test_waiting_for_events_ends_with_the_own_close(socket_dir: Path) -> None:
    async def test() -> None:
        async with served(socket_dir) as (mine, _other):
            waiting = asyncio.create_task(mine.next_event())
            await asyncio.sleep(0)
            await mine.aclose()
            with pytest.raises(QubesDBError, match="closed"):
                await waiting

    run(test)


def test_no_daemon_is_an_error_that_names_the_socket(socket_dir: Path) -> None:
    async def test() -> None:
        with pytest.raises(QubesDBError, match="nobody-here"):
            await QubesDB.connect(str(socket_dir / "nobody-here"))

    run(test)


def test_daemon_that_accepts_nobody_is_given_up(socket_dir: Path) -> None:
    path = str(socket_dir / "db")

    async def test() -> None:
        with (
            socket.socket(socket.AF_UNIX) as listener,
            socket.socket(socket.AF_UNIX) as filler,
        ):
            listener.bind(path)
            listener.listen(0)
            filler.connect(path)
            with pytest.raises(QubesDBError, match="no connection"):
                await QubesDB.connect(path, patience=0.05)

    run(test)


def test_client_keeps_reading_while_nobody_takes_the_events(socket_dir: Path) -> None:
    async def test() -> None:
        async with served(socket_dir) as (mine, other):
            await mine.watch("/f/")
            for _ in range(20):
                await other.write_many([(f"/f/{n}", b"") for n in range(1000)])
            # Far more than fits into the buffers of the socket, and nobody was dropped.
            assert await mine.read("/f/1") == b""

    run(test)
