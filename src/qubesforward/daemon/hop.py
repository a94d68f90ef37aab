# SPDX-License-Identifier: GPL-2.0-or-later
"""The QubesDB of one running qube: what we put there, and what its agent answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from qubesforward.errors import InvalidRule, QubesDBError
from qubesforward.model.entry import Entry, format_entry, parse_entry
from qubesforward.model.hosts import Address, parse_address
from qubesforward.plan.diff import HopDiff
from qubesforward.plan.outbound import OutboundDiff, Tree
from qubesforward.qubes.qubesdb import QubesDB

FORWARDS = "/qubes-forward"
HANDLED = "/qubes-forward-handled"
REFUSED = "/qubes-forward-refused/"
OUTSIDE = "/qubes-forward-outside"
ASK = "/qubes-forward-ask"
REPORT = "/qubes-forward-report/"
REPORTED = "/qubes-forward-reported"
OUTBOUND = "/qubes-firewall"

_ID = re.compile(r"[0-9a-f]{8}")
PATIENCE = 2.0
"""Seconds that a QubesDB may take to answer. All hops are published to together, so
one that hangs keeps the others waiting for as long, once."""

_MOST_OUTSIDE = 32
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Counter:
    """What a hop says of one entry; `listening` None where it does not say."""

    packets: int
    bytes: int
    listening: bool | None = None


class Hop:
    """One running qube. `changed` is called whenever its agent says something new.

    `present` is what its QubesDB holds for us, by ID (None: no entry at all).
    `closing` is the generation of the last removal, 0 when nobody waits for it.
    """

    def __init__(self, name: str, xid: int, changed: Callable[[], None]) -> None:
        self.name = name
        self.xid = xid
        self.present: dict[str, Entry | None] = {}
        self.outbound: dict[str, dict[str, str]] = {}
        self.generation = 0
        self.closing = 0
        self.handled = -1
        self.refused: dict[str, str] = {}
        self.outside: tuple[Address, ...] = ()
        self.counters: dict[str, Counter] = {}
        self._ids: dict[Entry, str] = {}
        self._published: dict[str, int] = {}
        self._changed = changed
        self._heard = asyncio.Condition()
        self._reported = ""
        self._db: QubesDB | None = None

    async def open(self, path: str) -> None:
        """Connect to the QubesDB at `path` and read all that it holds for us."""
        self._db = db = await QubesDB.connect(path, PATIENCE)
        for watched in (HANDLED, REFUSED, OUTSIDE, REPORTED):
            await db.watch(watched)
        await self._read_present(db)
        for path_ in (HANDLED, OUTSIDE, REFUSED):
            await self._take_in(db, path_)

    async def _read_present(self, db: QubesDB) -> None:
        for path, untrusted_value in (await db.multiread(FORWARDS + "/")).items():
            # What else the qube itself may have put there is its own business.
            if _ID.fullmatch(entry_id := path.removeprefix(FORWARDS + "/")):
                self._note(entry_id, _parse_present(untrusted_value))
        self.generation = _parse_number(await db.read(FORWARDS)) or 0
        # An earlier run may have ended between closing and opening.
        self.closing = self.generation
        self._published = dict.fromkeys(self.present, self.generation)
        for path, value in (await db.multiread(OUTBOUND + "/")).items():
            source, _, key = path.removeprefix(OUTBOUND + "/").partition("/")
            keys = self.outbound.setdefault(source, {})
            if key:
                keys[key] = value.decode("ascii", "replace")

    async def listen(self) -> None:
        """Take in what the agent says until the connection ends (QubesDBError)."""
        db = self._db
        while db is not None:
            await self._take_in(db, await db.next_event())
            async with self._heard:
                self._heard.notify_all()
            self._changed()

    async def close(self) -> None:
        """Let go of the connection; what was published stays."""
        if self._db is not None:
            await self._db.aclose()
            self._db = None

    async def publish(self, diff: HopDiff) -> None:
        """Write a difference and commit it."""
        db = self._require_db()
        self.generation = generation = self.generation + 1
        if diff.remove:
            self.closing = generation
        # Noted first: the agent may answer before the last write has returned.
        for entry_id in diff.remove:
            self._forget(entry_id)
        for entry_id, entry in diff.write.items():
            self._note(entry_id, entry)
            self._published[entry_id] = generation
        items = [
            (f"{FORWARDS}/{entry_id}", format_entry(entry).encode("ascii"))
            for entry_id, entry in diff.write.items()
        ]
        async with self._read_anew_after_failure():
            await db.rm_many([f"{FORWARDS}/{entry_id}" for entry_id in diff.remove])
            await db.write_many([*items, (FORWARDS, b"%d" % generation)])

    async def publish_outbound(self, diff: OutboundDiff, wanted: Tree) -> None:
        """Write a difference of outbound rules and commit every changed source."""
        db = self._require_db()
        removed = [f"{OUTBOUND}/{path}" for path in diff.remove]
        removed += [f"{OUTBOUND}/{source}/" for source in diff.gone]
        items = [
            (f"{OUTBOUND}/{path}", value.encode("ascii"))
            for path, value in diff.write.items()
        ]
        commits = [(f"{OUTBOUND}/{s}", b"") for s in (*diff.sources, *diff.gone)]
        async with self._read_anew_after_failure():
            await db.rm_many(removed)
            await db.write_many([*items, *commits])
            await db.rm_many([f"{OUTBOUND}/{source}" for source in diff.gone])
        self.outbound = {source: dict(keys) for source, keys in wanted.items()}

    @asynccontextmanager
    async def _read_anew_after_failure(self) -> AsyncIterator[None]:
        try:
            yield
        except QubesDBError:
            # Some of it may be there and some not; a new connection will tell.
            await self.close()
            raise

    async def ask(self, token: str, patience: float) -> None:
        """Ask the agent for its counters; give up after `patience` seconds."""
        await self._require_db().write(ASK, token.encode("ascii"))
        await self._wait(lambda: self._reported == token, patience)

    async def wait_handled(self, generation: int, patience: float) -> bool:
        """Wait until the agent acknowledges a generation, or give up."""
        return await self._wait(lambda: self.handled >= generation, patience)

    async def _wait(self, is_so: Callable[[], bool], patience: float) -> bool:
        async with self._heard:
            try:
                async with asyncio.timeout(patience):
                    await self._heard.wait_for(is_so)
            except TimeoutError:
                return False
        return True

    def find_id(self, entry: Entry) -> str | None:
        """Return the ID under which an entry of this content is published."""
        return self._ids.get(entry.content)

    def is_acknowledged(self, entry_id: str) -> bool:
        """Whether the agent has handled what was last written under an ID."""
        return self.handled >= self._published[entry_id]

    def _require_db(self) -> QubesDB:
        if self._db is None:
            raise QubesDBError(f"{self.name}: its QubesDB is not connected")
        return self._db

    def _note(self, entry_id: str, entry: Entry | None) -> None:
        self.present[entry_id] = entry
        if entry is not None:
            # Should there be two of one content, the first is the one that stays.
            self._ids.setdefault(entry.content, entry_id)

    def _forget(self, entry_id: str) -> None:
        entry = self.present.pop(entry_id, None)
        self._published.pop(entry_id, None)
        self.refused.pop(entry_id, None)
        self.counters.pop(entry_id, None)
        if entry is not None and self._ids.get(entry.content) == entry_id:
            del self._ids[entry.content]

    async def _take_in(self, db: QubesDB, path: str) -> None:
        if path == REPORTED:
            untrusted_token = await db.read(REPORTED)
            self.counters = _parse_reports(await db.multiread(REPORT), self.present)
            self._reported = (untrusted_token or b"").decode("ascii", "replace")
            return
        if path == REFUSED:
            # All of them: the agent removed them together, or wrote too many.
            self.refused.clear()
            for below, untrusted_value in (await db.multiread(REFUSED)).items():
                self._take_in_refusal(below, untrusted_value)
            return
        self._take_in_value(path, await db.read(path))

    def _take_in_value(self, path: str, untrusted_value: bytes | None) -> None:
        if path == HANDLED:
            handled = _parse_number(untrusted_value)
            self.handled = -1 if handled is None else handled
        elif path == OUTSIDE:
            self.outside = _parse_outside(untrusted_value or b"")
        elif path.startswith(REFUSED):
            self._take_in_refusal(path, untrusted_value)

    def _take_in_refusal(self, path: str, untrusted_value: bytes | None) -> None:
        entry_id = path.removeprefix(REFUSED)
        if untrusted_value is None:
            self.refused.pop(entry_id, None)
        elif entry_id in self.present:
            self.refused[entry_id] = _parse_reason(untrusted_value)


def _parse_present(untrusted_value: bytes) -> Entry | None:
    try:
        return parse_entry(untrusted_value.decode("ascii", "replace"))
    except InvalidRule:
        return None


def _parse_number(untrusted_value: bytes | None) -> int | None:
    if untrusted_value is None or len(untrusted_value) > 18:
        return None
    return int(untrusted_value) if untrusted_value.isdigit() else None


def _parse_reason(untrusted_value: bytes) -> str:
    text = untrusted_value[:_LONGEST_REASON].decode("ascii", "replace")
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def _parse_outside(untrusted_value: bytes) -> tuple[Address, ...]:
    addresses = []
    for untrusted_word in untrusted_value.decode("ascii", "replace").split(" "):
        try:
            addresses.append(parse_address(untrusted_word))
        except InvalidRule:
            continue
    return tuple(addresses[:_MOST_OUTSIDE])


def _parse_reports(
    untrusted_values: dict[str, bytes], present: dict[str, Entry | None]
) -> dict[str, Counter]:
    found = {}
    for untrusted_value in untrusted_values.values():
        for untrusted_line in untrusted_value.split(b"\n"):
            words = untrusted_line.split(b" ")
            entry_id = words[0].decode("ascii", "replace")
            if entry_id not in present or len(words) < 3:
                continue
            packets, size = _parse_number(words[1]), _parse_number(words[2])
            if packets is None or size is None:
                continue
            listening = {b"listening": True, b"silent": False}.get(b"".join(words[3:4]))
            found[entry_id] = Counter(packets, size, listening)
    return found
