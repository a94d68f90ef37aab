# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests that are answered when somebody has decided."""

from __future__ import annotations

from qubesforward.portmap.mapping import Holder, Key, Transport

Datagram = tuple[bytes, int]
"""A datagram from or to the client, and the client's port."""

MOST = 256
"""Requests that are kept, the newest. A client whose request was dropped sends it
again, as it would if it was lost."""


class Waiting:
    """The newest request of a client for each key."""

    def __init__(self) -> None:
        self._requests: dict[Key, tuple[Holder, Datagram]] = {}

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._requests)

    def put(self, key: Key, holder: Holder, request: Datagram) -> None:
        """Keep a request instead of an older one."""
        self._requests.pop(key, None)
        self._requests[key] = holder, request
        if len(self._requests) > MOST:
            del self._requests[next(iter(self._requests))]

    def take(self, key: Key) -> Datagram | None:
        """Return the request for a key, which no longer waits then."""
        found = self._requests.pop(key, None)
        return found and found[1]

    def forget_all(self, transport: Transport, holder: Holder) -> None:
        """Forget all requests of a holder for a transport."""
        for key, (other, _) in list(self._requests.items()):
            if key.transport is transport and other == holder:
                del self._requests[key]
