# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tunnels this qube's default route was since it started.

A VPN program may delete its interface to reconnect, and leave the plain way out
meanwhile. A forward that must not bypass the tunnel stays shut then: that it was there
is remembered, in QubesDB, for as long as the qube runs.
"""

from __future__ import annotations

from collections.abc import Mapping

from qubesforward.nft.refusals import clean_reason

_FAMILIES = {"4": 4, "6": 6}


class TunnelMemory:
    """The tunnels that are or were; `known` has their names by IP version.

    It is another mapping whenever it changes: others compare it with what it was.
    """

    def __init__(self) -> None:
        self.known: Mapping[int, str] = {}

    def note(self, tunnels: Mapping[int, str]) -> None:
        """Take in the tunnels of now."""
        self.known = {**self.known, **tunnels}

    def format(self) -> bytes:
        """Write them as ``tun0 4 6``, one name and its IP versions; empty for none.

        Of two names the one of the lower version stands for both.
        """
        if not self.known:
            return b""
        name = clean_reason(self.known[min(self.known)])
        return " ".join([name, *map(str, sorted(self.known))]).encode("ascii")

    def recall(self, value: bytes) -> None:
        """Take in what an earlier run of this agent wrote; what is newer stays."""
        name, *families = value.decode("ascii", "replace").split(" ") or [""]
        told = {_FAMILIES[family]: name for family in families if family in _FAMILIES}
        self.known = {**told, **self.known}
