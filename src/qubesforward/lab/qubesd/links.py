# SPDX-License-Identifier: GPL-2.0-or-later
"""Making the links between running qubes, and what their QubesDBs say, right.

There is one way to do it: compare what should be with what is, and change the
difference. A start, a death, a new netvm, a new address and a restart of qubesd all
end here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from qubesforward.errors import ForwardError, QubesDBError
from qubesforward.lab.hypercall import Link
from qubesforward.lab.qubesd import network
from qubesforward.lab.qubesd.machine import Databases, Machine
from qubesforward.lab.qubesd.qubesdb_fill import wanted_keys
from qubesforward.lab.qubesd.state import Computer, LinkState, Phase, Qube

_log = logging.getLogger(__name__)


def wanted_link(computer: Computer, qube: Qube) -> Link | None:
    """Return the link that a running qube should have; None without a running netvm."""
    netvm = network.netvm_of(computer, qube)
    if netvm is None or not computer.is_running(netvm.name):
        return None
    return Link(
        backend=netvm.name,
        frontend=qube.name,
        ip=network.ip_of(computer, qube),
        ip6=network.ip6_of(computer, qube) or None,
        gateway=network.gateway_of(computer, netvm),
        gateway6=network.visible_gateway6_of(computer, qube) or None,
        dns=list(network.DNS),
    )


class Links:
    """Owns the links; everybody else only asks for another pass.

    `linked` is waited for after each.
    """

    def __init__(
        self,
        computer: Computer,
        machine: Machine,
        databases: Databases,
        linked: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._linked = linked
        self._computer = computer
        self._machine = machine
        self._databases = databases
        self._pass = asyncio.Lock()

    async def converge(self) -> dict[str, str]:
        """Make everything right; the qubes whose link failed, with the reason.

        Old links go first, so that a qube never has two ways out.
        """
        async with self._pass:
            running = self._running()
            for qube, link in running:
                await self._detach_unless(qube, link)
            await self._fill()
            failures: dict[str, str] = {}
            for qube, link in running:
                if link is not None and (reason := await self._attach(qube, link)):
                    failures[qube.name] = reason
            if self._linked is not None:
                await self._linked()
            return failures

    def _running(self) -> list[tuple[Qube, Link | None]]:
        found = (
            self._computer.qubes[name]
            for name, domain in self._computer.running.items()
            if domain.phase is not Phase.STARTING
        )
        return [(qube, wanted_link(self._computer, qube)) for qube in found]

    async def _detach_unless(self, qube: Qube, wanted: Link | None) -> None:
        domain = self._computer.running.get(qube.name)
        if domain is None or domain.link_state is LinkState.NONE:
            return
        settled = domain.link_state is LinkState.ATTACHED
        if settled and wanted is not None and domain.link == asdict(wanted):
            return
        domain.link_state = LinkState.UNSETTLED
        self._computer.save_running()
        try:
            await self._machine.detach(qube.name)
        except ForwardError as error:
            # The other end may have died, and the link with it.
            _log.info("detaching %s: %s", qube.name, error)
        domain.link_state, domain.link = LinkState.NONE, {}
        self._computer.save_running()

    async def _attach(self, qube: Qube, wanted: Link) -> str:
        domain = self._computer.running.get(qube.name)
        if domain is None or domain.link_state is LinkState.ATTACHED:
            return ""
        # Written down before it is asked for: should we die in between, the next one
        # of us knows that it cannot know, and starts this link afresh.
        domain.link_state, domain.link = LinkState.UNSETTLED, asdict(wanted)
        self._computer.save_running()
        try:
            await self._machine.attach(wanted)
        except ForwardError as error:
            _log.warning("attaching %s to %s: %s", qube.name, wanted.backend, error)
            return str(error)
        domain.link_state = LinkState.ATTACHED
        self._computer.save_running()
        return ""

    async def _fill(self) -> None:
        clients = network.clients_by_netvm(self._computer)
        await asyncio.gather(
            *(
                self._fill_one(self._computer.qubes[name], clients)
                for name, domain in self._computer.running.items()
                if domain.phase is not Phase.STARTING
            )
        )

    async def fill(self, qube: Qube) -> None:
        """Write the keys of one qube, before it has seen the light."""
        await self._fill_one(qube, network.clients_by_netvm(self._computer))

    async def _fill_one(self, qube: Qube, clients: dict[str, list[Qube]]) -> None:
        wanted = wanted_keys(self._computer, qube, clients)
        try:
            await self._databases.update(qube.name, wanted)
        except QubesDBError as error:
            _log.warning("QubesDB of %s: %s; starting it afresh", qube.name, error)
            await self._restart_database(qube, wanted)

    async def _restart_database(self, qube: Qube, wanted: dict[str, str]) -> None:
        domain = self._computer.running.get(qube.name)
        if domain is None:
            return
        try:
            await self._databases.stop(qube.name, domain.qubesdb_pid)
            domain.qubesdb_pid = await self._databases.start(qube.name)
            self._computer.save_running()
            await self._databases.update(qube.name, wanted)
        except ForwardError as error:
            _log.error("QubesDB of %s: %s", qube.name, error)
