# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting and ending qubes.

One change of a qube's life at a time: each qube has a lock, taken from the client
upward when netvms are started, so that two starts never wait for each other. A kill
does not wait for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from qubesforward.errors import ForwardError
from qubesforward.lab.hypercall import Role
from qubesforward.lab.qubesd import network
from qubesforward.lab.qubesd.events import EventHub
from qubesforward.lab.qubesd.faults import (
    describe,
    failed,
    in_use,
    not_halted,
    not_paused,
    not_running,
    not_started,
)
from qubesforward.lab.qubesd.links import Links
from qubesforward.lab.qubesd.machine import Databases, Machine
from qubesforward.lab.qubesd.qubes import forget_qube
from qubesforward.lab.qubesd.rules import check_unused
from qubesforward.lab.qubesd.state import DOM0, Computer, Domain, Phase, Qube
from qubesforward.qubes.admin_server import AdminException

_log = logging.getLogger(__name__)

_POWER_STATES = {
    Phase.STARTING: "Transient",
    Phase.RUNNING: "Running",
    Phase.PAUSED: "Paused",
    Phase.HALTING: "Halting",
}


def power_state(computer: Computer, name: str) -> str:
    """Return the state of a qube in stock's words."""
    if name == DOM0:
        return "Running"
    domain = computer.running.get(name)
    return _POWER_STATES[domain.phase] if domain else "Halted"


