# SPDX-License-Identifier: GPL-2.0-or-later
"""Admin API client for command-line tools: quick to import, one call at a time."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator

from qubesforward.errors import MalformedMessage, Unavailable
from qubesforward.qubes.admin_wire import (
    Call,
    Event,
    EventReader,
    encode_call,
    read_reply,
)
from qubesforward.qubes.paths import (
    FORWARDD_SOCKET,
    QREXEC_CLIENT,
    QREXEC_SOCKET,
    QUBESD_SOCKET,
)

MAX_REPLY = 64 * 1024 * 1024
"""Bytes of a reply; ten thousand forwards with their paths are some ten million."""

TIMEOUT = 30.0
"""Seconds that a whole call may take."""

_FIREWALL = "admin.vm.firewall."
_FORWARD = "forward"
_EVENTS = "admin.Events"
_RETRY = 0.01
_PIECE = 65536
_ABORTS = errno.EPIPE, errno.ECONNRESET


class Service:
    """One of the two services, with the texts for when it does not answer."""

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.name = name

    def explain(self, error: OSError) -> Unavailable:
        """Return what to tell the user when it cannot be reached, and what to do."""
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return Unavailable(
                f"{self.name} is not running (nobody serves {self.path}):"
                f" start it in dom0 with `systemctl start {self.name}`"
            )
        if isinstance(error, PermissionError):
            return Unavailable(
                f"no permission to talk to {self.name} at {self.path}:"
                " run this as a user of the group qubes, or as root"
            )
        why = error.strerror or str(error)
        return Unavailable(f"cannot reach {self.name} at {self.path}: {why}")

    def explain_silence(self, seconds: float) -> Unavailable:
        """Return what to tell the user when no answer comes in time."""
        return Unavailable(
            f"{self.name} did not answer at {self.path} within {seconds:g} s:"
            f" see `systemctl status {self.name}` in dom0;"
            " what was asked for may still happen"
        )


def find_service(method: str, arg: str, qubesd: str, forwardd: str) -> Service:
    """Return who answers a call: qubes-forwardd those about forwards, if it is there.

    So does qrexec choose, by the argument. Whose outbound rules are is qubesd's to
    know: it has them, or passes the call on.
    """
    # pathlib would cost more to import than all the rest here.
    is_ours = arg == _FORWARD and method.startswith(_FIREWALL)
    if is_ours and os.path.exists(forwardd):  # noqa: PTH110
        return Service(forwardd, "qubes-forwardd")
    return Service(qubesd, "qubesd")


class AdminClient:
    """Calls from dom0, or from a qube that may manage others.

    Paths are those of the sockets in dom0; `timeout` is in seconds. In a qube,
    calls go by `qrexec`, the name or path of qrexec-client-vm.
    """

    def __init__(
        self,
        qubesd: str = QUBESD_SOCKET,
        forwardd: str = FORWARDD_SOCKET,
        timeout: float = TIMEOUT,
        qrexec: str = QREXEC_CLIENT,
    ) -> None:
        self._qubesd = qubesd
        self._forwardd = forwardd
        self._timeout = timeout
        self._qrexec = qrexec

    def call(
        self, method: str, dest: str = "dom0", arg: str = "", payload: bytes = b""
    ) -> bytes:
        """Make a call and return its content.

        Raises AdminError for an exception of the other side, Unavailable when it
        does not answer, MalformedMessage for what is no call or no reply.
        """
        call = Call(method, arg, "dom0", dest, payload)
        request = encode_call(call)
        if not os.path.exists(self._qubesd) and os.path.exists(QREXEC_SOCKET):  # noqa: PTH110
            # Not imported in dom0, where it would only cost time.
            from qubesforward.qubes.admin_qrexec import call_by_qrexec

            return call_by_qrexec(self._qrexec, call, self._timeout)
        service = find_service(method, arg, self._qubesd, self._forwardd)
        deadline = time.monotonic() + self._timeout
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                _connect(connection, service.path, deadline)
                reply = _exchange(connection, request, deadline)
        except TimeoutError:
            raise service.explain_silence(self._timeout) from None
        except OSError as error:
            raise service.explain(error) from error
        return read_reply(reply, service.name)

    def firewall_events(self, dest: str = "dom0") -> Iterator[Event]:
        """Yield events of qubes-forwardd about `dest`; dom0 stands for all qubes.

        The first one is `connection-established`: what happens after it is told.
        Waits for the next one as long as that takes. Ends when qubes-forwardd ends
        the connection; raises Unavailable and MalformedMessage as `call` does.
        """
        request = encode_call(Call(_EVENTS, "", "dom0", dest))
        service = Service(self._forwardd, "qubes-forwardd")
        deadline = time.monotonic() + self._timeout
        reader = EventReader()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                _connect(connection, service.path, deadline)
                _send(connection, request, deadline)
                connection.settimeout(None)
            except TimeoutError:
                raise service.explain_silence(self._timeout) from None
            except OSError as error:
                if error.errno in _ABORTS:
                    return
                raise service.explain(error) from error
            while piece := _receive(connection):
                yield from reader.feed(piece)


def _connect(connection: socket.socket, path: str, deadline: float) -> None:
    while True:
        connection.settimeout(_left(deadline))
        try:
            connection.connect(path)
        except BlockingIOError:
            # The backlog is full; with a time limit the kernel does not queue us.
            time.sleep(_RETRY)
        else:
            return


def _exchange(connection: socket.socket, request: bytes, deadline: float) -> bytes:
    """Send the call and return all of the reply; an aborted connection has none."""
    reply = bytearray()
    try:
        _send(connection, request, deadline)
        while len(reply) <= MAX_REPLY:
            connection.settimeout(_left(deadline))
            if not (piece := connection.recv(_PIECE)):
                return bytes(reply)
            reply += piece
    except OSError as error:
        if error.errno in _ABORTS:
            return b""
        raise
    raise MalformedMessage(f"Admin API: a reply of over {MAX_REPLY} bytes")


def _send(connection: socket.socket, request: bytes, deadline: float) -> None:
    connection.settimeout(_left(deadline))
    connection.sendall(request)
    connection.shutdown(socket.SHUT_WR)


def _receive(connection: socket.socket) -> bytes:
    """Return the next bytes, none at the end, however it came."""
    try:
        return connection.recv(_PIECE)
    except ConnectionResetError:
        return b""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
