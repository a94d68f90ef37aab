# SPDX-License-Identifier: GPL-2.0-or-later
"""The QubesDB of one running qube: what we put there, and what its agent answers."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from qubesforward.daemon.answers import (
    LINES_PER_REPORT,
    Counter,
    parse_count,
    parse_outside,
    parse_present,
    parse_reason,
    parse_report,
    parse_tunnel,
)
from qubesforward.errors import InvalidRule, QubesDBError
from qubesforward.model.entry import Entry, format_entry
from qubesforward.model.hosts import Address, parse_address
from qubesforward.plan.diff import ID_BITS, HopDiff, diff_hop, diff_planned_hop
from qubesforward.plan.outbound import OutboundDiff, Tree
from qubesforward.qubes.qubesdb import QubesDB

FORWARDS = "/qubes-forward"
HANDLED = "/qubes-forward-handled"
REFUSED = "/qubes-forward-refused/"
OUTSIDE = "/qubes-forward-outside"
TUNNEL = "/qubes-forward-tunnel"
GATEWAY = "/qubes-forward-gateway"
ASK = "/qubes-forward-ask"
REPORT = "/qubes-forward-report/"
REPORTED = "/qubes-forward-reported"
OUTBOUND = "/qubes-firewall"

_log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a QubesDB may take to answer before its connection is given up."""

PROMPT = 0.3
"""Seconds that publishing is waited for. A QubesDB that takes longer, because its qube
floods it for one, gets everything all the same, but no other hop waits for that."""

MOST_HEARD = 500
"""Changes taken in from one hop in a second. Those beyond wait, and many changes of
one thing then count as one; so a hop that never rests costs dom0 little."""

MOST_KEYS = 2**16
"""Keys of ours in one hop, far above 10,000 forwards: more are not from dom0."""

_LAST_GENERATION = 10**15
"""A qube may have written any; counting on must never lead to what is no number."""

_AT_ONCE = 1000
"""Entries that are read before others get their turn."""

_ID = re.compile(r"[0-9a-f]{8}")
_OUTBOUND_KEY = re.compile(r"policy|[0-9]{1,6}")


