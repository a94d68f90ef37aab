# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds out whether a router that says nothing to PCP speaks NAT-PMP.

Some drop what they do not know, where RFC 6886 (3.5) has an answer. The question for
the outside address changes nothing there, so it can be put while PCP still has time.
"""

from __future__ import annotations

from qubesforward.portmap import natpmp_wire
from qubesforward.portmap.resending import natpmp_pause

HEAD_START = 0.5
"""Seconds that PCP has before NAT-PMP is tried: many times what a router in the LAN
takes, and short enough for a program that waits (RFC 6886, 3.1: it asks again after a
quarter of a second)."""

_TRIES = 5
"""Questions in NAT-PMP, the last one eight seconds after the first."""


class HeadStart:
    """That of PCP, for one try. `has_heard`: something in NAT-PMP came back."""

    def __init__(self) -> None:
        self.has_heard = False
        self._tries = 0
        self._due: float | None = None

    def begin(self, now: float) -> None:
        """Take in that PCP has been asked; only the first time counts."""
        if self._due is None and not self._tries:
            self._due = now + HEAD_START

    @property
    def is_over(self) -> bool:
        """Whether NAT-PMP may be asked by now."""
        return self._tries > 0

    def get_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, None for never."""
        return self._due

    def handle_timer(self, now: float) -> list[bytes]:
        """Return what to ask now."""
        if self._due is None or now < self._due:
            return []
        self._tries += 1
        self._due = now + natpmp_pause(self._tries) if self._tries < _TRIES else None
        if self.has_heard:
            return []
        return [natpmp_wire.encode_request(natpmp_wire.AddressRequest())]
