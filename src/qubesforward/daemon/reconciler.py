# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop that makes every hop have what the plan says.

Starting, a changed rule, a changed network and an ended rule are the same code:
plan from what is known now, and publish the difference.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from qubesforward.daemon.cones import Cones
from qubesforward.daemon.hop import Hop
from qubesforward.daemon.hops import Hops
from qubesforward.daemon.mappings import Mappings
from qubesforward.daemon.router_memory import RouterMemory
from qubesforward.daemon.rules import Rules
from qubesforward.daemon.topology import Topology
from qubesforward.errors import QubesDBError, Unavailable
from qubesforward.model.entry import Entry
from qubesforward.model.rule import ForwardRule
from qubesforward.plan.diff import HopDiff
from qubesforward.plan.outbound import diff_outbound, plan_outbound
from qubesforward.plan.planner import Forwards, Plan
from qubesforward.plan.replanner import Replanner

_log = logging.getLogger(__name__)

CLOSE_PATIENCE = 0.5
"""Seconds to wait for an old path to be closed before a new one is opened all the
same: a hop whose agent is dead must not keep the others from being right."""

_NOTHING: frozenset[Entry] = frozenset()

_RETRY_SECONDS = 1.0
_LONGEST_SLEEP = 60.0
"""Seconds; should nobody tell that the clock was set, the next end is looked at again
this often."""


