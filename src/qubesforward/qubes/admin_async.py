# SPDX-License-Identifier: GPL-2.0-or-later
"""Admin API client for asyncio: calls, and events as they happen."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from qubesforward.errors import MalformedMessage
from qubesforward.qubes.admin import MAX_REPLY, TIMEOUT, Service, find_service
from qubesforward.qubes.admin_wire import (
    Call,
    Event,
    EventReader,
    encode_call,
    read_reply,
)
from qubesforward.qubes.paths import FORWARDD_SOCKET, QUBESD_SOCKET
from qubesforward.qubes.unix import connect_unix

_EVENTS = "admin.Events"
_EVENT_MARK = b"1"
_PIECE = 65536


class AsyncAdminClient:
    """Calls from dom0. Paths are those of the sockets; `timeout` is in seconds."""

    def __init__(
        self,
        qubesd: str = QUBESD_SOCKET,
        forwardd: str = FORWARDD_SOCKET,
        timeout: float = TIMEOUT,
    ) -> None:
        self._qubesd = qubesd
        self._forwardd = forwardd
        self._timeout = timeout

    async def call(
        self, method: str, dest: str = "dom0", arg: str = "", payload: bytes = b""
    ) -> bytes:
        """Make a call and return its content.

        Raises AdminError for an exception of the other side, Unavailable when it
        does not answer, MalformedMessage for what is no call or no reply.
        """
        request = encode_call(Call(method, arg, "dom0", dest, payload))
        service = find_service(method, arg, self._qubesd, self._forwardd)
        reply = await send_call(service, request, self._timeout)
        return read_reply(reply, service.name)

    async def events(
        self, dest: str = "dom0", *, of_forwardd: bool = False
    ) -> AsyncGenerator[Event, None]:
        """Yield events of qubesd about `dest`; dom0 stands for all qubes.

        Those of qubes-forwardd instead where that is said. The first one is
        `connection-established`: what happens after it is told. Ends when the service
        ends the connection; raises as `call` does.
        """
        request = encode_call(Call(_EVENTS, "", "dom0", dest))
        service = Service(self._qubesd, "qubesd")
        if of_forwardd:
            service = Service(self._forwardd, "qubes-forwardd")
        # No time limit spans a yield: it would hit whoever uses the events.
        connection, piece = await _subscribe(service, request, self._timeout)
        reader = EventReader()
        try:
            while piece:
                for event in reader.feed(piece):
                    yield event
                piece = await _receive(connection)
        finally:
            connection.close()


async def send_call(service: Service, request: bytes, timeout: float) -> bytes:
    """Send the bytes of a call and return the bytes of the reply, whatever they are.

    So a call can be passed on unread. Raises Unavailable, and MalformedMessage for a
    reply that is too long.
    """
    with _explained(service, timeout):
        async with asyncio.timeout(timeout):
            with await connect_unix(service.path) as connection:
                await _send(connection, request)
                return await _receive_all(connection)


async def _subscribe(
    service: Service, request: bytes, timeout: float
) -> tuple[socket.socket, bytes]:
    """Return a connection on which events arrive, and the first bytes of them."""
    with _explained(service, timeout):
        async with asyncio.timeout(timeout):
            connection = await connect_unix(service.path)
            try:
                await _send(connection, request)
                piece = await _receive(connection)
                if piece.startswith(_EVENT_MARK):
                    return connection, piece
                read_reply(piece + await _receive_all(connection), service.name)
                raise MalformedMessage("Admin API: not events")
            except BaseException:
                connection.close()
                raise


@contextmanager
def _explained(service: Service, timeout: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise service.explain_silence(timeout) from None
    except OSError as error:
        raise service.explain(error) from error


def _is_abort(error: OSError) -> bool:
    return error.errno in (errno.EPIPE, errno.ECONNRESET)


async def _send(connection: socket.socket, request: bytes) -> None:
    try:
        await asyncio.get_running_loop().sock_sendall(connection, request)
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        # Refused before it had read all; why may still be there to be read.
        if not _is_abort(error) and error.errno != errno.ENOTCONN:
            raise


async def _receive(connection: socket.socket) -> bytes:
    """Return what came in; nothing when the other side ended or aborted it."""
    try:
        return await asyncio.get_running_loop().sock_recv(connection, _PIECE)
    except OSError as error:
        if _is_abort(error):
            return b""
        raise


async def _receive_all(connection: socket.socket) -> bytes:
    reply = bytearray()
    while len(reply) <= MAX_REPLY:
        if not (piece := await _receive(connection)):
            return bytes(reply)
        reply += piece
    raise MalformedMessage(f"Admin API: a reply of over {MAX_REPLY} bytes")
