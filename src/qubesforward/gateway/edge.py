# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the LAN's router to lead ports to this hop, as dom0 says."""

from __future__ import annotations

from collections.abc import Callable

from qubesforward.qubes.mapping_wire import (
    Close,
    Failed,
    Failure,
    FromGateway,
    Open,
    Opened,
)


class Edge:
    """What is wanted of the router, and what it said. `say` tells dom0."""

    def __init__(self, say: Callable[[FromGateway], bool]) -> None:
        self._say = say
        self._told: dict[tuple[str, int], Opened | Failed] = {}

    def open(self, wanted: Open) -> None:
        """Have the router lead something to one of this hop's ports."""
        said = Failed(wanted.proto, wanted.port, Failure.SILENT)
        self._told[str(wanted.proto), wanted.port] = said
        self._say(said)

    def close(self, unwanted: Close) -> None:
        """Let it lead nothing there any more."""
        self._told.pop((str(unwanted.proto), unwanted.port), None)

    def tell_all(self) -> None:
        """Tell dom0, which has forgotten it, all that the router said."""
        for said in self._told.values():
            self._say(said)

    def leave(self) -> None:
        """Withdraw everything."""
        self._told.clear()