class Lifecycle:
    """Starts, pauses and ends qubes, and notices when one ends by itself."""

    def __init__(
        self,
        computer: Computer,
        machine: Machine,
        databases: Databases,
        links: Links,
        events: EventHub,
    ) -> None:
        self._computer = computer
        self._machine = machine
        self._databases = databases
        self._links = links
        self._events = events
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    def _begin(self, what: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run to the end what a caller asked for, even if the caller goes away."""
        task = asyncio.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # What a caller asked for wrongly is for the caller alone.
        if error is not None and not isinstance(error, AdminException):
            _log.warning("%s: %s", task.get_name(), error)

    @contextlib.asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[Qube]:
        """Be the only one who changes the life of a qube; it may be gone by then."""
        async with self._locks[name]:
            yield self._computer.qube(name)

    async def start(self, name: str) -> None:
        """Start a qube, its netvms first; one that runs is left alone, as in stock."""
        if name == DOM0:
            raise failed("dom0 runs as long as the computer does")
        await asyncio.shield(self._begin(f"starting {name}", self._start(name)))

    async def _start(self, name: str) -> None:
        async with self.alone(name) as qube:
            if name in self._computer.running:
                return
            self._events.emit(
                name, "domain-pre-start", start_guid="True", mem_required="None"
            )
            domain = self._computer.running[name] = Domain()
            self._computer.save_running()
            try:
                await self._bring_up(qube, domain)
            except Exception as error:
                await self._machine_kill(name)
                await self._clean_up(qube)
                self._events.emit(name, "domain-start-failed", reason=describe(error))
                await self._remove_if_disposable(qube)
                raise
            self._events.emit(name, "domain-start", start_guid="True")

    async def _bring_up(self, qube: Qube, domain: Domain) -> None:
        # The QubesDB daemon needs as long to start as a netvm's last steps: together.
        above = network.netvm_of(self._computer, qube)
        database = self._begin(
            f"QubesDB of {qube.name}", self._start_database(qube, domain)
        )
        try:
            if above is not None:
                await self._start(above.name)
        finally:
            await asyncio.wait([database])
        database.result()
        role: Role = "netvm" if network.provides_network(qube) else "app"
        domain.xid = await self._machine.create(qube.name, role)
        domain.phase = Phase.RUNNING
        self._computer.save_running()
        self._events.emit(qube.name, "domain-spawn", start_guid="True")
        failures = await self._links.converge()
        if qube.name in failures:
            raise failed(f"Start failed: {failures[qube.name]}")

    async def _start_database(self, qube: Qube, domain: Domain) -> None:
        domain.qubesdb_pid = await self._databases.start(qube.name)
        self._computer.save_running()
        await self._links.fill(qube)

    async def shutdown(self, name: str, *, force: bool, wait: bool) -> None:
        """Ask a qube to end; with `wait`, return when it has.

        A netvm with running clients is refused unless `force`d.
        """
        accepted = asyncio.get_running_loop().create_future()
        task = self._begin(f"ending {name}", self._shutdown(name, force, accepted))
        await asyncio.wait([task, accepted], return_when=asyncio.FIRST_COMPLETED)
        if wait or task.done():
            await asyncio.shield(task)

    async def _shutdown(
        self, name: str, force: bool, accepted: asyncio.Future[None]
    ) -> None:
        async with self.alone(name) as qube:
            domain = self._computer.running.get(name)
            if domain is None:
                raise not_started(name)
            if not force:
                self._check_no_clients(qube)
            self._events.emit(name, "domain-pre-shutdown", force=str(force))
            paused = domain.phase is Phase.PAUSED
            domain.phase = Phase.HALTING
            self._computer.save_running()
            accepted.set_result(None)
            try:
                if paused:
                    await self._machine.unpause(name)
                await self._machine.shutdown(name)
            except ForwardError:
                domain.phase = Phase.RUNNING
                self._computer.save_running()
                raise
            await self._ended(qube)

    def _check_no_clients(self, qube: Qube) -> None:
        running = [
            client.name
            for client in network.clients_of(self._computer, qube)
            if self._computer.is_running(client.name)
        ]
        if running:
            raise in_use(
                f"There are other VMs connected to this VM: {', '.join(running)}"
            )

    async def kill(self, name: str) -> None:
        """End a qube at once, whatever it or anybody is doing with it."""
        if name not in self._computer.running:
            raise not_started(name)
        await asyncio.shield(self._begin(f"killing {name}", self._kill(name)))

    async def _kill(self, name: str) -> None:
        await self._machine_kill(name)
        async with self._locks[name]:
            # It may have been so early in its start that there was nothing to kill.
            if name in self._computer.running:
                await self._machine_kill(name)
        await self.settle(name)

    async def _machine_kill(self, name: str) -> None:
        try:
            await self._machine.kill(name)
        except ForwardError as error:
            # It may be dead already; `domains` tells whether it is.
            _log.info("killing %s: %s", name, error)

    async def settle(self, name: str) -> None:
        """Clean up after a domain that is gone; a later one of the name is kept."""
        async with self._locks[name]:
            qube = self._computer.qubes.get(name)
            if qube is None or name not in self._computer.running:
                return
            if name not in await self._machine.domains():
                await self._ended(qube)

    async def _ended(self, qube: Qube) -> None:
        await self._clean_up(qube)
        self._events.emit(qube.name, "domain-stopped")
        self._events.emit(qube.name, "domain-shutdown")
        await self._remove_if_disposable(qube)

    async def _clean_up(self, qube: Qube) -> None:
        domain = self._computer.running.pop(qube.name)
        self._computer.save_running()
        await self._links.converge()
        await self._databases.stop(qube.name, domain.qubesdb_pid)

    async def _remove_if_disposable(self, qube: Qube) -> None:
        if qube.properties.get("auto_cleanup") == "True":
            forget_qube(self._computer, self._events, qube)

    async def pause(self, name: str) -> None:
        """Stop a qube where it is."""
        async with self.alone(name):
            domain = self._computer.running.get(name)
            if domain is None or domain.phase is not Phase.RUNNING:
                raise not_running(name)
            await self._machine.pause(name)
            domain.phase = Phase.PAUSED
            self._computer.save_running()
            self._events.emit(name, "domain-paused")

    async def unpause(self, name: str) -> None:
        """Let a paused qube go on."""
        async with self.alone(name):
            domain = self._computer.running.get(name)
            if domain is None or domain.phase is not Phase.PAUSED:
                raise not_paused(name)
            await self._machine.unpause(name)
            domain.phase = Phase.RUNNING
            self._computer.save_running()
            self._events.emit(name, "domain-unpaused")

    async def remove(self, name: str) -> None:
        """Remove a halted qube and everything that is its own."""
        async with self.alone(name) as qube:
            if name in self._computer.running:
                raise not_halted(name)
            check_unused(self._computer, qube)
            forget_qube(self._computer, self._events, qube)

    async def follow_machine(self) -> None:
        """Clean up after every domain that ends, for ever."""
        while True:
            what, name = await self._machine.next_event()
            if what == "died":
                self._begin(f"cleaning up after {name}", self.settle(name))
