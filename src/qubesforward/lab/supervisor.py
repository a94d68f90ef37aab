# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's hypervisor: owns domains, links and cards; pid 1 of the lab."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qubesforward.errors import LabError
from qubesforward.lab import igd, network, old_filter
from qubesforward.lab.command import log
from qubesforward.lab.domain import Domain, DomainSpec
from qubesforward.lab.ground import Grounds
from qubesforward.lab.hypercall import Link
from qubesforward.lab.old_filter import OldFilter
from qubesforward.lab.outside import describe_host, write_names
from qubesforward.lab.programs import (
    DOM0_PROGRAMS,
    QUBE_PROGRAMS,
    find_missing,
    find_packaged,
    link_stock_services,
    list_dom0_services,
    list_qube_services,
    render_programs,
)
from qubesforward.lab.qrexec.switch import Switch
from qubesforward.lab.root import Furniture, write_resolvers
from qubesforward.lab.sandbox import DOM0_DIR, HOST, STATE, STORE
from qubesforward.lab.topology import CardSpec, QubeSpec, ServiceSpec, Topology

DOM0 = "dom0"
# What a netvm tells its clients as name servers (Qubes' vm/net mixin).
VIRTUAL_DNS = ("10.139.1.1", "10.139.1.2")
BASE_FIREWALL = "qubes-base-firewall"
"""The unit in every qube that loads its base rules, before all others."""

_BASE_RULES = Path(__file__).with_name("base.nft")
_QUBE_ROLES = ("netvm", "app")


@dataclass
class AttachedLink:
    """A link that is there. Its ends are kept as domains, since names come back."""

    link: Link
    vif: str
    backend: Domain
    frontend: Domain

    @property
    def ends(self) -> tuple[int, int]:
        """The pids of netvm and client; 0 for one that has ended."""
        backend, frontend = (
            0 if domain.ended.is_set() else domain.pid
            for domain in (self.backend, self.frontend)
        )
        return backend, frontend

    @property
    def filters(self) -> network.OldFilters:
        """The packet filters of netvm and client that are not nftables."""
        return self.backend.spec.old_filter, self.frontend.spec.old_filter


