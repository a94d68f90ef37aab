# SPDX-License-Identifier: GPL-2.0-or-later
"""What qubesd does when it comes up: take over what runs, then start the rest.

After a kill of qubesd the qubes run on. What was announced before is not announced
again; what happened in between is made good.
"""

from __future__ import annotations

import asyncio
import logging

from qubesforward.errors import ForwardError, QubesDBError
from qubesforward.lab.qubesd import network
from qubesforward.lab.qubesd.faults import describe
from qubesforward.lab.qubesd.lifecycle import Lifecycle
from qubesforward.lab.qubesd.links import Links
from qubesforward.lab.qubesd.machine import Databases, Machine
from qubesforward.lab.qubesd.state import (
    DOM0,
    Computer,
    Domain,
    LinkState,
    Phase,
    Qube,
    replace_file,
)
from qubesforward.qubes.admin_server import AdminException

_DOM0_KEYS = {"/name": DOM0, "/type": "AdminVM", "/qubes-vm-type": "AdminVM"}
_DOM0_TRIES = 50
_DOM0_TRY_SECONDS = 0.1

_log = logging.getLogger(__name__)


class TakeOver:
    """Brings memory and world together, once, before the first call is answered."""

    def __init__(
        self,
        computer: Computer,
        machine: Machine,
        databases: Databases,
        links: Links,
        lifecycle: Lifecycle,
    ) -> None:
        self._computer = computer
        self._machine = machine
        self._databases = databases
        self._links = links
        self._lifecycle = lifecycle

    async def run(self) -> None:
        """Take over every domain that there is, and clean up after the others."""
        saved = self._computer.load_running()
        states = await self._machine.domains()
        xids = await self._machine.xids()
        for name in states:
            if name not in self._computer.qubes:
                # Its removal was written down, so it is nobody's any more.
                await self._machine.kill(name)
        alive = [name for name in states if name in self._computer.qubes]
        halting = [
            name
            for name in alive
            if name in saved and saved[name].phase is Phase.HALTING
        ]
        for name in alive:
            domain = saved.get(name) or Domain(link_state=LinkState.UNSETTLED)
            paused = states[name] == "paused"
            domain.phase = Phase.PAUSED if paused else Phase.RUNNING
            domain.xid = xids[name]
            self._computer.running[name] = domain
        for name in saved.keys() - states.keys():
            await self._bury(name, saved[name])
        await self._links.converge()
        for name in halting:
            await self._lifecycle.shutdown(name, force=True, wait=False)

    async def _bury(self, name: str, domain: Domain) -> None:
        """Clean up after a domain that ended while nobody looked."""
        if name in self._computer.qubes:
            self._computer.running[name] = domain
            await self._lifecycle.settle(name)
        else:
            await self._databases.stop(name, domain.qubesdb_pid)

    async def start_all(self) -> None:
        """Start what starts by itself, unless this was done before; then say so.

        Qubes at the same depth of the chain start together.
        """
        await self._fill_dom0()
        ready = self._computer.paths.ready
        if ready.exists():
            return
        levels: dict[int, list[Qube]] = {}
        for qube in self._computer.guests():
            if qube.properties.get("autostart") == "True":
                depth = len(network.chain_of(self._computer, qube))
                levels.setdefault(depth, []).append(qube)
        failures: list[str] = []
        for _depth, qubes in sorted(levels.items()):
            answers = await asyncio.gather(*(self._start(qube) for qube in qubes))
            failures += filter(None, answers)
        replace_file(ready, "; ".join(failures) or "ok", durable=False)

    async def _fill_dom0(self) -> None:
        """Say in dom0's QubesDB, which starts beside us, whose it is."""
        for _ in range(_DOM0_TRIES):
            try:
                await self._databases.update(DOM0, _DOM0_KEYS)
            except QubesDBError:
                await asyncio.sleep(_DOM0_TRY_SECONDS)
            else:
                return
        _log.warning("no QubesDB of dom0")

    async def _start(self, qube: Qube) -> str:
        try:
            await self._lifecycle.start(qube.name)
        except (ForwardError, AdminException) as error:
            _log.error("starting %s: %s", qube.name, describe(error))
            return f"{qube.name}: {describe(error)}"
        return ""
