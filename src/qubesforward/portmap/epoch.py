# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a router has lost what it was asked for, told by the time it says."""

from __future__ import annotations

_PCP_SLACK = 2
"""Seconds that two clocks may differ by besides a sixteenth: RFC 6887, 8.5."""

_NATPMP_SLACK = 2
"""Seconds: RFC 6886, 3.6."""


class Epoch:
    """The last time that a router said, in seconds since it has its state."""

    def __init__(self) -> None:
        self._server: int | None = None
        self._client = 0.0

    def follows_in_pcp(self, epoch: int, now: float) -> bool:
        """Take in a time; whether it goes on from the last one: RFC 6887, 8.5."""
        if self._server is None:
            self._keep(epoch, now)
            return True
        server = epoch - self._server
        client = int(now - self._client)
        # One second backwards is two packets in the wrong order.
        follows = (
            server >= -1
            and client + _PCP_SLACK >= server - server // 16
            and server + _PCP_SLACK >= client - client // 16
        )
        self._keep(epoch, now)
        return follows

    def follows_in_natpmp(self, epoch: int, now: float) -> bool:
        """Take in a time; whether it goes on from the last one: RFC 6886, 3.6."""
        least = None
        if self._server is not None:
            least = self._server + (now - self._client) * 7 / 8
        self._keep(epoch, now)
        return least is None or epoch >= least - _NATPMP_SLACK

    def _keep(self, epoch: int, now: float) -> None:
        self._server, self._client = epoch, now
