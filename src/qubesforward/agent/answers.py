# SPDX-License-Identifier: GPL-2.0-or-later
"""What this qube tells dom0 through its QubesDB."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from qubesforward.model.hosts import Address
from qubesforward.model.observation import MOST_VALUES
from qubesforward.qubes.qubesdb import QubesDB

HANDLED = "/qubes-forward-handled"
REFUSED = "/qubes-forward-refused/"
OUTSIDE = "/qubes-forward-outside"
TUNNEL = "/qubes-forward-tunnel"
ASK = "/qubes-forward-ask"
REPORT = "/qubes-forward-report/"
REPORTED = "/qubes-forward-reported"
DIAGNOSE = "/qubes-forward-diagnose"
DIAGNOSIS = "/qubes-forward-diagnosis/"
DIAGNOSED = "/qubes-forward-diagnosed"
STOPPED = "/qubes-forward-stopped"

LONGEST_VALUE = 3072
LONGEST_PATH = 63
"""Bytes that QubesDB can hold (Qubes' QUBESDB_MAX_DATA, QDB_MAX_PATH)."""

_MOST_OUTSIDE = 32
"""Addresses that dom0 takes."""


class Answers:
    """Writes answers over one connection, and remembers them to write only news.

    All methods raise `QubesDBError`.
    """

    def __init__(self, db: QubesDB) -> None:
        self._db = db
        self._refused: dict[str, str] = {}
        self._outside: bytes | None = None
        self._tunnel: bytes | None = None
        self._reports = 0
        self._diagnoses = 0

    async def start(self) -> None:
        """Take over what an earlier run has written."""
        self._refused = {
            path.removeprefix(REFUSED): "" for path in await self._db.list(REFUSED)
        }
        self._reports = len(await self._db.list(REPORT))
        self._diagnoses = len(await self._db.list(DIAGNOSIS))
        await self._db.rm(STOPPED)

    async def say_stopped(self) -> None:
        """Say that this agent ends in order, and that nobody need wait for it."""
        await self._db.write(STOPPED, b"1")

    async def acknowledge(
        self, generation: bytes | None, refused: Mapping[str, str]
    ) -> None:
        """Say what is refused, and then that the generation is handled, if any."""
        refused = {
            one: why
            for one, why in refused.items()
            if len(REFUSED) + len(one) <= LONGEST_PATH
        }
        gone = [REFUSED + one for one in self._refused.keys() - refused.keys()]
        items = [
            (REFUSED + one, why.encode("ascii"))
            for one, why in refused.items()
            if self._refused.get(one) != why
        ]
        if generation is not None:
            items.append((HANDLED, generation))
        # Both are sent at once and done in this order.
        await asyncio.gather(self._db.rm_many(gone), self._db.write_many(items))
        self._refused = refused

    async def tell_outside(self, addresses: Sequence[Address]) -> None:
        """Say at which addresses the outside can dial this qube."""
        value = " ".join(map(str, addresses[:_MOST_OUTSIDE])).encode("ascii")
        if value != self._outside:
            await self._db.write(OUTSIDE, value)
            self._outside = value

    async def read_tunnels(self) -> bytes | None:
        """Return what `tell_tunnels` wrote since this qube started, if anything."""
        self._tunnel = await self._db.read(TUNNEL)
        return self._tunnel

    async def tell_tunnels(self, value: bytes) -> None:
        """Say, in the words of `agent.tunnels`, which tunnels there are or were."""
        if value and value != self._tunnel:
            await self._db.write(TUNNEL, value)
            self._tunnel = value

    async def read_token(self) -> bytes | None:
        """Return what dom0 wrote to ask for a report, None if that is gone."""
        return await self._db.read(ASK)

    async def report(self, lines: Iterable[str], untrusted_token: bytes) -> None:
        """Write a report, a line for each entry, and then the token that asked."""
        values = _join(lines)
        before, self._reports = self._reports, len(values)
        await self._write_numbered(REPORT, values, before, (REPORTED, untrusted_token))

    async def read_diagnose(self) -> bytes | None:
        """Return what dom0 wrote to ask for a close look, None if that is gone."""
        return await self._db.read(DIAGNOSE)

    async def tell_diagnosis(self, lines: Iterable[str], token: str) -> None:
        """Write what was seen, as far as dom0 reads it, and the token that asked."""
        values = _join(lines)[:MOST_VALUES]
        before, self._diagnoses = self._diagnoses, len(values)
        end = (DIAGNOSED, token.encode("ascii", "replace"))
        await self._write_numbered(DIAGNOSIS, values, before, end)

    async def _write_numbered(
        self, prefix: str, values: list[bytes], before: int, end: tuple[str, bytes]
    ) -> None:
        items = [(f"{prefix}{n}", value) for n, value in enumerate(values)]
        surplus = [f"{prefix}{n}" for n in range(len(values), before)]
        await asyncio.gather(
            self._db.rm_many(surplus),
            self._db.write_many([*items, end]),
        )


def _join(lines: Iterable[str]) -> list[bytes]:
    """Put lines together into values that QubesDB can hold."""
    values = []
    value = b""
    for line in lines:
        encoded = line.encode("ascii")
        if len(value) + 1 + len(encoded) > LONGEST_VALUE:
            values.append(value)
            value = b""
        value += b"\n" + encoded if value else encoded
    return [*values, value] if value else values
