# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qubesforward.qubes import admin_server
from qubesforward.qubes.admin_server import AdminException, Call, Event, Refused
from qubesforward.qubes.admin_wire import EventReader, encode_call, encode_event
from tests.qubes.admin_calls import run, send

EVENTS = encode_call(Call("admin.Events", "", "dom0", "dom0"))
ESTABLISHED = encode_event(Event("", "connection-established"))


class Hub:
    """Hands events to subscribers, as the daemons do."""

    def __init__(self) -> None:
        self.queues: list[asyncio.Queue[Event]] = []

    async def subscribe(self, _call: Call) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self.queues.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.queues.remove(queue)

    def announce(self, name: str, **kwargs: str) -> None:
        for queue in self.queues:
            queue.put_nowait(Event("work", name, kwargs))


async def read_names(reader: asyncio.StreamReader, count: int) -> list[str]:
    events = EventReader()
    names: list[str] = []
    while len(names) < count and (piece := await reader.read(65536)):
        names += [event.name for event in events.feed(piece)]
    return names


async def follow(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(EVENTS)
    writer.write_eof()
    assert await reader.readexactly(len(ESTABLISHED)) == ESTABLISHED
    return reader, writer


def test_whoever_was_told_of_the_connection_misses_nothing(socket_dir: Path) -> None:
    hub = Hub()

    async def test(path: str) -> None:
        reader, writer = await follow(path)
        for number in range(300):
            hub.announce(f"event-{number}", key="value")
        names = await read_names(reader, 300)
        assert names == [f"event-{number}" for number in range(300)]
        writer.close()

    run(socket_dir, test, subscribe=hub.subscribe)


def test_connection_is_not_confirmed_twice(socket_dir: Path) -> None:
    async def subscribe(_call: Call) -> AsyncIterator[Event]:
        yield Event("", "connection-established")
        yield Event("work", "last")

    async def test(path: str) -> None:
        last = encode_event(Event("work", "last"))
        assert await send(path, EVENTS) == ESTABLISHED + last

    run(socket_dir, test, subscribe=subscribe)


@pytest.mark.parametrize(
    ("error", "reply"),
    [(AdminException("Kind", "text"), b"2\0Kind\0\0text\0"), (Refused("no"), b"")],
)
def test_subscription_may_be_refused(
    socket_dir: Path, error: Exception, reply: bytes
) -> None:
    async def subscribe(call: Call) -> AsyncIterator[Event]:
        if call.dest == "dom0":
            raise error
        yield Event("", "never")

    async def test(path: str) -> None:
        assert await send(path, EVENTS) == reply

    run(socket_dir, test, subscribe=subscribe)


def test_exception_after_the_first_event_ends_the_stream(socket_dir: Path) -> None:
    async def subscribe(_call: Call) -> AsyncIterator[Event]:
        await asyncio.sleep(0.01)
        yield Event("work", "one")
        raise AdminException("Kind", "text")

    async def test(path: str) -> None:
        received = await send(path, EVENTS)
        assert received == ESTABLISHED + encode_event(Event("work", "one"))

    run(socket_dir, test, subscribe=subscribe)


def test_events_are_refused_where_there_are_none(socket_dir: Path) -> None:
    async def test(path: str) -> None:
        assert await send(path, EVENTS) == b""

    run(socket_dir, test)


def test_client_that_never_reads_its_events_is_dropped_alone(socket_dir: Path) -> None:
    hub = Hub()

    async def test(path: str) -> None:
        reader, writer = await follow(path)
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(path)
            deaf.sendall(EVENTS)
            deaf.shutdown(socket.SHUT_WR)
            while len(hub.queues) < 2:
                await asyncio.sleep(0.01)
            sent = 0
            while len(hub.queues) > 1:
                hub.announce("flood", text="x" * 1000)
                sent += 1
                assert sent < 5000
                await asyncio.sleep(0)
            names = await read_names(reader, sent)
            assert len(names) == sent
        writer.close()

    run(socket_dir, test, subscribe=hub.subscribe)


def test_client_that_left_is_noticed_without_any_event(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "LOOK_SECONDS", 0.02)
    hub = Hub()

    async def test(path: str) -> None:
        _reader, staying = await follow(path)
        _reader, leaving = await follow(path)
        leaving.close()
        while len(hub.queues) > 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(hub.queues) == 1
        staying.close()

    run(socket_dir, test, subscribe=hub.subscribe)
