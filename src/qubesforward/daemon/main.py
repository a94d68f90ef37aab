# SPDX-License-Identifier: GPL-2.0-or-later
"""qubes-forwardd: the program."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from qubesforward.daemon.announcer import Announcer
from qubesforward.daemon.audit import Audit
from qubesforward.daemon.audit_event import AuditEvent, Happening
from qubesforward.daemon.audit_file import AuditFile
from qubesforward.daemon.diagnose import Diagnoser
from qubesforward.daemon.garbage import collect_seldom
from qubesforward.daemon.gateway_links import serve_gateways
from qubesforward.daemon.gateways import Gateways
from qubesforward.daemon.handlers import Handlers
from qubesforward.daemon.hops import Hops
from qubesforward.daemon.ledger import Ledger
from qubesforward.daemon.lookout import Lookout
from qubesforward.daemon.mappings import Mappings
from qubesforward.daemon.portmap import PortmapDesk
from qubesforward.daemon.reconciler import Reconciler
from qubesforward.daemon.requests import Requests
from qubesforward.daemon.router_memory import RouterMemory
from qubesforward.daemon.rules import Rules
from qubesforward.daemon.store import Store
from qubesforward.daemon.topology import Topology
from qubesforward.daemon.tunnels import Tunnels
from qubesforward.daemon.withdrawal import run_withdrawal
from qubesforward.errors import ForwardError
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.admin_server import serve_admin
from qubesforward.qubes.clock import ClockWatch
from qubesforward.qubes.paths import (
    AUDIT_LOG,
    FORWARD_STATE,
    FORWARDD_SOCKET,
    PORTMAP_SOCKET,
    QUBES_STATE,
    RUN_DIRECTORY,
    qubesdb_socket,
)
from qubesforward.qubes.setting import Setting
from qubesforward.qubes.unix import take_passed

_DESCRIPTORS = 4096
"""For clients, and one for every qube that runs."""

_STATES = {
    Setting.BESIDE: Path(FORWARD_STATE),
    Setting.INTEGRATED: Path(QUBES_STATE),
}

_log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def read_boot_id() -> str:
    """Return the kernel's name for this boot of the computer."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


