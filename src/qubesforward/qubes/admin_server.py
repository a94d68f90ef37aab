# SPDX-License-Identifier: GPL-2.0-or-later
"""Admin API server for asyncio: reads calls, hands them to a handler, answers.

Nothing that a client does or leaves undone reaches other clients or the handler:
calls are bounded in size and time, and who does not read its answer is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from resource import RLIMIT_NOFILE, getrlimit

from qubesforward.errors import AdminError, MalformedMessage
from qubesforward.qubes.admin_wire import (
    MAX_CALL,
    MAX_HEADER,
    NO_ANSWER,
    decode_call,
    encode_event,
    encode_exception,
    encode_success,
)
from qubesforward.qubes.admin_wire import Call as Call
from qubesforward.qubes.admin_wire import Event as Event
from qubesforward.qubes.unix import BACKLOG, bind_unix

_log = logging.getLogger(__name__)

READ_SECONDS = 5.0
"""Time that a client has to send its whole call."""

WRITE_SECONDS = 30.0
"""Time that a client has to read its answer."""

MAX_CLIENTS = 1500
"""Connections served at once, but at most half of the descriptors that this process
may have: it needs others to do what is asked for."""

MAX_UNREAD = 128 * 1024 * 1024
"""Bytes of answers that clients have not read yet, all together."""

MAX_WAITING = 1000
"""Events that may wait for one client before it is dropped."""

LOOK_SECONDS = 5.0
"""How often it is looked whether a client that gets no events is still there."""

_ACCEPT_AT_ONCE = 128
"""Connections that are accepted before any of them is served, so they take descriptors
beside those of MAX_CLIENTS."""

_EVENTS = "admin.Events"
_ESTABLISHED = "connection-established"
_PIECE = 65536

Handler = Callable[[Call], Awaitable[bytes]]
Subscriber = Callable[[Call], AsyncIterator[Event]]


class Refused(Exception):
    """Stock's protocol error, or a denial: the connection ends without an answer."""


class AdminException(Exception):
    """An exception for the caller; clients fill `args` into `text` by ``%s``.

    `kind` is the name of an exception class as clients of qubesd know them.
    """

    def __init__(self, kind: str, text: str, *args: str) -> None:
        super().__init__(kind, text, *args)
        self.kind = kind
        self.text = text
        self.fields = args


async def serve_admin(
    path: str,
    handle: Handler,
    subscribe: Subscriber | None = None,
    *,
    mode: int = 0o660,
    passed: socket.socket | None = None,
) -> asyncio.Server:
    """Serve the Admin API on a unix socket of this mode, for the group qubes.

    Instead of making one at `path`, a socket can be `passed` that is there already.

    `handle` answers a call with its content, or raises AdminException, AdminError
    (passed on as it is) or Refused. Anything else that it raises is logged, and
    looks like a refusal to the client, as with qubesd. `subscribe` answers
    `admin.Events`; its listening must have begun when it first waits. Raises
    Unavailable when another process serves the path.
    """
    bound = passed
    if bound is None:
        bound = bind_unix(path, mode, "qubes")
    clients = _Clients(handle, subscribe)
    # Not that for unix sockets: from Python 3.13 on it removes the path at the end,
    # and a path that was passed is systemd's.
    server = await asyncio.start_server(
        clients.serve, sock=bound, limit=_PIECE, backlog=_ACCEPT_AT_ONCE
    )
    # The loop takes one number for what may wait and for what it accepts at a time.
    bound.listen(BACKLOG)
    return server


