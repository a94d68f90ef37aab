# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of the daemon's socket that do what no client should.

The daemon has 1024 descriptors, as a service that asks for no more.
"""

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.daemon.apart import EXTERNAL, ApartWorld, in_apart_world

pytestmark = pytest.mark.alone

STATUS = b"admin.vm.firewall.Status+forward dom0 name dom0\0"
EVENTS = b"admin.Events dom0 name dom0\0"
ADD = b"admin.vm.firewall.Add+forward dom0 name work\0"
PROMPT = 1.5
MEMORY = 200
MANY = 1000


@pytest.fixture(autouse=True)
def enough_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * MANY
    if soft < wanted:
        if hard < wanted:
            pytest.skip(f"this needs {wanted} open files, and {hard} are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def connect(
    world: ApartWorld, sent: bytes = b"", end: bool = False
) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    while True:
        try:
            client.connect(str(world.root / "forwardd.sock"))
            break
        except BlockingIOError:
            await asyncio.sleep(0.001)
    try:
        client.send(sent)
        if end:
            client.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError, BlockingIOError):
        pass
    return client


async def silent(world: ApartWorld) -> socket.socket:
    return await connect(world)


async def half_a_call(world: ApartWorld) -> socket.socket:
    return await connect(world, ADD[:20])


async def never_ending(world: ApartWorld) -> socket.socket:
    return await connect(world, ADD + b"action=forward ")


async def gone_at_once(world: ApartWorld) -> socket.socket:
    client = await connect(world, STATUS, end=True)
    client.close()
    return client


async def never_reading(world: ApartWorld) -> socket.socket:
    return await connect(world, STATUS, end=True)


async def half_open(world: ApartWorld) -> socket.socket:
    client = await connect(world, STATUS)
    client.shutdown(socket.SHUT_RD)
    return client


async def giant(world: ApartWorld) -> socket.socket:
    return await connect(world, ADD + b"x" * 1_000_000)


async def garbage(world: ApartWorld) -> socket.socket:
    return await connect(world, bytes(range(256)) * 16, end=True)


CLIENTS = [
    silent,
    half_a_call,
    never_ending,
    gone_at_once,
    never_reading,
    half_open,
    giant,
    garbage,
]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_a_thousand_of_them_keep_nobody_out(
    tmp_path: Path, client: Callable[[ApartWorld], Awaitable[socket.socket]]
) -> None:
    async def test(world: ApartWorld) -> None:
        await world.add("work", EXTERNAL.format(443))
        held = [await client(world) for _ in range(MANY)]
        try:
            assert await world.open_and_close("mail", 80) < PROMPT
            assert EXTERNAL.format(443) in await world.call("Get+forward", "work")
            assert world.memory() < MEMORY
        finally:
            for one in held:
                one.close()
        assert "error of ours" not in world.said()
        assert "Traceback" not in world.said()

    in_apart_world(tmp_path, test)


def test_listeners_that_never_read_are_let_go(tmp_path: Path) -> None:
    async def test(world: ApartWorld) -> None:
        held = [await connect(world, EVENTS, end=True) for _ in range(100)]
        for port in range(3):
            await world.open_and_close("mail", 80 + port)
        # More events than any of them may have waiting, beside what sockets hold.
        store = world._dbs["sys-net"]
        for number in range(2000):
            store.store.write("/qubes-forward-outside", b"10.0.0.%d" % (number % 250))
            store.fire("/qubes-forward-outside")
            await asyncio.sleep(0)
        assert await world.open_and_close("mail", 90) < PROMPT
        assert world.memory() < MEMORY
        for one in held:
            one.close()

    in_apart_world(tmp_path, test)