class Reconciler:
    """Owns the current plan; everybody else only asks for another pass.

    `passed` is called after every pass that succeeded. Without `with_outbound`
    outbound rules are others' to publish.
    """

    def __init__(
        self,
        rules: Rules,
        topology: Topology,
        hops: Hops,
        now: Callable[[], float],
        boot_id: str,
        mappings: Mappings,
        routers: RouterMemory,
        passed: Callable[[], None] = lambda: None,
        *,
        with_outbound: bool = True,
    ) -> None:
        self._rules = rules
        self._topology = topology
        self._hops = hops
        self._now = now
        self._boot_id = boot_id
        self._mappings = mappings
        self._routers = routers
        self._cones = Cones(mappings, rules)
        self._has_passed = passed
        self._with_outbound = with_outbound
        self._wake = asyncio.Event()
        self._passed = asyncio.Condition()
        self._asked = 0
        self._done = 0
        self._failed = False
        self._planned_at = 0.0
        self._replanner = Replanner()
        self.plan = Plan()

    @property
    def refused_cones(self) -> Mapping[str, str]:
        """Why the block of UDP ports of a qube is not open, by qube."""
        return self._cones.refused

    @property
    def has_planned(self) -> bool:
        """Whether `plan` is one: at first it has nothing, whatever is wanted."""
        return self._planned_at > 0

    def wake(self) -> None:
        """Ask for a pass, soon."""
        self._asked += 1
        self._wake.set()

    async def settle(self) -> None:
        """Return after a pass that began after this call.

        Raises Unavailable if it failed; there will be another one.
        """
        self.wake()
        asked = self._asked
        async with self._passed:
            await self._passed.wait_for(lambda: self._done >= asked)
        if self._failed:
            raise Unavailable(
                "the rules are stored, but the hops could not be told yet; see"
                " `journalctl -u qubes-forwardd` in dom0"
            )

    async def run(self) -> None:
        """Pass whenever woken, and whenever a rule ends."""
        await self._topology.known.wait()
        # What an old path has open must be known before a new one is opened.
        await self._hops.follow(self._topology.snapshot)
        await self._hops.wait_open(CLOSE_PATIENCE)
        while True:
            self._wake.clear()
            asked = self._asked
            await self._pass_safely()
            async with self._passed:
                self._done = asked
                self._passed.notify_all()
            try:
                async with asyncio.timeout(self._until_next_end()):
                    await self._wake.wait()
            except TimeoutError:
                self._asked += 1

    async def _pass_safely(self) -> None:
        try:
            await self._pass()
            self._failed = False
            self._has_passed()
        except Exception:  # noqa: BLE001 - whatever it is, the next pass must come
            self._failed = True
            _log.exception("a pass failed; trying again in %g s", _RETRY_SECONDS)
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.wake)

    def _until_next_end(self) -> float:
        # What ended while the pass was under way was not over yet for the plan.
        mapped = (end for end in self._mappings.ends() if end > self._planned_at)
        asked = (end for end in self._routers.ends() if end > self._planned_at)
        ends = chain(self._rules.ends(self._planned_at), mapped, asked)
        left = min(ends, default=float("inf")) - self._now()
        return max(min(left, _LONGEST_SLEEP), 0.0)

    def try_plan(self, instead: Mapping[str, tuple[ForwardRule, ...]]) -> Plan:
        """Plan as if these qubes had these forwards, confirmed; changes nothing."""
        snapshot = self._topology.snapshot
        forwards = self._rules.forwards(snapshot)
        forwards |= {name: Forwards(rules) for name, rules in instead.items()}
        mappings = self._mappings.rules()
        return self._replanner.plan(
            forwards, snapshot, self._now(), self._boot_id, mappings
        )

    async def _pass(self) -> None:
        self._planned_at = self._now()
        self._rules.drop_expired(self._topology.snapshot)
        self._mappings.drop_stale(self._topology.snapshot)
        self._cones.follow(self._topology.snapshot)
        await self._hops.follow(self._topology.snapshot)
        self.plan = plan = self.try_plan({})
        diffs = {
            name: (hop, hop.compare(plan.entries.get(name, _NOTHING), _numbers()))
            for name, hop in self._hops.open.items()
        }
        for hop, diff in diffs.values():
            if diff.remove or diff.write:
                # Until all of that is published, if it comes to that.
                hop.planned = None
        await together(
            hop.publish(HopDiff(remove=diff.remove))
            for hop, diff in diffs.values()
            # An earlier run may have ended between a removal and its commit: the
            # agent then still has what is gone from QubesDB.
            if diff.remove or (hop.fresh and hop.generation)
        )
        for hop, _diff in diffs.values():
            hop.fresh = False
        left: Collection[str] = ()
        if any(diff.write for _hop, diff in diffs.values()):
            await self._wait_closed()
            left = await self._open(diffs)
        for name, (hop, _diff) in diffs.items():
            if name not in left:
                hop.planned = plan.entries.get(name, _NOTHING)
        if self._with_outbound:
            await self._publish_outbound()
        # One whose router may have something open must be there to withdraw it.
        gateways = {*plan.gateways, *self._routers.hops}
        await together(
            hop.publish_gateway(name in gateways)
            for name, hop in self._hops.open.items()
            if hop.has_gateway != (name in gateways)
        )

    async def _wait_closed(self) -> None:
        """Wait for what this pass closed, and what earlier ones did."""
        closing = [
            hop for hop in self._hops.open.values() if hop.closing > max(hop.handled, 0)
        ]
        await together(hop.wait_handled(hop.closing, CLOSE_PATIENCE) for hop in closing)
        for hop in closing:
            hop.closing = 0

    async def _open(self, diffs: Mapping[str, tuple[Hop, HopDiff]]) -> set[str]:
        """Publish what opens; return the hops that did not get all of it."""
        writes = {name: diff.write for name, (_hop, diff) in diffs.items()}
        if self._wake.is_set():
            # Another pass comes. Until then: what was to be opened may be closed by
            # now, or its qube be gone.
            still = self.try_plan({}).entries
            writes = {
                name: {i: e for i, e in write.items() if e in still.get(name, ())}
                for name, write in writes.items()
            }
        await together(
            diffs[name][0].publish(HopDiff(write=write))
            for name, write in writes.items()
            if write
        )
        return {
            name
            for name, (_hop, diff) in diffs.items()
            if len(writes[name]) < len(diff.write)
        }

    async def _publish_outbound(self) -> None:
        snapshot = self._topology.snapshot
        trees = plan_outbound(self._rules.outbound(snapshot), snapshot, self._now())
        work = []
        for name, hop in self._hops.open.items():
            wanted = trees.get(name, {})
            diff = diff_outbound(wanted, hop.outbound)
            if diff.sources or diff.gone:
                work.append(hop.publish_outbound(diff, wanted))
        await together(work)


async def together(work: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Do all at once; a hop that is lost meanwhile costs the others nothing."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, QubesDBError):
            _log.warning("%s", result)
        elif isinstance(result, BaseException):
            raise result


def _numbers() -> Iterator[int]:
    while True:
        yield secrets.randbits(32)
