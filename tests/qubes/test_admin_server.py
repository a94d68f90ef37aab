# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import stat
from pathlib import Path

import pytest

from qubesforward.errors import AdminError, Unavailable
from qubesforward.qubes import admin_server
from qubesforward.qubes.admin_server import (
    AdminException,
    Call,
    Refused,
    serve_admin,
)
from qubesforward.qubes.admin_wire import (
    MAX_CALL,
    NO_ANSWER,
    encode_call,
)
from tests.qubes.admin_calls import echo, run, send

LIST = encode_call(Call("admin.vm.List", "", "dom0", "dom0"))


def test_call_is_answered(socket_dir: Path) -> None:
    async def test(path: str) -> None:
        assert await send(path, LIST) == b"0\0admin.vm.List"

    run(socket_dir, test)


def test_call_may_arrive_in_pieces(socket_dir: Path) -> None:
    async def test(path: str) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        for start in range(len(LIST)):
            writer.write(LIST[start : start + 1])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write_eof()
        assert await reader.read() == b"0\0admin.vm.List"
        writer.close()

    run(socket_dir, test)


def test_longest_call_is_answered(socket_dir: Path) -> None:
    payload = b"x" * (MAX_CALL - len(LIST))

    async def test(path: str) -> None:
        assert await send(path, LIST + payload) == b"0\0" + payload

    run(socket_dir, test)


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (AdminException("Kind", "no %s", "work"), b"2\0Kind\0\0no %s\0work\0"),
        (AdminError("Kind", "50%"), b"2\0Kind\0\0%s\x0050%\0"),
        (AdminError(NO_ANSWER, "refused elsewhere"), b""),
        (Refused("not you"), b""),
    ],
)
def test_exceptions_of_the_handler_are_answered_as_qubesd_does(
    socket_dir: Path, error: Exception, reply: bytes
) -> None:
    async def fail(_call: Call) -> bytes:
        raise error

    async def test(path: str) -> None:
        assert await send(path, LIST) == reply

    run(socket_dir, test, fail)


@pytest.mark.parametrize("error", [KeyError("secret"), OSError("disk"), TimeoutError()])
def test_error_of_ours_is_logged_and_looks_like_a_refusal(
    socket_dir: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    async def handle(call: Call) -> bytes:
        if not call.payload:
            raise error
        return b"alive"

    async def test(path: str) -> None:
        assert await send(path, LIST) == b""
        assert await send(path, LIST + b"x") == b"0\0alive"

    run(socket_dir, test, handle)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no header",
        b"admin.vm.List dom0 keyword dom0\0",
        LIST + bytes(MAX_CALL),
        b"a" * MAX_CALL,
    ],
)
def test_what_is_no_call_gets_no_answer(socket_dir: Path, data: bytes) -> None:
    async def test(path: str) -> None:
        assert await send(path, data) == b""
        assert await send(path, LIST) == b"0\0admin.vm.List"

    run(socket_dir, test)


@pytest.mark.parametrize("data", [LIST + bytes(MAX_CALL), b"a" * 5000])
def test_too_much_is_refused_before_its_end(socket_dir: Path, data: bytes) -> None:
    async def test(path: str) -> None:
        assert await send(path, data, end=False) == b""

    run(socket_dir, test)