class _Clients:
    """Serves every connection by itself; keeps count of them.

    When there are too many, those that keep the others waiting longest are dropped:
    who has not sent a call, or not read the answer.
    """

    def __init__(self, handle: Handler, subscribe: Subscriber | None) -> None:
        self._handle = handle
        self._subscribe = subscribe
        self._most = min(MAX_CLIENTS, getrlimit(RLIMIT_NOFILE)[0] // 2)
        self._count = 0
        self._silent: dict[asyncio.StreamWriter, None] = {}
        self._unread: dict[asyncio.StreamWriter, int] = {}

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._count >= self._most and not self._drop_silent():
            _log.warning("connection refused: there are %d already", self._count)
            writer.transport.abort()
            return
        self._count += 1
        try:
            await self._serve(reader, writer)
        except (Refused, MalformedMessage) as error:
            _log.warning("call refused: %s", error)
        except OSError as error:
            _log.info("client lost: %s", error or "too slow")
        except Exception:  # noqa: BLE001
            # The server is the last one that can notice; stock clients see a refusal.
            _log.exception("a call failed by an error of ours")
        finally:
            self._count -= 1
            if not writer.is_closing():
                writer.transport.abort()

    def _drop_silent(self) -> bool:
        """Drop the client that has taken longest to send its call, if there is one."""
        for writer in self._silent:
            _log.warning("client dropped: %d others, and no call yet", self._count)
            del self._silent[writer]
            writer.transport.abort()
            return True
        return False

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._silent[writer] = None
        try:
            async with asyncio.timeout(READ_SECONDS):
                call = decode_call(await _read_call(reader))
        finally:
            self._silent.pop(writer, None)
        try:
            if call.method != _EVENTS:
                reply = encode_success(await self._answer(call))
            elif self._subscribe is None or call.arg or call.payload:
                raise Refused(f"no such call: {call.method}+{call.arg}")
            else:
                await _EventStream(self._subscribe(call), writer).run()
                reply = b""
        except AdminException as error:
            reply = encode_exception(error.kind, error.text, *error.fields)
        except AdminError as error:
            reply = _encode_error(error)
        self._unread[writer] = len(reply)
        self._drop_unread()
        try:
            await _finish(writer, reply)
        finally:
            self._unread.pop(writer, None)

    def _drop_unread(self) -> None:
        """Drop clients that have taken longest to read, but never the newest."""
        size = sum(self._unread.values())
        for writer in list(self._unread)[:-1]:
            if size <= MAX_UNREAD:
                break
            _log.warning("client dropped: %d bytes of answers are unread", size)
            size -= self._unread.pop(writer)
            writer.transport.abort()

    async def _answer(self, call: Call) -> bytes:
        try:
            return await self._handle(call)
        except OSError as error:
            # Told apart from the errors of the client's connection.
            raise RuntimeError(f"{call.method}+{call.arg} failed") from error


def _encode_error(error: AdminError) -> bytes:
    if error.kind == NO_ANSWER:
        raise Refused(str(error))
    return encode_exception(error.kind, "%s", str(error))


async def _read_call(reader: asyncio.StreamReader) -> bytes:
    """Return all that the client sends; give up as soon as it cannot be a call."""
    untrusted_call = bytearray()
    while piece := await reader.read(_PIECE):
        untrusted_call += piece
        if len(untrusted_call) > MAX_CALL:
            raise MalformedMessage(f"a call of over {MAX_CALL} bytes")
        if (
            len(untrusted_call) > MAX_HEADER
            and b"\0" not in untrusted_call[:MAX_HEADER]
        ):
            raise MalformedMessage(f"a header of over {MAX_HEADER} bytes")
    return bytes(untrusted_call)


async def _finish(writer: asyncio.StreamWriter, reply: bytes) -> None:
    writer.write(reply)
    writer.close()
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
        raise


class _EventStream:
    """Moves events from a subscription to a client that reads as slowly as it likes.

    The subscription is always read at once, so that nothing piles up behind it.
    """

    def __init__(
        self, subscription: AsyncIterator[Event], writer: asyncio.StreamWriter
    ) -> None:
        self._subscription = subscription
        self._writer = writer
        self._waiting: deque[Event] = deque()
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Return when the subscription has ended and all of it is sent.

        Raises what the subscription raises, OSError when the client is lost.
        """
        collecting = asyncio.create_task(self._collect())
        collecting.add_done_callback(lambda _task: self._more.set())
        try:
            # It has begun to listen when it first waits: nothing after the
            # confirmation is missed.
            await asyncio.sleep(0)
            if collecting.done():
                await collecting
            if not self._waiting or self._waiting[0].name != _ESTABLISHED:
                self._waiting.appendleft(Event("", _ESTABLISHED))
            try:
                await self._send(collecting)
            except (AdminException, AdminError) as error:
                # Too late for an exception: the client is reading events.
                raise Refused(f"events ended: {error}") from error
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)

    async def _collect(self) -> None:
        try:
            async for event in self._subscription:
                self._waiting.append(event)
                self._more.set()
                if len(self._waiting) > MAX_WAITING:
                    # Also ends the wait for the client that does not read.
                    self._writer.transport.abort()
                    return
                await asyncio.sleep(0)
        finally:
            if isinstance(self._subscription, AsyncGenerator):
                await self._subscription.aclose()

    async def _send(self, collecting: asyncio.Task[None]) -> None:
        while True:
            while self._waiting:
                self._writer.write(encode_event(self._waiting.popleft()))
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._writer.drain()
            if collecting.done():
                await collecting
                return
            self._more.clear()
            await self._wait()

    async def _wait(self) -> None:
        """Wait for more events, and notice when nobody is there to get them."""
        while not self._more.is_set():
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._more.wait()
            except TimeoutError:
                if _has_left(self._writer):
                    raise ConnectionResetError("it has left") from None


def _has_left(writer: asyncio.StreamWriter) -> bool:
    # The loop does not look at a stream any more whose end it has read.
    poll = select.poll()
    poll.register(writer.get_extra_info("socket"), 0)
    return bool(poll.poll(0))
