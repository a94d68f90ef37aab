# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's `qubesd`, in the foreground. Its options: ``--topology``, ``--setting``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

from qubesforward.errors import ForwardError, Unavailable
from qubesforward.lab.hypercall import TOPOLOGY_FILE, Hypervisor
from qubesforward.lab.qubesd.calls import Qubesd, answer_call, check_events_call
from qubesforward.lab.qubesd.events import EventHub
from qubesforward.lab.qubesd.feature_calls import FEATURE_METHODS
from qubesforward.lab.qubesd.firewall import StockFirewall
from qubesforward.lab.qubesd.firewall_calls import FIREWALL_METHODS
from qubesforward.lab.qubesd.lifecycle import Lifecycle
from qubesforward.lab.qubesd.links import Links
from qubesforward.lab.qubesd.machine import Databases, Machine
from qubesforward.lab.qubesd.property_calls import PROPERTY_METHODS
from qubesforward.lab.qubesd.qubes import seed_qubes
from qubesforward.lab.qubesd.qubesdb_daemons import QubesDBs
from qubesforward.lab.qubesd.relay import RELAY_METHODS
from qubesforward.lab.qubesd.state import Computer, Paths, replace_file
from qubesforward.lab.qubesd.takeover import TakeOver
from qubesforward.lab.qubesd.vm_calls import VM_METHODS
from qubesforward.lab.topology import load_topology
from qubesforward.qubes.admin_server import Call, serve_admin
from qubesforward.qubes.admin_wire import Event
from qubesforward.qubes.paths import FORWARDD_SOCKET, QUBESD_SOCKET
from qubesforward.qubes.setting import Setting

_log = logging.getLogger(__name__)

_METHODS = {**PROPERTY_METHODS, **FEATURE_METHODS, **VM_METHODS}
METHODS = {
    Setting.INTEGRATED: {**_METHODS, **RELAY_METHODS},
    Setting.BESIDE: {**_METHODS, **FIREWALL_METHODS},
}


class Service:
    """qubesd as a whole, put together out of its parts."""

    def __init__(
        self,
        computer: Computer,
        machine: Machine,
        databases: Databases,
        forwardd: str = FORWARDD_SOCKET,
        setting: Setting = Setting.INTEGRATED,
    ) -> None:
        events = EventHub()
        firewall = None
        if setting is Setting.BESIDE:
            firewall = StockFirewall(computer, databases, events)
        told = firewall.tell if firewall is not None else None
        links = Links(computer, machine, databases, told)
        self.lifecycle = Lifecycle(computer, machine, databases, links, events)
        self.takeover = TakeOver(computer, machine, databases, links, self.lifecycle)
        self.qubesd = Qubesd(
            computer, events, links, self.lifecycle, forwardd, firewall
        )
        self._methods = METHODS[setting]

    async def serve(self, path: str) -> asyncio.Server:
        """Take over what runs, then answer calls at `path`."""
        await self.takeover.run()
        answer = partial(answer_call, self.qubesd, self._methods)
        return await serve_admin(path, answer, self._subscribe)

    def _subscribe(self, call: Call) -> AsyncIterator[Event]:
        check_events_call(self.qubesd, call)
        return self.qubesd.events.subscribe(call)


async def _run(topology: Path, paths: Paths, setting: Setting) -> None:
    computer = Computer(paths)
    if not computer.load():
        seed_qubes(computer, load_topology(topology))
    machine = await Hypervisor.connect()
    try:
        service = Service(computer, machine, QubesDBs(paths), setting=setting)
        server = await service.serve(QUBESD_SOCKET)
        try:
            await _until_end(service)
        finally:
            # Not waited for: from Python 3.12 on that is for its last client.
            server.close()
    finally:
        await machine.aclose()


async def _until_end(service: Service) -> None:
    """Work until told to end, or until the lab around us is gone."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    following = asyncio.create_task(service.lifecycle.follow_machine())
    starting = asyncio.create_task(service.takeover.start_all())
    ending = asyncio.create_task(told.wait())
    await asyncio.wait([following, ending], return_when=asyncio.FIRST_COMPLETED)
    for task in (following, starting, ending):
        task.cancel()
    answers = await asyncio.gather(following, starting, ending, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, Unavailable):
            _log.info("%s", answer)
        elif isinstance(answer, Exception):
            raise answer


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to end; exit status 1 when it could not come up."""
    parser = argparse.ArgumentParser(prog="qubesd")
    parser.add_argument("--topology", type=Path, default=Path(TOPOLOGY_FILE))
    parser.add_argument("--setting", type=Setting, default=Setting.INTEGRATED)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    paths = Paths()
    try:
        asyncio.run(_run(args.topology, paths, args.setting))
    except ForwardError as error:
        _log.error("%s", error)
        if not paths.ready.exists():
            replace_file(paths.ready, str(error), durable=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