@pytest.mark.parametrize("data", [b"", LIST[:5], LIST])
def test_client_that_does_not_finish_its_call_is_dropped(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(admin_server, "READ_SECONDS", 0.05)

    async def test(path: str) -> None:
        assert await send(path, data, end=False) == b""
        assert await send(path, LIST) == b"0\0admin.vm.List"

    run(socket_dir, test)


def test_client_that_does_not_read_its_answer_is_dropped(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "WRITE_SECONDS", 0.05)

    async def handle(_call: Call) -> bytes:
        return bytes(10_000_000)

    async def test(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            client.connect(path)
            client.sendall(LIST)
            client.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.3)
            size = 0
            with contextlib.suppress(ConnectionError):
                while piece := client.recv(1_000_000):
                    size += len(piece)
            assert 0 < size < 10_000_000

    run(socket_dir, test, handle)


def test_call_is_carried_out_when_its_client_has_gone(socket_dir: Path) -> None:
    done = asyncio.Event()

    async def handle(_call: Call) -> bytes:
        await asyncio.sleep(0.05)
        done.set()
        return b"too late"

    async def test(path: str) -> None:
        _reader, writer = await asyncio.open_unix_connection(path)
        writer.write(LIST)
        writer.write_eof()
        await writer.drain()
        writer.close()
        await done.wait()
        assert (await send(path, LIST)).endswith(b"too late")

    run(socket_dir, test, handle)


def test_slow_call_does_not_hold_up_others(socket_dir: Path) -> None:
    gate = asyncio.Event()

    async def handle(call: Call) -> bytes:
        if not call.payload:
            await gate.wait()
        return b"done"

    async def test(path: str) -> None:
        slow = asyncio.create_task(send(path, LIST))
        fast = await asyncio.gather(*(send(path, LIST + b"x") for _ in range(200)))
        assert fast == [b"0\0done"] * 200
        assert not slow.done()
        gate.set()
        assert await slow == b"0\0done"

    run(socket_dir, test, handle)


def test_more_clients_than_can_be_served_are_refused(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "MAX_CLIENTS", 1)
    gate = asyncio.Event()

    async def handle(_call: Call) -> bytes:
        await gate.wait()
        return b"done"

    async def test(path: str) -> None:
        first = asyncio.create_task(send(path, LIST))
        await asyncio.sleep(0.05)
        assert await send(path, LIST) == b""
        gate.set()
        assert await first == b"0\0done"
        assert await send(path, LIST) == b"0\0done"

    run(socket_dir, test, handle)


def test_clients_that_send_no_call_keep_nobody_out(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "MAX_CLIENTS", 2)

    async def test(path: str) -> None:
        silent = [await asyncio.open_unix_connection(path) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert await send(path, LIST) == b"0\0admin.vm.List"
        # Those that came last may still send theirs.
        reader, writer = silent[-1]
        writer.write(LIST)
        writer.write_eof()
        assert await reader.read() == b"0\0admin.vm.List"
        for _reader, writer in silent:
            writer.close()

    run(socket_dir, test)


def test_answers_that_nobody_reads_do_not_pile_up(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_server, "MAX_UNREAD", 5_000_000)

    async def handle(_call: Call) -> bytes:
        return bytes(2_000_000)

    async def test(path: str) -> None:
        lazy = []
        for _ in range(6):
            reader, writer = await asyncio.open_unix_connection(path, limit=1)
            writer.write(LIST)
            writer.write_eof()
            lazy.append((reader, writer))
            await asyncio.sleep(0.05)
        # Whoever came last is served, and those before as far as there is room.
        assert len(await send(path, LIST)) == 2_000_002
        sizes = [len(await _read_all(reader)) for reader, _writer in lazy]
        assert sizes[0] < 2_000_002
        assert sizes[-1] == 2_000_002
        for _reader, writer in lazy:
            writer.close()

    run(socket_dir, test, handle)


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1_000_000):
            data += piece
    return data


def test_socket_of_a_dead_server_is_taken_over(socket_dir: Path) -> None:
    path = socket_dir / "admin"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def test(_path: str) -> None:
        assert await send(str(path), LIST) == b"0\0admin.vm.List"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660

    run(socket_dir, test)


def test_socket_of_a_living_server_is_not_taken(socket_dir: Path) -> None:
    async def test(path: str) -> None:
        with pytest.raises(Unavailable, match="another process"):
            await serve_admin(path, echo)
        assert await send(path, LIST) == b"0\0admin.vm.List"

    run(socket_dir, test)


def test_path_that_is_not_ours_is_an_error_not_a_crash(socket_dir: Path) -> None:
    (socket_dir / "admin").write_text("not a socket")

    async def test() -> None:
        with pytest.raises(Unavailable, match="admin"):
            await serve_admin(str(socket_dir / "admin"), echo)

    asyncio.run(test())
    assert (socket_dir / "admin").read_text() == "not a socket"


def test_a_socket_that_systemd_holds_is_still_there_after_the_end(
    socket_dir: Path,
) -> None:
    """Python 3.13 would have removed it, and nobody could start the service by it."""
    path = socket_dir / "held.sock"

    async def test() -> None:
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(str(path))
            server = await serve_admin("", echo, passed=held.dup())
            assert await send(str(path), LIST) == b"0\0admin.vm.List"
            server.close()
            await asyncio.sleep(0)
            assert path.is_socket()

    asyncio.run(test())
