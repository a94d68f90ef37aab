# SPDX-License-Identifier: GPL-2.0-or-later
"""A QubesDB server: one store, served on any number of sockets.

On Qubes two daemons, one in dom0 and one in the qube, keep each other's store alike;
here dom0's socket and the qube's lead to the same one. What clients see is the same,
limits, refusals and the order of answers and events included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from qubesforward.errors import MalformedMessage
from qubesforward.qubes.qubesdb_wire import (
    REQUESTS,
    Message,
    MessageReader,
    MessageType,
    encode_message,
    find_entry_fault,
    find_path_fault,
)
from qubesforward.qubes.unix import BACKLOG, bind_unix

MAX_BACKLOG = 64 * 1024 * 1024
"""Bytes that may wait for a client that does not read; then it is dropped.

One answer may have as many as a hop has entries: 11 MB for 60,000. The daemon of Qubes
has no limit.
"""

_OK = MessageType.OK
_ERROR = MessageType.ERROR
_ERROR_NOENT = MessageType.ERROR_NOENT

_LISTINGS = (MessageType.LIST, MessageType.MULTIREAD)


class Store:
    """Paths and their values. Paths must have been checked before."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}

    def read(self, path: str) -> bytes | None:
        """Return a value, None when there is no such entry."""
        return self._entries.get(path)

    def write(self, path: str, value: bytes) -> None:
        """Put a value at a path."""
        self._entries[path] = value

    def remove(self, path: str) -> bool:
        """Remove an entry, or all below a path that ends in ``/``; whether any was."""
        if not path.endswith("/"):
            return self._entries.pop(path, None) is not None
        found = self.select(path)
        for inner, _value in found:
            del self._entries[inner]
        return bool(found)

    def select(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return the entries whose path starts with this text, in order."""
        found = [item for item in self._entries.items() if item[0].startswith(prefix)]
        found.sort()
        return found


class QubesDBServer:
    """Serves one store; `listen` as often as there are sockets."""

    def __init__(self) -> None:
        self.store = Store()
        self._clients: set[_Client] = set()
        self._servers: list[asyncio.Server] = []
        self._paths: list[str] = []
        self._is_closed = False

    async def listen(self, path: str) -> None:
        """Serve a socket, open to everybody as on Qubes.

        Raises Unavailable when it cannot be served.
        """
        bound = bind_unix(path, 0o666)
        self._paths.append(path)
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Client(self), sock=bound, backlog=BACKLOG
        )
        self._servers.append(server)

    def close(self) -> None:
        """Stop serving, drop all clients, remove the sockets."""
        self._is_closed = True
        for server in self._servers:
            server.close()
        for client in list(self._clients):
            client.drop()
        for path in self._paths:
            Path(path).unlink(missing_ok=True)

    def join(self, client: _Client) -> None:
        """Note a client: it is told of what it watches."""
        self._clients.add(client)
        if self._is_closed:
            # It was accepted just before.
            client.drop()

    def leave(self, client: _Client) -> None:
        """Forget a client and its watches."""
        self._clients.discard(client)

    def fire(self, path: str) -> None:
        """Tell all that watch `path` that it was written or removed."""
        for client in list(self._clients):
            client.fire(path)


class _Client(asyncio.Protocol):
    """One connection: answers requests in order, as long as the answers are read."""

    def __init__(self, server: QubesDBServer) -> None:
        self._server = server
        self._store = server.store
        self._reader = MessageReader(REQUESTS)
        self._watches: list[str] = []
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._handlers: dict[MessageType, Callable[[Message], None]] = {
            MessageType.READ: self._read,
            MessageType.WRITE: self._write,
            MessageType.MULTIREAD: self._multiread,
            MessageType.LIST: self._list,
            MessageType.RM: self._remove,
            MessageType.WATCH: self._watch,
            MessageType.UNWATCH: self._unwatch,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._server.join(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._server.leave(self)

    def data_received(self, data: bytes) -> None:
        self._handle(data)

    def pause_writing(self) -> None:
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        self._handle(b"")
        if self._transport is not None and not self._paused:
            self._transport.resume_reading()

    def drop(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def fire(self, path: str) -> None:
        """Send an event for every watch that covers `path`."""
        for watched in self._watches:
            if path == watched or (watched.endswith("/") and path.startswith(watched)):
                self._send([Message(MessageType.ANSWER_WATCH, path)])

    def _handle(self, untrusted_data: bytes) -> None:
        try:
            for request in self._reader.feed(untrusted_data):
                self._answer(request)
                # One request may fill the buffer; the others wait in the reader.
                if self._paused or self._transport is None:
                    return
        except MalformedMessage:
            self._refuse_and_close("")

    def _answer(self, request: Message) -> None:
        path = request.path
        is_whole = not path and request.type in _LISTINGS
        if request.data and request.type is not MessageType.WRITE:
            self._reply(_ERROR, path)
        elif request.type is MessageType.WRITE and not _is_entry(path):
            # The daemon of Qubes ends the connection here; so clients must know.
            self._refuse_and_close(path)
        elif not is_whole and find_path_fault(path):
            self._reply(_ERROR, path)
        else:
            self._handlers[request.type](request)

    def _read(self, request: Message) -> None:
        value = self._store.read(request.path)
        if value is None:
            self._reply(_ERROR_NOENT, request.path)
        else:
            self._send([Message(MessageType.ANSWER_READ, request.path, value)])

    def _write(self, request: Message) -> None:
        if find_entry_fault(request.path, request.data):
            self._reply(_ERROR, request.path)
            return
        self._store.write(request.path, request.data)
        self._reply(_OK, request.path)
        self._server.fire(request.path)

    def _multiread(self, request: Message) -> None:
        found = self._store.select(request.path)
        if not request.path:
            # As the daemon of Qubes: the whole store comes from its end.
            found.reverse()
        kind = MessageType.ANSWER_MULTIREAD
        self._send(
            [*(Message(kind, path, value) for path, value in found), Message(kind, "")]
        )

    def _list(self, request: Message) -> None:
        kind = MessageType.ANSWER_LIST
        paths = [path for path, _value in self._store.select(request.path)]
        self._send(Message(kind, path) for path in [*paths, ""])

    def _remove(self, request: Message) -> None:
        if not self._store.remove(request.path):
            self._reply(_ERROR_NOENT, request.path)
            return
        self._reply(_OK, request.path)
        # One event for a whole subtree: watches of single paths below hear nothing.
        self._server.fire(request.path)

    def _watch(self, request: Message) -> None:
        # Watching twice is being told twice.
        self._watches.append(request.path)
        self._reply(_OK, request.path)

    def _unwatch(self, request: Message) -> None:
        if request.path in self._watches:
            self._watches.remove(request.path)
            self._reply(_OK, request.path)
        else:
            self._reply(_ERROR_NOENT, request.path)

    def _reply(self, kind: MessageType, path: str) -> None:
        self._send([Message(kind, path)])

    def _refuse_and_close(self, path: str) -> None:
        self._reply(_ERROR, path)
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _send(self, messages: Iterable[Message]) -> None:
        if self._transport is None:
            return
        self._transport.write(b"".join(map(encode_message, messages)))
        if self._transport.get_write_buffer_size() > MAX_BACKLOG:
            self.drop()


def _is_entry(path: str) -> bool:
    return path.startswith("/") and not path.endswith("/")
