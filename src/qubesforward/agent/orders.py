# SPDX-License-Identifier: GPL-2.0-or-later
"""What dom0 ordered: the entries in this qube's QubesDB, as of its last commit."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable

from qubesforward.errors import InvalidRule
from qubesforward.model.entry import Entry, parse_entry
from qubesforward.model.hosts import Address, parse_address
from qubesforward.nft.refusals import clean_reason
from qubesforward.qubes.qubesdb import QubesDB

LOG = logging.getLogger(__name__)

COMMIT = "/qubes-forward"
ENTRIES = "/qubes-forward/"

_GATEWAYS = {4: "/qubes-gateway", 6: "/qubes-gateway6"}

_ID = re.compile(r"[0-9a-f]{8}")

_FEW = 64
"""Entries up to which they are read one by one, and not all that there are."""

_RETRIES = 5


class Orders:
    """The entries that this qube is to have.

    `generation` is the commit that they are of, None if there never was one; then
    there are no entries. `unreadable` has the reasons of those that are none.
    Before the first reading, orders are not known: whatever is applied may be right.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.unreadable: dict[str, str] = {}
        self.generation: bytes | None = None
        self.are_known = False
        self._dirty: set[str] = set()
        self._all_dirty = True

    def note_event(self, path: str) -> bool:
        """Note that a path changed; return whether that is a commit to read."""
        if path == ENTRIES:
            self._all_dirty = True
        elif path.startswith(ENTRIES):
            self._dirty.add(path.removeprefix(ENTRIES))
        return path == COMMIT

    def forget(self) -> None:
        """Note that any number of changes may have been missed."""
        self._all_dirty = True

    async def read(self, db: QubesDB) -> set[str] | None:
        """Read what changed up to the commit; return whose entries, None for all.

        What dom0 writes meanwhile, for the commit after, may be in already. Raises
        `QubesDBError`.
        """
        self.generation = await db.read(COMMIT)
        # The notices of what belongs to that commit came before the answer.
        await asyncio.sleep(0)
        dirty, self._dirty = self._dirty, set()
        if self.generation is None or self._all_dirty or len(dirty) > _FEW:
            self._take_all({} if self.generation is None else await self._read_all(db))
            self.are_known = True
            return None
        values = await asyncio.gather(*(db.read(ENTRIES + one) for one in dirty))
        for entry_id, untrusted_value in zip(dirty, values, strict=True):
            self._take(entry_id, untrusted_value)
        return dirty

    async def _read_all(self, db: QubesDB) -> dict[str, bytes]:
        for _ in range(_RETRIES):
            untrusted_values = await db.multiread(ENTRIES)
            generation = await db.read(COMMIT)
            if generation == self.generation:
                break
            self.generation = generation
        return untrusted_values

    def _take_all(self, untrusted_values: dict[str, bytes]) -> None:
        self._all_dirty = self.generation is None
        ids = {path.removeprefix(ENTRIES) for path in untrusted_values}
        for entry_id in (self.entries.keys() | self.unreadable.keys()) - ids:
            self._take(entry_id, None)
        while untrusted_values:
            path, untrusted_value = untrusted_values.popitem()
            self._take(path.removeprefix(ENTRIES), untrusted_value)

    def _take(self, untrusted_id: str, untrusted_value: bytes | None) -> None:
        old = self.entries.pop(untrusted_id, None)
        self.unreadable.pop(untrusted_id, None)
        if untrusted_value is None:
            return
        try:
            entry = _parse(untrusted_id, untrusted_value)
        except InvalidRule as error:
            LOG.warning("entry %.40a refused: %s", untrusted_id, error)
            self.unreadable[untrusted_id] = clean_reason(str(error))
            return
        # The same object tells everyone after us that nothing has changed.
        self.entries[untrusted_id] = old if old is not None and old == entry else entry


def _parse(untrusted_id: str, untrusted_value: bytes) -> Entry:
    if not _ID.fullmatch(untrusted_id):
        raise InvalidRule("an ID is eight lower-case hex digits")
    try:
        untrusted_text = untrusted_value.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidRule("an entry is plain ASCII") from None
    return parse_entry(untrusted_text)


def watched_paths() -> Iterable[str]:
    """Return what to watch to hear of changes and of commits."""
    return (ENTRIES, COMMIT)


async def read_gateways(db: QubesDB) -> dict[int, Address]:
    """Return this qube's gateways by IP version, as Qubes itself tells them."""
    found = {}
    for family, path in _GATEWAYS.items():
        untrusted_value = await db.read(path)
        try:
            address = parse_address((untrusted_value or b"").decode("ascii", "replace"))
        except InvalidRule:
            continue
        if address.version == family:
            found[family] = address
    return found
