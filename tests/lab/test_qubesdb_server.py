# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubesforward.errors import Unavailable
from qubesforward.lab import qubesdb_server
from qubesforward.lab.qubesdb_server import QubesDBServer, Store
from qubesforward.qubes.qubesdb_wire import (
    ANSWERS,
    Message,
    MessageReader,
    MessageType,
    encode_message,
)
from tests.qubes.running import UNHURRIED, short_directory

T = MessageType


class Raw:
    """A client that sends what it likes and takes messages as they come."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.stream = reader
        self.writer = writer
        self._reader = MessageReader(ANSWERS)
        self._found: list[Message] = []

    @classmethod
    async def connect(cls, path: str) -> Raw:
        return cls(*await asyncio.open_unix_connection(path))

    def send(self, *requests: Message) -> None:
        self.writer.write(b"".join(map(encode_message, requests)))

    async def take(self, count: int) -> list[tuple[str, str, bytes]]:
        while len(self._found) < count:
            data = await self.stream.read(65536)
            if not data:
                break
            self._found += self._reader.feed(data)
        taken, self._found = self._found[:count], self._found[count:]
        return [(m.type.name, m.path, m.data) for m in taken]

    async def is_closed(self) -> bool:
        try:
            return await self.stream.read() == b""
        except ConnectionError:
            return True


Test = Callable[[str, str], Awaitable[None]]


def run(test: Test) -> None:
    async def serve(dom0_side: str, qube_side: str) -> None:
        server = QubesDBServer()
        await server.listen(dom0_side)
        await server.listen(qube_side)
        try:
            async with asyncio.timeout(20):
                await test(dom0_side, qube_side)
        finally:
            server.close()
            await asyncio.sleep(0)

    with short_directory() as directory:
        asyncio.run(serve(str(directory / "dom0"), str(directory / "qube")))


def exchange(requests: list[Message], count: int) -> list[tuple[str, str, bytes]]:
    """The answers to requests on one connection to an empty store."""
    answers = []

    async def test(path: str, _other: str) -> None:
        client = await Raw.connect(path)
        client.send(*requests)
        answers.extend(await client.take(count))
        client.writer.close()

    run(test)
    return answers


def test_requests_are_answered_in_order() -> None:
    write = Message(T.WRITE, "/b", b"2")
    assert exchange(
        [
            Message(T.READ, "/b"),
            write,
            Message(T.READ, "/b"),
            Message(T.WRITE, "/b", b""),
            Message(T.READ, "/b"),
            Message(T.RM, "/b"),
            Message(T.RM, "/b"),
            Message(T.UNWATCH, "/b"),
        ],
        8,
    ) == [
        ("ERROR_NOENT", "/b", b""),
        ("OK", "/b", b""),
        ("ANSWER_READ", "/b", b"2"),
        ("OK", "/b", b""),
        ("ANSWER_READ", "/b", b""),
        ("OK", "/b", b""),
        ("ERROR_NOENT", "/b", b""),
        ("ERROR_NOENT", "/b", b""),
    ]


STORE = [
    Message(T.WRITE, path, path.encode()) for path in ("/f/b", "/f-x", "/f/a", "/f")
]


@pytest.mark.parametrize(
    ("prefix", "paths"),
    [
        ("/f/", ["/f/a", "/f/b"]),
        ("/f", ["/f", "/f-x", "/f/a", "/f/b"]),
        ("/f/b", ["/f/b"]),
        ("/g", []),
        ("/", ["/f", "/f-x", "/f/a", "/f/b"]),
    ],
)
def test_listing_compares_the_prefix_as_text(prefix: str, paths: list[str]) -> None:
    requests = [*STORE, Message(T.LIST, prefix), Message(T.MULTIREAD, prefix)]
    answers = exchange(requests, 4 + 2 * (len(paths) + 1))[4:]
    assert answers == [
        *(("ANSWER_LIST", path, b"") for path in paths),
        ("ANSWER_LIST", "", b""),
        *(("ANSWER_MULTIREAD", path, path.encode()) for path in paths),
        ("ANSWER_MULTIREAD", "", b""),
    ]


def test_whole_store_is_read_from_its_end() -> None:
    answers = exchange([*STORE, Message(T.MULTIREAD, "")], 4 + 5)[4:]
    paths = [path for _kind, path, _data in answers]
    assert paths == ["/f/b", "/f/a", "/f-x", "/f", ""]


def test_removing_a_subtree_leaves_what_only_begins_alike() -> None:
    requests = [
        *STORE,
        Message(T.RM, "/f/"),
        Message(T.RM, "/f/"),
        Message(T.LIST, "/"),
    ]
    answers = exchange(requests, 4 + 2 + 3)[4:]
    assert answers == [
        ("OK", "/f/", b""),
        ("ERROR_NOENT", "/f/", b""),
        ("ANSWER_LIST", "/f", b""),
        ("ANSWER_LIST", "/f-x", b""),
        ("ANSWER_LIST", "", b""),
    ]


@pytest.mark.parametrize(
    "request_",
    [
        Message(T.WRITE, "/a b", b""),
        Message(T.WRITE, "/a", b"x\0"),
        Message(T.READ, ""),
        Message(T.READ, "a"),
        Message(T.RM, ""),
        Message(T.WATCH, ""),
        Message(T.LIST, "/a b"),
        Message(T.READ, "/a", b"data"),
        Message(T.RM, "/a", b"data"),
    ],
)
def test_what_is_not_allowed_is_an_error_and_no_more(request_: Message) -> None:
    path = request_.path
    answers = exchange([request_, Message(T.WRITE, "/good", b"")], 2)
    assert answers == [("ERROR", path, b""), ("OK", "/good", b"")]


def test_longest_path_and_value_are_taken() -> None:
    path, value = "/" + "p" * 62, b"v" * 3072
    answers = exchange([Message(T.WRITE, path, value), Message(T.READ, path)], 2)
    assert answers[1] == ("ANSWER_READ", path, value)


@pytest.mark.parametrize(
    "data",
    [
        encode_message(Message(T.WRITE, "/a/", b"")),
        encode_message(Message(T.WRITE, "a", b"")),
        encode_message(Message(T.OK, "/a", b"")),
        b"\x01/a" + bytes(62 + 3) + (3073).to_bytes(4, "little"),
        b"\xff" * 72,
    ],
)
def test_what_breaks_the_rules_ends_the_connection_alone(data: bytes) -> None:
    async def test(path: str, _other: str) -> None:
        client = await Raw.connect(path)
        client.writer.write(data)
        ((kind, _path, _data),) = await client.take(1)
        assert kind == "ERROR"
        assert await client.is_closed()
        other = await Raw.connect(path)
        other.send(Message(T.WRITE, "/good", b""))
        assert await other.take(1) == [("OK", "/good", b"")]
        other.writer.close()
        client.writer.close()

    run(test)


def test_watches_tell_the_writer_itself_after_the_answer() -> None:
    answers = exchange([Message(T.WATCH, "/f/"), Message(T.WRITE, "/f/a", b"")], 3)
    assert answers[1:] == [("OK", "/f/a", b""), ("ANSWER_WATCH", "/f/a", b"")]


def test_watch_covers_its_path_or_its_subtree() -> None:
    async def test(dom0_side: str, qube_side: str) -> None:
        watcher = await Raw.connect(qube_side)
        watcher.send(Message(T.WATCH, "/one"), Message(T.WATCH, "/all/"))
        await watcher.take(2)
        writer = await Raw.connect(dom0_side)
        paths = ["/one", "/one-more", "/one/below", "/all", "/all/x", "/all/x/y"]
        writer.send(*(Message(T.WRITE, path, b"") for path in paths))
        writer.send(Message(T.RM, "/one"), Message(T.RM, "/missing"))
        writer.send(Message(T.RM, "/all/"))
        await writer.take(len(paths) + 3)
        fired = [path for _kind, path, _data in await watcher.take(5)]
        assert fired == ["/one", "/all/x", "/all/x/y", "/one", "/all/"]
        watcher.writer.close()
        writer.writer.close()

    run(test)


def test_removing_a_subtree_is_not_told_to_watches_of_single_paths_in_it() -> None:
    requests = [
        Message(T.WRITE, "/f/a", b""),
        Message(T.WATCH, "/f/a"),
        Message(T.RM, "/f/"),
        Message(T.READ, "/f/a"),
    ]
    assert exchange(requests, 4)[2:] == [
        ("OK", "/f/", b""),
        ("ERROR_NOENT", "/f/a", b""),
    ]


def test_watching_twice_is_being_told_twice_until_unwatched() -> None:
    requests = [
        Message(T.WATCH, "/a"),
        Message(T.WATCH, "/a"),
        Message(T.WRITE, "/a", b""),
        Message(T.UNWATCH, "/a"),
        Message(T.WRITE, "/a", b""),
        Message(T.UNWATCH, "/a"),
        Message(T.WRITE, "/a", b""),
        Message(T.READ, "/b"),
    ]
    kinds = [kind for kind, _path, _data in exchange(requests, 11)]
    event = "ANSWER_WATCH"
    assert kinds == [
        *("OK", "OK"),
        *("OK", event, event),
        *("OK", "OK", event),
        *("OK", "OK"),
        "ERROR_NOENT",
    ]


def test_both_sockets_lead_to_one_store() -> None:
    async def test(dom0_side: str, qube_side: str) -> None:
        dom0, qube = await Raw.connect(dom0_side), await Raw.connect(qube_side)
        dom0.send(Message(T.WRITE, "/a", b"from dom0"))
        await dom0.take(1)
        qube.send(Message(T.READ, "/a"))
        assert await qube.take(1) == [("ANSWER_READ", "/a", b"from dom0")]
        dom0.writer.close()
        qube.writer.close()

    run(test)


def test_client_that_does_not_read_events_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(qubesdb_server, "MAX_BACKLOG", 100_000)

    async def test(path: str, other: str) -> None:
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(other)
            deaf.sendall(encode_message(Message(T.WATCH, "/f/")))
            writer = await Raw.connect(path)
            for _ in range(10_000):
                writer.send(Message(T.WRITE, "/f/a", b""))
            assert len(await writer.take(10_000)) == 10_000
            deaf.settimeout(5)
            received = 0
            try:
                while piece := deaf.recv(65536):
                    received += len(piece)
            except ConnectionError:
                pass
            assert received < 10_000 * 72
            writer.writer.close()

    run(test)


def test_requests_wait_while_their_answers_are_not_read() -> None:
    async def test(path: str, other: str) -> None:
        filler = await Raw.connect(path)
        filler.send(*(Message(T.WRITE, f"/{n}", b"x" * 3000) for n in range(500)))
        await filler.take(500)
        asking = [Message(T.MULTIREAD, "/")] * 20
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(other)
            # Answers of 30 MB, were they made before they are read.
            client.sendall(b"".join(map(encode_message, asking)))
            filler.send(Message(T.READ, "/1"))
            assert len(await filler.take(1)) == 1
            received = MessageReader(ANSWERS)
            ends = 0
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            while ends < 20:
                data = await loop.sock_recv(client, 1_000_000)
                assert data
                ends += sum(not message.path for message in received.feed(data))
        filler.writer.close()

    run(test)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_no_bytes_from_a_client_harm_the_others(pieces: list[bytes]) -> None:
    async def test(path: str, _other: str) -> None:
        hostile, honest = await Raw.connect(path), await Raw.connect(path)
        for piece in pieces:
            hostile.writer.write(piece)
            await asyncio.sleep(0)
        hostile.writer.close()
        honest.send(Message(T.WRITE, "/good", b"1"), Message(T.READ, "/good"))
        assert len(await honest.take(2)) == 2
        honest.writer.close()

    run(test)


SHORT_PATHS = st.from_regex(r"(/[ab]{1,2}){1,3}", fullmatch=True)


@UNHURRIED
@given(
    st.lists(
        st.tuples(st.just("write"), SHORT_PATHS)
        | st.tuples(
            st.just("remove"), SHORT_PATHS | SHORT_PATHS.map(lambda p: p + "/")
        ),
        max_size=20,
    )
)
def test_store_is_what_a_dictionary_would_be(steps: list[tuple[str, str]]) -> None:
    store, model = Store(), dict[str, bytes]()
    for number, (step, path) in enumerate(steps):
        if step == "write":
            store.write(path, b"%d" % number)
            model[path] = b"%d" % number
        else:
            is_tree = path.endswith("/")
            gone = {k for k in model if (k.startswith(path) if is_tree else k == path)}
            assert store.remove(path) is bool(gone)
            model = {k: v for k, v in model.items() if k not in gone}
    assert store.select("/") == sorted(model.items())


def test_socket_that_is_served_already_is_refused() -> None:
    async def test(path: str, _other: str) -> None:
        with pytest.raises(Unavailable):
            await QubesDBServer().listen(path)

    run(test)
