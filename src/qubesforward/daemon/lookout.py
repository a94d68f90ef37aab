# SPDX-License-Identifier: GPL-2.0-or-later
"""The task that watches every forward from outside and logs what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from qubesforward.daemon.allowance import BURST, Allowance
from qubesforward.daemon.audit import Audit
from qubesforward.daemon.audit_event import AuditEvent, Happening
from qubesforward.daemon.exposures import (
    DOUBT_SECONDS,
    News,
    Phase,
    Seen,
    Sight,
    compare_sights,
)
from qubesforward.daemon.hops import Hops
from qubesforward.daemon.recall import Place, Record
from qubesforward.daemon.reconciler import Reconciler
from qubesforward.daemon.sighting import find_lingering, look_at
from qubesforward.daemon.topology import Topology
from qubesforward.model.text import format_rule

_log = logging.getLogger(__name__)

_AT_ONCE = 100
"""Forwards looked at before others get their turn."""

_SHORTEST_REST = 0.02
_REST = 10.0
"""How often as long as a look takes there is none: it must not cost more than a
tenth of the daemon's time, however many forwards there are."""


class Lookout:
    """Looks after every pass and every answer of a hop, and logs what is new.

    `now` is wall-clock time: rules end by it.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        topology: Topology,
        hops: Hops,
        audit: Audit,
        now: Callable[[], float],
        boot_id: str,
    ) -> None:
        self._reconciler = reconciler
        self._topology = topology
        self._hops = hops
        self._audit = audit
        self._now = now
        self._boot_id = boot_id
        self._records: dict[Place, Record] = {}
        self._allowance = Allowance(BURST)
        self._news: list[AuditEvent] = []
        self._wake = asyncio.Event()
        self._is_planned = False

    def pass_done(self) -> None:
        """Look soon; from the first pass on there is something to look at."""
        self._is_planned = True
        self._wake.set()

    def wake(self) -> None:
        """Look soon: a hop has said something, or is lost."""
        if self._is_planned:
            self._wake.set()

    async def run(self) -> None:
        """Look whenever woken, for ever."""
        await self._restore()
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience()):
                    await self._wake.wait()
            self._wake.clear()
            began = loop.time()
            try:
                await self._look()
            except Exception:  # noqa: BLE001 - the log must go on, whatever it is
                _log.exception("a look at the forwards failed")
            await asyncio.sleep(max(_SHORTEST_REST, _REST * (loop.time() - began)))

    def _patience(self) -> float | None:
        """Return after how many seconds silence itself is news, None for never."""
        is_waiting = any(
            record.known.since is not None and record.known.phase is Phase.OPEN
            for record in self._records.values()
        )
        return DOUBT_SECONDS if is_waiting else None

    async def _restore(self) -> None:
        """Take from the log what was open when an earlier run ended."""
        try:
            self._records = await asyncio.to_thread(self._audit.recall)
        except OSError as error:
            _log.error("audit log: cannot be read: %s", error.strerror)

    async def _look(self) -> None:
        plan = self._reconciler.plan
        present: set[Place] = set()
        for number, outcome in enumerate(plan.outcomes, 1):
            if number % _AT_ONCE == 0:
                self._write_down()
                await asyncio.sleep(0)
            asked = outcome.asked
            place = (asked.target, asked.owner, asked.rule.place)
            if place in present:
                continue  # the older of two that one file has at one place
            present.add(place)
            record = self._records.get(place)
            if record is None:
                record = self._records[place] = Record(asked.rule)
            record.rule, record.has_ended = asked.rule, False
            self._note(place, record, look_at(outcome, self._hops.open))
        for place in self._records.keys() - present:
            self._look_at_absent(place, self._records[place])
        self._write_down()

    def _write_down(self) -> None:
        events, self._news = self._news, []
        if events:
            self._audit.record(events)

    def _look_at_absent(self, place: Place, record: Record) -> None:
        target, owner, _ = place
        reason = "removed"
        if target not in self._topology.snapshot:
            reason = f"{target} is gone"
        elif record.rule.has_ended(self._now(), self._boot_id):
            reason = "its time is over"
            if owner == target and not record.has_ended:
                self._log(place, record, News(Happening.EXPIRED))
                record.has_ended = True
        self._note(place, record, Seen(Sight.SHUT, reason))
        if record.known.phase is Phase.SHUT:
            del self._records[place]

    def _note(self, place: Place, record: Record, seen: Seen) -> None:
        known = record.known
        if known.phase is not Phase.SHUT and known.spots != seen.spots:
            lingering = self._find_lingering(record, seen)
            seen = replace(seen, lingering=lingering)
        now = asyncio.get_running_loop().time()
        after, news = compare_sights(known, seen, now)
        if not self._is_allowed(news, now):
            return
        if after.since is None:
            record.marks = {}
        record.known = after
        for each in news:
            self._log(place, record, each)

    def _find_lingering(self, record: Record, seen: Seen) -> str:
        # What a hop refuses or has yet to say is told by what it says of the new.
        is_found = record.known.spots is None and seen.inherited
        if seen.sight is Sight.UNSETTLED or seen.blame or is_found:
            return ""
        return find_lingering(
            record.known,
            seen.spots,
            self._hops.open,
            self._topology.snapshot,
            record.marks,
        )

    def _is_allowed(self, news: list[News], now: float) -> bool:
        """Whether these may be logged; if not, the same will be seen again later."""
        for hop in {each.blame for each in news if each.blame}:
            number = sum(each.blame == hop for each in news)
            left = self._allowance.count(hop, now)
            if left < number:
                return False
            self._allowance.take(hop, now, number)
            if left < number + 1:
                reason = f"{hop} changes what it says too often; not all of it is here"
                self._news.append(AuditEvent(Happening.LOST, hop, reason=reason))
        return True

    def _log(self, place: Place, record: Record, news: News) -> None:
        target, owner, _ = place
        event = AuditEvent(
            news.kind,
            qube=target,
            rule=format_rule(record.rule),
            reason=news.reason,
            origin=str(record.rule.origin),
            owner=owner if owner != target else "",
            path=news.path,
        )
        self._news.append(event)
