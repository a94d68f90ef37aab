# SPDX-License-Identifier: GPL-2.0-or-later
"""The connections of gateways: calls of ``qubes.PortMapping`` as qrexec passes them.

qrexec says first who calls (``SERVICE+ARG SOURCE …`` and a zero byte); all that comes
after that is the gateway's own, and believed as far as it concerns that gateway.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from qubesforward.daemon.mappings import Place
from qubesforward.daemon.router_memory import Port
from qubesforward.errors import ForwardError, MalformedMessage
from qubesforward.model.hosts import Address
from qubesforward.plan.snapshot import PortmapPolicy
from qubesforward.qubes.mapping_wire import (
    LONGEST_LINE,
    Client,
    Denied,
    FromDom0,
    FromGateway,
    Open,
    format_message,
    parse_from_gateway,
)
from qubesforward.qubes.paths import qubesdb_socket
from qubesforward.qubes.unix import bind_unix

_log = logging.getLogger(__name__)

SERVICE = "qubes.PortMapping"

_LONGEST_DESCRIPTOR = 300
_MOST_UNREAD = 1024 * 1024
"""Bytes that a gateway may leave unread: above what all its clients' mappings take."""

_MOST_LINKS = 256
_MOST_A_SECOND = 8000
"""Lines taken from one gateway in a second; those beyond wait."""

_MOST_DENIED = 4096
"""Denials that are remembered, the newest: those before may be over by then."""

_AT_ONCE = 64
"""Lines of one gateway after which others get their turn."""


class Link:
    """One gateway's connection. `source` is the qube that it is in.

    What it has been told is kept here, so that it ends with the connection: the
    `clients` that it serves, by which policy their wishes were `denied`, what the
    router outside is asked to open and to close, and whether it `watches` that router's
    address.
    """

    def __init__(self, source: str, writer: asyncio.StreamWriter) -> None:
        self.source = source
        self.clients: dict[Address, Client] = {}
        self.names: dict[Address, str] = {}
        self.opens: dict[Port, Open] = {}
        self.closes: set[Port] = set()
        self.watches = False
        self.denied: dict[Place, PortmapPolicy | None] = {}
        self._writer = writer

    def send(self, message: FromDom0) -> None:
        """Send a line; a gateway that does not read is let go."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > _MOST_UNREAD:
            _log.warning("%s: its gateway does not read; let go", self.source)
            transport.abort()
            return
        self._writer.write(format_message(message))

    def deny(self, place: Place, denied: Denied, policy: PortmapPolicy | None) -> None:
        """Send a denial, and remember by which policy it is one."""
        self.denied.pop(place, None)
        self.denied[place] = policy
        if len(self.denied) > _MOST_DENIED:
            del self.denied[next(iter(self.denied))]
        self.send(denied)

    def close(self) -> None:
        """Let the gateway go; it may come back."""
        self._writer.transport.abort()


async def serve_gateways(
    path: str,
    attach: Callable[[Link], None],
    receive: Callable[[Link, FromGateway], None],
    detach: Callable[[Link], None],
) -> asyncio.Server:
    """Serve gateways on a unix socket, for qrexec. Raises `Unavailable`."""
    bound = bind_unix(path, 0o660, "qubes")
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        if count >= _MOST_LINKS:
            writer.transport.abort()
            return
        count += 1
        try:
            await _serve(reader, writer, attach, receive, detach)
        except (ForwardError, asyncio.LimitOverrunError) as error:
            _log.warning("gateway let go: %s", error)
        except (OSError, asyncio.IncompleteReadError):
            pass
        except Exception:  # noqa: BLE001 - one gateway must not end the others
            _log.exception("a gateway was lost by an error of ours")
        finally:
            count -= 1
            writer.transport.abort()

    return await asyncio.start_unix_server(serve, sock=bound, limit=LONGEST_LINE + 1)


async def _serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    attach: Callable[[Link], None],
    receive: Callable[[Link, FromGateway], None],
    detach: Callable[[Link], None],
) -> None:
    link = Link(await _read_source(reader), writer)
    attach(link)
    try:
        await _read_lines(reader, lambda message: receive(link, message))
    finally:
        detach(link)


async def _read_source(reader: asyncio.StreamReader) -> str:
    """Return who calls, as qrexec says it."""
    async with asyncio.timeout(5):
        descriptor = await reader.readuntil(b"\0")
    if len(descriptor) > _LONGEST_DESCRIPTOR:
        raise MalformedMessage("a service descriptor that is too long")
    words = descriptor[:-1].decode("ascii", "replace").split(" ")
    if len(words) < 2 or words[0].partition("+")[0] != SERVICE:
        raise MalformedMessage(f"no call of {SERVICE}")
    # Raises for what cannot be the name of a qube.
    qubesdb_socket(words[1])
    return words[1]


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError as error:
        raise MalformedMessage(f"a line of over {LONGEST_LINE} bytes") from error


async def _read_lines(
    reader: asyncio.StreamReader, receive: Callable[[FromGateway], None]
) -> None:
    loop = asyncio.get_running_loop()
    began, heard = loop.time(), 0
    while untrusted_line := await _read_line(reader):
        receive(parse_from_gateway(untrusted_line.rstrip(b"\n")))
        heard += 1
        if heard % _AT_ONCE == 0:
            await asyncio.sleep(0)
        if loop.time() - began >= 1:
            began, heard = loop.time(), 0
        elif heard >= _MOST_A_SECOND:
            await asyncio.sleep(1 - (loop.time() - began))
