# SPDX-License-Identifier: GPL-2.0-or-later
"""What qubesd needs from the world below it, as narrow as it uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from qubesforward.lab.hypercall import Link, Role


class Machine(Protocol):
    """The hypervisor. Every call raises a ForwardError when it did not work."""

    async def create(self, name: str, role: Role) -> int:
        """Make and start a domain; its number."""

    async def attach(self, link: Link) -> None:
        """Make a link between two domains."""

    async def detach(self, frontend: str) -> None:
        """Remove the link that a domain has to its netvm."""

    async def pause(self, name: str) -> None:
        """Stop a domain where it is."""

    async def unpause(self, name: str) -> None:
        """Let a domain go on."""

    async def shutdown(self, name: str) -> None:
        """End a domain, orderly if it can be; returns when it is gone."""

    async def kill(self, name: str) -> None:
        """End a domain at once; returns when it is gone."""

    async def domains(self) -> dict[str, str]:
        """Every domain there is, as ``running`` or ``paused``."""

    async def xids(self) -> dict[str, int]:
        """Return the number of every domain there is."""

    async def next_event(self) -> tuple[str, str]:
        """Wait for what happened to a domain: (``died``, its name)."""


class Databases(Protocol):
    """The QubesDB daemons of the running qubes."""

    async def start(self, name: str) -> int:
        """Start one with an empty store; its process id. Raises LabError."""

    async def update(self, name: str, wanted: Mapping[str, str]) -> None:
        """Make qubesd's keys in it what they should be. Raises QubesDBError."""

    async def replace_below(
        self, name: str, top: str, values: Mapping[str, str]
    ) -> None:
        """Write values in place of all below `top`, then commit. Raises QubesDBError.

        `values` are by their names below `top`; the commit is an empty write to it.
        """

    async def stop(self, name: str, pid: int) -> None:
        """End it, and its store with it."""