class Supervisor:
    """All that the hypervisor does. Names in calls are names of domains.

    Every call raises `LabError` that says why it cannot be done.
    """

    def __init__(
        self,
        topology: Topology,
        keep: tuple[str, ...],
        shared: Sequence[str] = (),
        grounds: Grounds = Grounds(),  # noqa: B008 - cannot be changed
    ) -> None:
        """Own nothing yet; `boot` makes the world of the topology."""
        self.topology = topology
        self.warnings: dict[str, None] = {}
        self.domains: dict[str, Domain] = {}
        self._keep = keep
        self._shared = shared
        self._grounds = grounds
        self._links: dict[str, AttachedLink] = {}
        self._xid = 0
        self._plugs = 0
        self._listeners: set[asyncio.Queue[tuple[str, str]]] = set()
        self._switch = Switch(self.domains, DOM0)
        self._old_kind = "nft"

    async def boot(self) -> None:
        """Make networks, outside hosts and dom0."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._bury)
        network.check_kernel()
        if self.topology.has_old_qubes:
            self._old_kind = old_filter.find_kind()
        for path in (f"{DOM0_DIR}/domains", f"{STATE}/domains"):
            Path(path).mkdir(exist_ok=True)
        self._switch.serve_dom0(DOM0_DIR)
        network.build_switches(self.topology.networks)
        if self.topology.dns:
            write_names(self.topology.dns)
        specs = [
            describe_host(self.topology, host, self._keep)
            for host in self.topology.hosts
        ]
        specs.append(self._describe_dom0())
        started = [self._start(spec, 0) for spec in specs]
        for domain in started:
            await domain.wait_ready()
        for host in self.topology.hosts:
            domain = self.domains[host.name]
            for card in host.cards:
                self._plug(domain, card)
            network.add_routes(host, domain.pid)
            if host.igd:
                await domain.call("restart", igd.UNIT)
        self._build_tunnel_peers()

    def _build_tunnel_peers(self) -> None:
        tunnels = [qube.tunnel for qube in self.topology.qubes if qube.tunnel]
        for number, tunnel in enumerate(tunnels):
            host = self.domains[tunnel.host]
            network.build_tunnel_peer(tunnel, f"tun{number}", host.pid)

    def _describe_dom0(self) -> DomainSpec:
        binds = {"/run/qubes-lab": DOM0_DIR, "/var/log/qubes-lab": f"{STATE}/logs/dom0"}
        binds |= {path: HOST + path for path in self._shared}
        ground = self._grounds.dom0
        programs = render_programs(DOM0_PROGRAMS, ground)
        return DomainSpec(
            name=DOM0,
            role=DOM0,
            routes=False,
            services=self._without_missing(list_dom0_services(self.topology.setting)),
            furniture=Furniture(
                DOM0,
                (),
                binds,
                programs,
                find_packaged(ground),
                link_stock_services(),
            ),
            keep=self._keep,
            ground=ground,
        )

    def _describe_qube(self, name: str, role: str, qube: QubeSpec | None) -> DomainSpec:
        is_old = (qube or self.topology).backend == "iptables"
        rules = ("nft", "-f", str(_BASE_RULES))
        base = ServiceSpec(BASE_FIREWALL, rules, oneshot=True)
        routes = role == "netvm"
        services = self._without_missing(
            list_qube_services(qube, self.topology.setting, routes=routes)
        )
        store = Path(STORE, name)
        for directory in ("rw/config", "home"):
            (store / directory).mkdir(parents=True, exist_ok=True)
        shared = Path(DOM0_DIR, "domains", name)
        shared.mkdir(exist_ok=True)
        self._switch.serve_qube(name, shared)
        binds = {
            "/run/qubes": str(shared),
            "/rw": str(store / "rw"),
            "/home/user": str(store / "home"),
            "/var/log/qubes-lab": f"{STATE}/logs/{name}",
        }
        resolvers = (str(server),) if (server := self._find_resolver(qube)) else ()
        ground = self._grounds.qubes
        programs = render_programs(QUBE_PROGRAMS, ground)
        if is_old:
            base = old_filter.describe_base(BASE_FIREWALL)
            programs |= old_filter.programs_of(self._old_kind)
            binds |= old_filter.hide_nft(Path(STATE, "hidden"))
        furniture = Furniture(name, resolvers, binds, programs)
        return DomainSpec(
            name=name,
            role=role,
            routes=routes,
            services=(base, *services),
            furniture=furniture,
            old_filter=OldFilter(self._old_kind) if is_old else None,
            keep=self._keep,
            ground=ground,
        )

    def _find_resolver(self, qube: QubeSpec | None) -> str | None:
        """Return the name server of a qube that does not get one from its netvm."""
        if qube and qube.tunnel:
            return str(qube.tunnel.peer)
        if qube and qube.card and self.topology.dns:
            return str(self.topology.dns.address)
        return None

    def _without_missing(
        self, services: tuple[ServiceSpec, ...]
    ) -> tuple[ServiceSpec, ...]:
        missing = find_missing(services)
        for unit, module in missing.items():
            self.warnings[f"{unit} does not run: there is no {module}"] = None
        return tuple(service for service in services if service.unit not in missing)

    def _start(self, spec: DomainSpec, xid: int) -> Domain:
        domain = Domain.start(spec, xid)
        self.domains[spec.name] = domain
        # Where `qubes-lab exec` finds the namespaces to enter.
        Path(STATE, "domains", spec.name).write_text(str(domain.pid))
        return domain

    def _plug(self, domain: Domain, card: CardSpec) -> None:
        self._plugs += 1
        port = f"plug{self._plugs}"
        network.plug_card(card, port, domain.pid)
        domain.ports.append(port)

    async def create(self, name: str, role: str) -> int:
        """See `Hypervisor.create`."""
        if role not in _QUBE_ROLES:
            raise LabError(f"{role}: a qube is one of {', '.join(_QUBE_ROLES)}")
        if name in self.domains:
            raise LabError(f"{name}: runs already")
        self._xid += 1
        qube = self.topology.qube(name)
        domain = self._start(self._describe_qube(name, role, qube), self._xid)
        try:
            await domain.wait_ready()
            self._connect_outside(domain, qube)
        except LabError:
            domain.kill()
            await domain.wait_end()
            raise
        return domain.xid

    def _connect_outside(self, domain: Domain, qube: QubeSpec | None) -> None:
        if qube is None:
            return
        if domain.spec.routes and (server := self._find_resolver(qube)):
            if domain.spec.old_filter:
                domain.spec.old_filter.relay_dns(server, VIRTUAL_DNS, domain.pid)
            else:
                network.set_dns_relay(server, VIRTUAL_DNS, domain.pid)
        if qube.tunnel:
            network.build_tunnel(qube.tunnel, domain.pid)
        if qube.card:
            self._plug(domain, qube.card)

    async def attach(self, link: Link) -> None:
        """See `Hypervisor.attach`."""
        network.check_link(link)
        backend, frontend = self._qube(link.backend), self._qube(link.frontend)
        if link.frontend in self._links:
            raise LabError(f"{link.frontend}: has a link already; detach it first")
        attached = AttachedLink(link, f"vif{frontend.xid}.0", backend, frontend)
        qube = self.topology.qube(link.frontend)
        far = str(qube.tunnel.address) if qube and qube.tunnel else None
        try:
            network.attach_link(
                link, attached.vif, attached.ends, far, attached.filters
            )
        except (LabError, OSError):
            network.detach_link(link, attached.vif, attached.ends, attached.filters)
            raise
        self._links[link.frontend] = attached
        if not self._find_resolver(qube):
            write_resolvers(f"/proc/{frontend.pid}/root/etc", link.dns)

    async def detach(self, frontend: str) -> None:
        """See `Hypervisor.detach`."""
        attached = self._links.pop(frontend, None)
        if attached:
            network.detach_link(
                attached.link, attached.vif, attached.ends, attached.filters
            )

    async def pause(self, name: str) -> None:
        """See `Hypervisor.pause`."""
        domain = self._qube(name)
        if not domain.paused:
            domain.paused = True
            network.pause_network(domain.pid)
            domain.stop_processes()

    async def unpause(self, name: str) -> None:
        """See `Hypervisor.unpause`."""
        domain = self._qube(name)
        if domain.paused:
            domain.paused = False
            network.unpause_network(domain.pid)
            domain.continue_processes()

    async def shutdown(self, name: str) -> None:
        """See `Hypervisor.shutdown`."""
        await self._qube(name).shut_down()

    async def kill(self, name: str) -> None:
        """See `Hypervisor.kill`."""
        domain = self._qube(name)
        domain.kill()
        await domain.wait_end()

    def list_qubes(self) -> Iterable[Domain]:
        """Return the qubes among the domains."""
        return [
            domain
            for domain in self.domains.values()
            if domain.spec.role in _QUBE_ROLES
        ]

    def _qube(self, name: str) -> Domain:
        domain = self.domains.get(name)
        if domain is None:
            raise LabError(f"{name}: does not run")
        if domain.spec.role not in _QUBE_ROLES:
            raise LabError(f"{name}: is no qube")
        return domain

    def listen(self) -> asyncio.Queue[tuple[str, str]]:
        """Return a queue that gets every event from now on."""
        queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._listeners.add(queue)
        return queue

    def stop_listening(self, queue: asyncio.Queue[tuple[str, str]]) -> None:
        """Forget a queue."""
        self._listeners.discard(queue)

    def _bury(self) -> None:
        """Take in every process that has ended; many are orphans nobody knows."""
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                for name, domain in list(self.domains.items()):
                    if domain.pid == pid:
                        self._take_end(name, domain)

    def _take_end(self, name: str, domain: Domain) -> None:
        log(f"{name} has ended")
        del self.domains[name]
        Path(STATE, "domains", name).unlink(missing_ok=True)
        # `ended` must be set before links are cut: it tells which end is left.
        domain.take_end()
        for port in domain.ports:
            network.unplug(port)
        for frontend, attached in list(self._links.items()):
            if domain in (attached.backend, attached.frontend):
                del self._links[frontend]
                network.detach_link(
                    attached.link, attached.vif, attached.ends, attached.filters
                )
        if domain.spec.role in _QUBE_ROLES:
            self._switch.forget(name)
            _clear(Path(DOM0_DIR, "domains", name))
        for queue in self._listeners:
            queue.put_nowait(("died", name))


def _clear(directory: Path) -> None:
    """Empty a directory that stays, since others have it bound."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
