# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves the datagrams of PCP and NAT-PMP between this hop and its router."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

from qubesforward.gateway.links import Router
from qubesforward.portmap.client_events import ClientEvent, NoAnswer
from qubesforward.portmap.datagram_client import SERVER_PORT, DatagramClient
from qubesforward.portmap.edge_watch import EdgeWatch
from qubesforward.portmap.mapping import Key

_LARGEST = 1101
_AT_ONCE = 32
_NONCE = 12
"""Bytes of PCP's mapping nonce (RFC 6887, 11.1)."""


class RouterDatagrams:
    """One router, asked by PCP or else NAT-PMP. `take` gets what happened.

    `seed` is a secret of this hop's: the same one makes the same nonces.
    Raises OSError if there is no way there.
    """

    def __init__(
        self, router: Router, seed: bytes, take: Callable[[ClientEvent], None]
    ) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._watch: EdgeWatch | None = None
        self._seed = seed
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            # Connected, so that the kernel tells when nobody listens there.
            self._socket.connect((str(router.address), SERVER_PORT))
            own = ip_address(self._socket.getsockname()[0])
        except OSError:
            self._socket.close()
            raise
        self._router: IPv4Address = router.address
        draw = random.SystemRandom().random
        self._client = DatagramClient(router.address, own, draw)
        self._loop.add_reader(self._socket, self._read)

    def open(self, key: Key, lifetime: int) -> None:
        """Have the router lead its port of this number, or another, to ours."""
        nonce = self._nonce(key)
        self._client.start(key, key.inner, lifetime, nonce, self._loop.time())
        self._turn()

    def _nonce(self, key: Key) -> bytes:
        text = self._seed + f"{key.transport} {key.inner}".encode()
        return hashlib.sha256(text).digest()[:_NONCE]

    def watch(self, wanted: bool) -> None:
        """Ask for the router's address on its other side, whatever is open."""
        self._watch = EdgeWatch(self._loop.time()) if wanted else None
        self._turn()

    def close(self, key: Key) -> None:
        """Let it lead nothing there any more."""
        self._client.stop(key, self._loop.time())
        self._turn()

    def withdraw(self, key: Key, _outer: int) -> None:
        """Let it lead nothing there, which an earlier run may have asked for."""
        self._client.withdraw(key, self._nonce(key), self._loop.time())
        self._turn()

    def end(self) -> None:
        """Stop asking; what is open ends with its lifetime."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _read(self) -> None:
        now = self._loop.time()
        for _ in range(_AT_ONCE):
            try:
                data = self._socket.recv(_LARGEST)
            except BlockingIOError:
                break
            except OSError:
                # Port unreachable: it speaks neither.
                self._take(NoAnswer())
                break
            self._client.receive_datagram(data, self._router, SERVER_PORT, now)
            if self._watch is not None:
                self._watch.receive_datagram(data, now)
        self._turn()

    def _turn(self) -> None:
        """Send what is due, tell what happened, and arm the timer."""
        if self._socket.fileno() < 0:
            return
        now = self._loop.time()
        at = self._client.get_timer()
        if at is not None and at <= now:
            self._client.handle_timer(now)
        watch = self._watch
        asked = [] if watch is None else watch.handle_timer(now)
        for data in [*self._client.datagrams_to_send(), *asked]:
            try:
                self._socket.send(data)
            except OSError:
                continue
        while (event := self._client.next_event()) is not None:
            self._take(event)
        for changed in [] if watch is None else watch.take_events():
            self._take(changed)
        if self._socket.fileno() < 0:
            # Who was told has ended this.
            return
        if self._timer is not None:
            self._timer.cancel()
        timers = [self._client.get_timer(), watch.get_timer() if watch else None]
        at = min((one for one in timers if one is not None), default=None)
        self._timer = None if at is None else self._loop.call_at(at, self._turn)
