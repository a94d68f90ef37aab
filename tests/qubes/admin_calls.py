# SPDX-License-Identifier: GPL-2.0-or-later
"""A server to try, and a client that is not ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from qubesforward.qubes.admin_server import Call, Handler, Subscriber, serve_admin


async def echo(call: Call) -> bytes:
    return call.payload or call.method.encode()


def run(
    directory: Path,
    test: Callable[[str], Awaitable[None]],
    handle: Handler = echo,
    subscribe: Subscriber | None = None,
) -> None:
    async def serve() -> None:
        path = str(directory / "admin")
        server = await serve_admin(path, handle, subscribe)
        async with asyncio.timeout(20):
            await test(path)
        server.close()

    asyncio.run(serve())


async def send(path: str, data: bytes, *, end: bool = True) -> bytes:
    """Send bytes; return all that comes, which is nothing after an abort."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            if end:
                writer.write_eof()
            await writer.drain()
        try:
            return await reader.read()
        except ConnectionError:
            return b""
    finally:
        writer.transport.abort()
