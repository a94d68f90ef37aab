# SPDX-License-Identifier: GPL-2.0-or-later
"""A netlink socket: ask the kernel and read its answer, or listen to its notices.

The kernel handles a request while it is being sent, so the answer is there when the
call returns and nothing here ever waits for long.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from select import select

from qubesforward.errors import ApplyError
from qubesforward.nft.netlink_wire import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    decode_messages,
    encode_message,
)

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

# linux/netlink.h, linux/socket.h; Python does not name them.
_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_DROP_MEMBERSHIP = 2
_CAP_ACK = 10
_SO_SNDBUFFORCE = 32

_RECEIVE = 65536
_PATIENCE = 10.0
"""Seconds; only a kernel in trouble takes longer than milliseconds."""

_RETRIES = 10
"""How often a listing is asked for again because it changed while it was read."""

_SPARE = 4096


class NetlinkError(ApplyError):
    """The kernel refused a request; `errno` says why."""

    def __init__(self, errno: int, what: str) -> None:
        super().__init__(f"{what}: {os.strerror(errno)}")
        self.errno = errno


class NetlinkSocket:
    """A connection to the kernel for requests, one after the other.

    All methods raise `NetlinkError` if the kernel refuses, and `MalformedMessage`.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.bind((0, 0))
        self._socket.setblocking(False)
        # Errors then come without a copy of what was sent, however long that was.
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._seq = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def dump(self, kind: int, payload: bytes, what: str) -> list[bytes]:
        """Ask for a listing and return the payload of each part."""
        for _ in range(_RETRIES):
            answers = list(self._exchange(kind, NLM_F_DUMP, payload, what))
            if not any(answer.flags & NLM_F_DUMP_INTR for answer in answers):
                return [answer.payload for answer in answers if answer.payload]
        raise ApplyError(f"{what}: changes faster than it can be read")

    def ask(self, kind: int, payload: bytes, what: str) -> bytes:
        """Ask for one thing and return the payload of the answer."""
        answers = list(self._exchange(kind, NLM_F_ACK, payload, what))
        if not answers:
            raise ApplyError(f"{what}: the kernel gave no answer")
        return answers[0].payload

    def tell_all(self, kind: int, payloads: Iterable[bytes]) -> None:
        """Send requests whose success does not matter, such as deletions."""
        for payload in payloads:
            with suppress(NetlinkError):
                list(self._exchange(kind, NLM_F_ACK, payload, "request"))

    def send_batch(self, batch: bytes, last: int) -> None:
        """Send a transaction; `last` is the number of the message that is confirmed.

        Raises `NetlinkError` with the first reason for which none of it was done.
        """
        self._drain()
        with suppress(OSError):
            # As nft does: a batch may be longer than what sockets are granted.
            size = len(batch) + _SPARE
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
        try:
            self._socket.send(batch)
        except OSError as error:
            raise NetlinkError(error.errno or 0, "transaction") from error
        confirmed = False
        while not confirmed:
            for message in self._receive("transaction"):
                _raise_error(message, "transaction")
                confirmed = confirmed or message.seq == last

    def _exchange(
        self, kind: int, flags: int, payload: bytes, what: str
    ) -> Iterator[Message]:
        """Give what answers a request, up to its end or confirmation."""
        self._drain()
        self._seq = seq = self._seq + 1 & 0xFFFFFFFF
        self._socket.send(encode_message(kind, NLM_F_REQUEST | flags, seq, payload))
        while True:
            for message in self._receive(what):
                if message.seq != seq:
                    continue
                _raise_error(message, what)
                if message.kind == NLMSG_DONE:
                    yield message._replace(payload=b"")
                if message.kind in (NLMSG_DONE, NLMSG_ERROR):
                    return
                yield message

    def _receive(self, what: str) -> list[Message]:
        try:
            readable, _, _ = select([self._socket], [], [], _PATIENCE)
            if not readable:
                raise ApplyError(f"{what}: no answer from the kernel")
            return list(decode_messages(self._socket.recv(_RECEIVE)))
        except OSError as error:
            raise ApplyError(f"{what}: no answer from the kernel: {error}") from error

    def _drain(self) -> None:
        """Forget what an earlier request that failed half-way left behind."""
        with suppress(OSError):
            while self._socket.recv(_RECEIVE):
                pass


def _raise_error(message: Message, what: str) -> None:
    if message.kind == NLMSG_ERROR:
        (negated,) = struct.unpack_from("=i", message.payload)
        if negated:
            raise NetlinkError(-negated, what)


class NetlinkListener:
    """A socket that hears the kernel's notices to groups, without blocking."""

    def __init__(self, protocol: int, groups: Iterable[int]) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            protocol,
        )
        self._socket.bind((0, 0))
        self._groups = tuple(groups)
        self.resume()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor, to wait until there are notices."""
        return self._socket.fileno()

    def pause(self) -> None:
        """Hear nothing until `resume`."""
        for group in self._groups:
            self._socket.setsockopt(_SOL_NETLINK, _DROP_MEMBERSHIP, group)

    def resume(self) -> None:
        """Hear notices again."""
        for group in self._groups:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def take(self) -> list[Message] | None:
        """Return the notices that have come; None if some were lost."""
        messages: list[Message] = []
        lost = False
        while True:
            try:
                messages += decode_messages(self._socket.recv(_RECEIVE))
            except BlockingIOError:
                return None if lost else messages
            except OSError:
                # ENOBUFS: more came than fit in while nobody read.
                lost = True
