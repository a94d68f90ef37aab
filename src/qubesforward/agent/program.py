# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent at work: hears of changes from all sides, and converges on each.

Whatever happens (a commit of dom0, a foreign change of the rules, a new interface, an
entry that ends, a clock that is set) only sets a flag; one task works off the flags.
So nothing runs twice at once, and what comes in a burst is done once.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Flag, auto

from qubesforward.agent.answers import ASK, DIAGNOSE, Answers
from qubesforward.agent.backend import Upset, make_backend
from qubesforward.agent.detour import Detour, Way, find_ways
from qubesforward.agent.diagnosis import observe, parse_request
from qubesforward.agent.interfaces import (
    Interfaces,
    open_route_socket,
    read_interfaces,
)
from qubesforward.agent.netlink import NETLINK_ROUTE, NetlinkListener
from qubesforward.agent.orders import COMMIT, Orders, read_gateways, watched_paths
from qubesforward.agent.outbound_task import OutboundTask
from qubesforward.agent.report import compose_report, read_listening
from qubesforward.agent.route_wire import GROUPS
from qubesforward.agent.tunnels import TunnelMemory
from qubesforward.errors import ApplyError, ForwardError, QubesDBError
from qubesforward.model.hosts import Address
from qubesforward.model.observation import format_observation
from qubesforward.nft.refusals import Surroundings, clean_reason
from qubesforward.qubes.clock import ClockWatch
from qubesforward.qubes.qubesdb import QubesDB

LOG = logging.getLogger(__name__)

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
"""Seconds between tries to reach QubesDB."""

_SETTLE = 0.05
"""Seconds for which changes of interfaces and foreign changes are gathered."""

_CLEARING = 0.01
"""Seconds after which connections that changes made wrong are cleared away."""

_RESPITE = 10
"""How many times as long as that took, at least, it is not done again: it keeps the
next changes waiting, of which a gateway may have hundreds a second."""

_AFTER_END = 0.1
"""Seconds after an entry's end by which the kernel has surely noticed it too."""

_MANY = 1000
"""Changed entries after which memory is given back: what it took is not needed on."""

_LONGEST_SLEEP = 60.0
_FAREWELL = 1.0
"""Seconds that QubesDB may take when the agent is to end."""

_RETRY = 1.0
"""Seconds after which what the kernel refused as a whole is tried again."""


class _Todo(Flag):
    NOTHING = 0
    COMMIT = auto()
    """Dom0 has committed something, or is heard from for the first time."""
    CONVERGE = auto()
    """Something else may have changed what the kernel must hold, or holds."""
    INTERFACES = auto()
    ASK = auto()
    DIAGNOSE = auto()