class Hop:
    """One running qube. `changed` is called whenever its agent says something new.

    `present` is what its QubesDB holds for us, by ID (None: no entry at all).
    `closing` is the generation of the last removal, 0 when nobody waits for it.
    `fresh`: what it holds has not been compared with the plan yet.
    `tunnel` is the one that it has, or had since its start; empty for none.
    `has_gateway`: its gateway is told to be there.
    `inherited` are the IDs that were there when this connection was made.
    `planned` are the entries that `present` was made of, None if it may have others.
    Without `with_outbound` outbound rules are not ours: neither read nor touched.
    """

    def __init__(
        self,
        name: str,
        xid: int,
        changed: Callable[[], None],
        *,
        with_outbound: bool = True,
    ) -> None:
        self.name = name
        self.xid = xid
        self.present: dict[str, Entry | None] = {}
        self.outbound: dict[str, dict[str, str]] = {}
        self.generation = 0
        self.closing = 0
        self.fresh = True
        self.inherited: frozenset[str] = frozenset()
        self.handled = -1
        self.refused: dict[str, str] = {}
        self.outside: tuple[Address, ...] = ()
        self.tunnel = ""
        self.has_gateway = False
        self.counters: dict[str, Counter] = {}
        self.planned: frozenset[Entry] | None = None
        self._ids: dict[Entry, str] = {}
        self._numbers: set[int] = set()
        self._published: dict[str, int] = {}
        self._changed = changed
        self._with_outbound = with_outbound
        self._heard = asyncio.Condition()
        self._asked: set[str] = set()
        self._sending: set[asyncio.Task[QubesDBError | None]] = set()
        self._db: QubesDB | None = None
        self.is_reached = False
        """Whether its QubesDB has answered anything."""

    async def open(self, path: str, *, anew: bool = False) -> None:
        """Connect to the QubesDB at `path` and read all that it holds for us.

        With `anew` all of it is removed unread: a qube may have put there more than
        can be read.
        """
        self._db = db = await QubesDB.connect(path, PATIENCE)
        for watched in (HANDLED, REFUSED, OUTSIDE, TUNNEL, REPORTED):
            await db.watch(watched)
        self.is_reached = True
        await self._read_forwards(db, anew)
        if self._with_outbound:
            await self._read_outbound(db, anew)
        self.has_gateway = await db.read(GATEWAY) is not None
        for path_ in (HANDLED, OUTSIDE, TUNNEL, REFUSED):
            await self._take_in(db, path_)

    async def _read_forwards(self, db: QubesDB, anew: bool) -> None:
        untrusted_values = await self._read_below(db, FORWARDS + "/", anew)
        for number, (path, untrusted_value) in enumerate(
            (untrusted_values or {}).items()
        ):
            # What else the qube itself may have put there is its own business.
            if _ID.fullmatch(entry_id := path.removeprefix(FORWARDS + "/")):
                self._note(entry_id, parse_present(untrusted_value))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        generation = parse_count(await db.read(FORWARDS)) or 0
        self.generation = generation if generation < _LAST_GENERATION else 0
        if untrusted_values is None:
            self.generation += 1
            await db.write(FORWARDS, b"%d" % self.generation)
        # An earlier run may have ended between closing and opening.
        self.closing = self.generation
        self._published = dict.fromkeys(self.present, self.generation)
        self.inherited = frozenset(self.present)

    async def _read_outbound(self, db: QubesDB, anew: bool) -> None:
        untrusted_values = await self._read_below(db, OUTBOUND + "/", anew)
        for path, untrusted_value in (untrusted_values or {}).items():
            source, _, key = path.removeprefix(OUTBOUND + "/").partition("/")
            # The same here: what dom0 could not have written, it need not remove.
            if _is_address(source) and (not key or _OUTBOUND_KEY.fullmatch(key)):
                keys = self.outbound.setdefault(source, {})
                if key:
                    keys[key] = untrusted_value.decode("ascii", "replace")

    async def _read_below(
        self, db: QubesDB, top: str, anew: bool
    ) -> dict[str, bytes] | None:
        """Return a subtree; None if it was removed, being more than dom0 writes."""
        if not anew:
            try:
                untrusted_values = await db.multiread(top)
            except QubesDBError as error:
                # If it was the connection that failed, so does the removal.
                _log.warning("%s: %s", self.name, error)
            else:
                if len(untrusted_values) <= MOST_KEYS:
                    return untrusted_values
        _log.warning("%s: flooded: everything below %s is removed", self.name, top)
        await db.rm(top)
        return None

    async def listen(self) -> None:
        """Take in what the agent says until the connection ends (QubesDBError)."""
        loop = asyncio.get_running_loop()
        began, heard = loop.time(), 0
        while (db := self._db) is not None:
            await self._take_in(db, await db.next_event())
            async with self._heard:
                self._heard.notify_all()
            self._changed()
            heard += 1
            if loop.time() - began >= 1:
                began, heard = loop.time(), 0
            elif heard >= MOST_HEARD:
                await asyncio.sleep(1 - (loop.time() - began))

    async def close(self) -> None:
        """Let go of the connection; what was published stays."""
        if self._db is not None:
            await self._db.aclose()
            self._db = None

    def compare(
        self, wanted: frozenset[Entry], untrusted_numbers: Iterator[int]
    ) -> HopDiff:
        """Return what to publish so that the hop has what is wanted."""
        planned = self.planned
        if planned is None:
            return diff_hop(wanted, self.present, untrusted_numbers)
        if planned is wanted:
            return HopDiff()
        return diff_planned_hop(
            wanted, planned, self._ids, self.present, self._numbers, untrusted_numbers
        )

    async def publish(self, diff: HopDiff) -> None:
        """Write a difference and commit it."""
        db = self._require_db()
        self.generation = generation = self.generation + 1
        if diff.remove or self.fresh:
            self.closing = generation
        # Noted first: the agent may answer before the last write has returned.
        for entry_id in diff.remove:
            self._forget(entry_id)
        for entry_id, entry in diff.write.items():
            self._note(entry_id, entry)
            self._published[entry_id] = generation
        removed = [f"{FORWARDS}/{entry_id}" for entry_id in diff.remove]
        items = [
            (f"{FORWARDS}/{entry_id}", format_entry(entry).encode("ascii"))
            for entry_id, entry in diff.write.items()
        ]
        commit = (FORWARDS, b"%d" % generation)
        await self._send(db.rm_many(removed), db.write_many([*items, commit]))

    async def publish_gateway(self, wanted: bool) -> None:
        """Tell the gateway in this qube to be there, or to be gone."""
        db = self._require_db()
        self.has_gateway = wanted
        await self._send(db.write(GATEWAY, b"1") if wanted else db.rm(GATEWAY))

    async def publish_outbound(self, diff: OutboundDiff, wanted: Tree) -> None:
        """Write a difference of outbound rules and commit every changed source."""
        db = self._require_db()
        removed = [f"{OUTBOUND}/{path}" for path in diff.remove]
        removed += [f"{OUTBOUND}/{source}/" for source in diff.gone]
        items = [
            (f"{OUTBOUND}/{path}", value.encode("ascii"))
            for path, value in diff.write.items()
        ]
        items += [(f"{OUTBOUND}/{s}", b"") for s in (*diff.sources, *diff.gone)]
        left = [f"{OUTBOUND}/{source}" for source in diff.gone]
        self.outbound = {source: dict(keys) for source, keys in wanted.items()}
        await self._send(db.rm_many(removed), db.write_many(items), db.rm_many(left))

    async def _send(self, *changes: Coroutine[Any, Any, None]) -> None:
        """Send changes in this order, and wait for a while until they are done."""
        sending = asyncio.create_task(self._deliver(changes))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        done, _late = await asyncio.wait([sending], timeout=PROMPT)
        if done and (error := sending.result()) is not None:
            raise error

    async def _deliver(
        self, changes: Iterable[Coroutine[Any, Any, None]]
    ) -> QubesDBError | None:
        try:
            # All are sent before any is done, so that a later publishing cannot get
            # in between.
            await asyncio.gather(*changes)
        except QubesDBError as error:
            # Some of it may be there and some not; a new connection will tell.
            await self.close()
            return error
        return None

    async def ask(self, token: str, patience: float) -> None:
        """Ask the agent for its counters; give up after `patience` seconds."""
        db = self._require_db()
        self._asked.add(token)
        try:
            await db.write(ASK, token.encode("ascii"))
            await self._wait(lambda: token not in self._asked, patience)
        finally:
            self._asked.discard(token)

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

    @property
    def has_answered(self) -> bool:
        """Whether its kernel has what the plan says."""
        return not self.fresh and self.handled >= self.generation

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
        self._numbers.add(int(entry_id, 16) & ID_BITS)
        if entry is not None:
            # Should there be two of one content, the first is the one that stays.
            self._ids.setdefault(entry.content, entry_id)

    def _forget(self, entry_id: str) -> None:
        entry = self.present.pop(entry_id, None)
        self._numbers.discard(int(entry_id, 16) & ID_BITS)
        self._published.pop(entry_id, None)
        self.refused.pop(entry_id, None)
        self.counters.pop(entry_id, None)
        if entry is not None and self._ids.get(entry.content) == entry_id:
            del self._ids[entry.content]

    async def _take_in(self, db: QubesDB, path: str) -> None:
        if path == REPORTED:
            await self._take_in_report(db)
        elif path == REFUSED:
            # All of them: the agent removed them together, or wrote too many.
            ids = list(self.present)
            values = await db.read_many([REFUSED + entry_id for entry_id in ids])
            for entry_id, untrusted_value in zip(ids, values, strict=True):
                self._take_in_refusal(entry_id, untrusted_value)
        elif path.startswith(REFUSED):
            # What is said about anything else is not even read.
            if (entry_id := path.removeprefix(REFUSED)) in self.present:
                self._take_in_refusal(entry_id, await db.read(path))
        elif path == HANDLED:
            handled = parse_count(await db.read(HANDLED))
            # Nobody can have handled what is still to come.
            is_believed = handled is not None and handled <= self.generation
            self.handled = handled if handled is not None and is_believed else -1
        elif path == OUTSIDE:
            self.outside = parse_outside(await db.read(OUTSIDE) or b"")
        elif path == TUNNEL:
            self.tunnel = parse_tunnel(await db.read(TUNNEL) or b"")

    async def _take_in_report(self, db: QubesDB) -> None:
        untrusted_token = (await db.read(REPORTED) or b"").decode("ascii", "replace")
        # Nobody asked for any other, so there is no need to read it.
        if untrusted_token in self._asked:
            most = len(self.present) // LINES_PER_REPORT + 1
            values = await db.read_many([f"{REPORT}{n}" for n in range(most)])
            said = [untrusted_value for untrusted_value in values if untrusted_value]
            self.counters = parse_report(said, self.present)
            self._asked.discard(untrusted_token)

    def _take_in_refusal(self, entry_id: str, untrusted_value: bytes | None) -> None:
        if untrusted_value is None:
            self.refused.pop(entry_id, None)
        elif entry_id in self.present:
            self.refused[entry_id] = parse_reason(untrusted_value)


def _is_address(untrusted_text: str) -> bool:
    try:
        parse_address(untrusted_text)
    except InvalidRule:
        return False
    return True
