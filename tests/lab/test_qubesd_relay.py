# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qubesforward.errors import AdminError
from qubesforward.qubes.unix import connect_unix
from tests.lab.qubesd_world import World, in_world


async def _exchange(path: str, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(sock=await connect_unix(path))
    writer.write(sent)
    writer.write_eof()
    received = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    return received


async def _pass_through(world: World, sent: bytes, reply: bytes) -> tuple[bytes, bytes]:
    """What reaches the firewall service, and what comes back to the caller."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(-1))
        writer.write(reply)
        writer.close()

    server = await asyncio.start_unix_server(serve, world.forwardd)
    async with server:
        answer = await _exchange(world.socket, sent)
    return seen[0], answer


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"admin.vm.firewall.Get dom0 name work\0", b"0\0action=accept\n"),
        (b"admin.vm.firewall.Get+forward dom0 name work\0", b"0\0"),
        (b"admin.vm.firewall.Set dom0 name work\0action=drop\n", b"0\0"),
        (b"admin.vm.firewall.Add+forward dom0 name work\0\xff\xfe", b"0\0\x00\xff"),
        (
            b"admin.vm.firewall.Set+forward dom0 name work\0x",
            b"2\0InvalidRule\0\0line %s: 100%% wrong\x001\0",
        ),
        (b"admin.vm.firewall.Status+forward work name dom0\0", b""),
    ],
)
def test_firewall_calls_pass_byte_for_byte(
    tmp_path: Path, sent: bytes, reply: bytes
) -> None:
    async def test(world: World) -> None:
        assert await _pass_through(world, sent, reply) == (sent, reply)

    in_world(tmp_path, test)


def test_firewall_call_without_the_service_says_so(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        with pytest.raises(AdminError, match="qubes-forwardd is not running"):
            await world.call("admin.vm.firewall.Get", "work")

    in_world(tmp_path, test)


def test_service_that_talks_nonsense_harms_only_its_call(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        sent = b"admin.vm.firewall.Get dom0 name work\0"
        for nonsense in (
            b"2\0",
            b"3\0what",
            b"2\0\xff\0\0\0",
            b"2\0A\0",
            b"3\0A\0\0B\0",
            b"2\0A\0\0B\0C",
        ):
            _seen, answer = await _pass_through(world, sent, nonsense)
            assert answer.startswith(b"2\0QubesException\0")
            Path(world.forwardd).unlink(missing_ok=True)

    in_world(tmp_path, test)