class Agent:
    """The agent of one qube, in the network namespace that it is started in."""

    def __init__(
        self, qubesdb: str, *, outbound: bool = True, backend: str = "auto"
    ) -> None:
        self._path = qubesdb
        self._with_outbound = outbound
        self._backend = make_backend(backend, self._note_upset, outbound=outbound)
        self._routes = open_route_socket()
        self._route_notices = NetlinkListener(NETLINK_ROUTE, GROUPS)
        self._clock = ClockWatch()
        self._orders = Orders()
        self._interfaces = Interfaces()
        self._tunnels = TunnelMemory()
        self._gateways: dict[int, Address] = {}
        self._detour = Detour(self._routes)
        self._db: QubesDB | None = None
        self._answers: Answers | None = None
        self._outbound: OutboundTask | None = None
        self._todo = _Todo.NOTHING
        self._wake = asyncio.Event()
        self._may_clear = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._trim_memory = ctypes.CDLL(None).malloc_trim

    async def run(self) -> None:
        """Work until cancelled; what is applied then stays.

        Only raises what is a bug: that ends the program, to be started again.
        """
        loop = asyncio.get_running_loop()
        self._backend.watch(loop)
        loop.add_reader(self._route_notices, self._note_routes)
        loop.add_reader(self._clock, self._note_clock)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work())
            tasks.create_task(self._stay_connected())

    async def say_stopped(self) -> None:
        """Tell dom0, if it can be told, that this agent ends in order."""
        if self._answers is not None:
            with suppress(QubesDBError, TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    await self._answers.say_stopped()

    def _flag(self, todo: _Todo) -> None:
        self._todo |= todo
        self._wake.set()

    def _flag_later(self, name: str, delay: float, todo: _Todo) -> None:
        """Set flags after a delay, which does not start anew while it lasts."""
        self._later(name, delay, lambda: self._flag(todo))

    def _later(self, name: str, delay: float, act: Callable[[], None]) -> None:
        def fire() -> None:
            del self._timers[name]
            act()

        if name not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[name] = loop.call_later(delay, fire)

    def _note_upset(self, what: Upset) -> None:
        if what is Upset.OUTBOUND:
            if self._outbound is not None:
                self._later("outbound", _SETTLE, self._outbound.note_upset)
        else:
            self._backend.note_upset(what)
            self._flag_later("upset", _SETTLE, _Todo.CONVERGE)

    def _note_routes(self) -> None:
        self._route_notices.take()
        self._flag_later("routes", _SETTLE, _Todo.INTERFACES)

    def _note_clock(self) -> None:
        self._clock.take_notice()
        LOG.info("the clock was set: looking at all timeouts")
        self._backend.note_upset(Upset.TABLE)
        self._flag(_Todo.CONVERGE)

    async def _stay_connected(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                db = await QubesDB.connect(self._path)
                pause = _FIRST_PAUSE
                try:
                    await self._serve(db)
                finally:
                    await self._disconnect(db)
            except QubesDBError as error:
                LOG.warning("%s; what is applied stays", error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _serve(self, db: QubesDB) -> None:
        """Take in events until the connection ends, which raises `QubesDBError`."""
        for path in (*watched_paths(), ASK, DIAGNOSE):
            await db.watch(path)
        answers = Answers(db)
        await answers.start()
        self._tunnels.recall(await answers.read_tunnels() or b"")
        self._orders.forget()
        self._db, self._answers = db, answers
        self._flag(_Todo.COMMIT | _Todo.INTERFACES)
        if self._with_outbound:
            self._outbound = OutboundTask(db, self._backend.make_tables)
        while True:
            path = await db.next_event()
            if path == ASK:
                self._flag(_Todo.ASK)
            elif path == DIAGNOSE:
                self._flag(_Todo.DIAGNOSE)
            elif path.startswith(COMMIT):
                if self._orders.note_event(path):
                    self._flag(_Todo.COMMIT)
            elif self._outbound is not None:
                self._outbound.note_event(path)

    async def _disconnect(self, db: QubesDB) -> None:
        self._db = self._answers = None
        outbound, self._outbound = self._outbound, None
        if outbound is not None:
            await outbound.aclose()
        await db.aclose()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            todo, self._todo = self._todo, _Todo.NOTHING
            db = self._db
            try:
                await self._do(todo)
            except QubesDBError as error:
                LOG.warning("%s", error)
                # Ends the connection, and so everything is read and told anew.
                if db is not None:
                    await db.aclose()

    async def _do(self, todo: _Todo) -> None:
        touched: set[str] | None = set()
        if _Todo.COMMIT in todo and self._db is not None:
            touched = await self._orders.read(self._db)
        if not self._orders.are_known:
            return
        if _Todo.INTERFACES in todo and self._db is not None:
            self._gateways = await read_gateways(self._db)
        refused = self._orders.unreadable | self._converge(todo, touched)
        self._plan_ahead()
        if self._answers is None:
            return
        await self._answers.tell_tunnels(self._tunnels.format())
        generation = self._orders.generation if _Todo.COMMIT in todo else None
        await self._answers.acknowledge(generation, refused)
        await self._answers.tell_outside(self._interfaces.outside)
        if _Todo.ASK in todo:
            await self._report(self._answers)
        if _Todo.DIAGNOSE in todo:
            await self._diagnose(self._answers)

    def _converge(self, todo: _Todo, touched: set[str] | None) -> dict[str, str]:
        """Bring the kernel to what is wanted; return the reasons of those refused."""
        entries = self._orders.entries
        try:
            if _Todo.INTERFACES in todo:
                self._interfaces = read_interfaces(
                    self._routes,
                    by_names=self._backend.goes_by_names,
                    has_netvm=bool(self._gateways),
                )
                self._tunnels.note(self._interfaces.tunnels)
            here = self._interfaces
            self._backend.converge(
                entries,
                self._find_surroundings(here),
                here.astray,
                touched,
            )
            self._converge_detour()
            if touched is None or len(touched) > _MANY:
                self._trim_memory(0)
        except ForwardError as error:
            LOG.error("nothing can be applied: %s", error)
            self._backend.note_upset(Upset.TABLE)
            self._flag_later("retry", _RETRY, _Todo.CONVERGE | _Todo.INTERFACES)
            reason = clean_reason(f"kernel: {error}")
            return dict.fromkeys(entries, reason)
        return self._backend.selection.refused

    def _find_surroundings(self, here: Interfaces) -> Surroundings:
        has_uplink = here.uplink is not None
        if not self._backend.goes_by_names or here.uplink is None:
            return Surroundings(has_uplink, self._tunnels.known)
        return Surroundings(
            has_uplink,
            self._tunnels.known,
            uplink=here.uplink.name,
            ways_in=here.ways_in,
        )

    def _converge_detour(self) -> None:
        try:
            self._detour.converge(self._find_detours())
        except ApplyError as error:
            # Without it answers go into the tunnel, where nobody waits for them.
            LOG.error("no way past the tunnel: %s", error)
            self._flag_later("retry", _RETRY, _Todo.INTERFACES)

    def _find_detours(self) -> dict[int, Way]:
        selection = self._backend.selection
        if not selection.bypasses and not selection.doors:
            return {}
        return find_ways(self._interfaces, self._gateways)

    def _plan_ahead(self) -> None:
        """Arrange for what has to be done without anything else happening."""
        if self._backend.is_upset:
            self._flag_later("upset", _SETTLE, _Todo.CONVERGE)
        if self._backend.has_leftovers:
            pause = self._may_clear - time.monotonic()
            self._later("clearing", max(_CLEARING, pause), self._clear_away)
        end = self._backend.selection.find_next_end()
        timer = self._timers.pop("end", None)
        if timer is not None:
            timer.cancel()
        if end is not None:
            left = max(0.0, end - time.time()) + _AFTER_END
            self._flag_later("end", min(left, _LONGEST_SLEEP), _Todo.CONVERGE)

    def _clear_away(self) -> None:
        started = time.monotonic()
        self._backend.clear_away()
        ended = time.monotonic()
        self._may_clear = ended + _RESPITE * (ended - started)

    async def _report(self, answers: Answers) -> None:
        untrusted_token = await answers.read_token()
        if untrusted_token is None:
            return
        accepted = self._backend.selection.accepted
        counted = self._backend.read_traffic(accepted)
        lines = compose_report(accepted, counted, read_listening())
        await answers.report(lines, untrusted_token)

    async def _diagnose(self, answers: Answers) -> None:
        untrusted_request = await answers.read_diagnose()
        if untrusted_request is not None:
            token, ids = parse_request(untrusted_request)
            accepted = self._backend.selection.accepted
            seen = observe(ids, accepted, self._backend)
            await answers.tell_diagnosis(format_observation(seen), token)