class Daemon:
    """The parts of the daemon, put together.

    `log` is the file of the audit log, and `run` where what ends with this boot is
    kept, and where gateways connect; without them, both are in `state`.
    """

    def __init__(
        self,
        state: Path,
        socket: str,
        client: AsyncAdminClient | None = None,
        socket_of: Callable[[str], str] = qubesdb_socket,
        log: Path | None = None,
        run: Path | None = None,
        setting: Setting = Setting.INTEGRATED,
    ) -> None:
        boot_id = read_boot_id()
        store = Store(state, time.time, boot_id, setting)
        with_outbound = setting is Setting.INTEGRATED
        self._store = store
        self._socket = socket
        self._run = run = run or state / "run"
        self._announcer = Announcer()
        self._rules = Rules(store, time.time, boot_id)
        client = client or AsyncAdminClient()
        self._topology = Topology(
            client,
            self._wake,
            self._removed,
            self._rules.remove,
            self._rules.keep_only,
        )
        self._hops = Hops(
            self._hop_came, self._hop_changed, socket_of, with_outbound=with_outbound
        )
        self._tunnels = Tunnels(client, self._topology, self._hops)
        self._clock = ClockWatch()
        mappings = Mappings(run / "mappings.json", boot_id, time.time)
        self._routers = RouterMemory(run / "routers.json", boot_id, time.time)
        self._reconciler = Reconciler(
            self._rules,
            self._topology,
            self._hops,
            time.time,
            boot_id,
            mappings,
            self._routers,
            self._passed,
            with_outbound=with_outbound,
        )
        self._audit = Audit(AuditFile(log or state / Path(AUDIT_LOG).name), time.time)
        self._lookout = Lookout(
            self._reconciler,
            self._topology,
            self._hops,
            self._audit,
            time.time,
            boot_id,
        )
        self._gateways = Gateways(
            mappings,
            self._topology,
            self._hops,
            self._reconciler,
            self._routers,
            time.time,
            boot_id,
            lambda hop: self._announcer.announce(hop, "forward-hop-changed"),
        )
        self._desk = PortmapDesk(
            mappings,
            self._topology,
            self._hops,
            self._gateways,
            self._reconciler,
            self._audit,
            self._announcer,
            time.time,
            boot_id,
        )
        self._requests = Requests(self._desk, client)
        self._handlers = Handlers(
            self._rules,
            self._topology,
            self._hops,
            self._reconciler,
            self._announcer,
            Ledger(self._audit, time.time),
            Diagnoser(self._topology, self._hops, self._reconciler, socket_of),
            self._desk,
            self._gateways.edges,
            self._requests,
            setting,
        )

    def _wake(self) -> None:
        self._reconciler.wake()

    def _note_clock(self) -> None:
        self._clock.take_notice()
        _log.info("the clock was set: looking at what has ended")
        self._reconciler.wake()

    def _hop_came(self) -> None:
        self._reconciler.wake()
        self._tunnels.wake()

    def _passed(self) -> None:
        self._lookout.pass_done()
        self._desk.pass_done()

    def _removed(self, name: str) -> None:
        self._rules.forget(name)

    def _hop_changed(self, name: str) -> None:
        self._announcer.announce(name, "forward-hop-changed")
        self._lookout.wake()
        self._tunnels.wake()
        self._desk.drop_refused()
        self._gateways.tell_all()

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; what is published stays published."""
        claimed = self._store.claim()
        try:
            await self._serve(stop)
        finally:
            os.close(claimed)

    async def _serve(self, stop: asyncio.Event) -> None:
        gateways = await self._serve_gateways()
        tasks = [
            asyncio.create_task(self._topology.follow()),
            asyncio.create_task(self._reconciler.run()),
            asyncio.create_task(self._lookout.run()),
            asyncio.create_task(self._tunnels.run()),
        ]
        asyncio.get_running_loop().add_reader(self._clock, self._note_clock)
        self._audit.record([AuditEvent(Happening.STARTED)])
        server = await serve_admin(
            self._socket,
            self._handlers.handle,
            self._announcer.subscribe,
            passed=take_passed(),
        )
        waiting = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait(
            [waiting, *tasks], return_when=asyncio.FIRST_COMPLETED
        )
        server.close()
        if gateways is not None:
            gateways.close()
        self._desk.stop()
        self._routers.save()
        for task in (waiting, *tasks):
            task.cancel()
        await asyncio.gather(waiting, *tasks, return_exceptions=True)
        await self._hops.close()
        asyncio.get_running_loop().remove_reader(self._clock)
        self._clock.close()
        self._audit.record([AuditEvent(Happening.STOPPED)])
        for task in done:
            task.result()

    async def _serve_gateways(self) -> asyncio.Server | None:
        """Serve gateways; without that, all else is served all the same."""
        desk = self._desk
        path = str(self._run / PORTMAP_SOCKET)
        try:
            self._run.mkdir(mode=0o750, exist_ok=True)
            desk.restore()
            self._routers.load()
            return await serve_gateways(path, desk.attach, desk.receive, desk.detach)
        except (OSError, ForwardError) as error:
            _log.error("programs of qubes cannot ask for ports: %s", error)
            return None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        _allow_connections()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self.serve(stop)


def _allow_connections() -> None:
    """Have more descriptors than the usual 1024, where that is permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _DESCRIPTORS:
        wanted = min(_DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> int:
    """Run the daemon; return its exit status: 0 after a signal, 1 if not serving."""
    parser = argparse.ArgumentParser(
        prog="qubes-forwardd", description="Firewall service of dom0: port forwarding."
    )
    parser.add_argument(
        "--setting",
        type=Setting,
        choices=list(Setting),
        default=Setting.BESIDE,
        help="whether outbound rules are stock qubesd's or this daemon's, too"
        " (default: %(default)s)",
    )
    parser.add_argument("--state", type=Path, metavar="DIRECTORY")
    parser.add_argument("--socket", default=FORWARDD_SOCKET)
    parser.add_argument("--log", type=Path, default=Path(AUDIT_LOG))
    parser.add_argument("--run", type=Path, default=Path(RUN_DIRECTORY))
    parser.add_argument("--verbose", "-v", action="store_true")
    parser.add_argument(
        "--withdraw",
        action="store_true",
        help="instead of serving, close every port and end; rules stay. The service"
        " must not run meanwhile",
    )
    options = parser.parse_args()
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(levelname)s %(message)s",
    )
    if options.withdraw:
        return run_withdrawal()
    collect_seldom()
    try:
        daemon = Daemon(
            options.state or _STATES[options.setting],
            options.socket,
            log=options.log,
            run=options.run,
            setting=options.setting,
        )
        asyncio.run(daemon.run())
    except ForwardError as error:
        print(f"qubes-forwardd: {error}", file=sys.stderr)
        return 1
    return 0
