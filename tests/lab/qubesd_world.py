# SPDX-License-Identifier: GPL-2.0-or-later
"""A small computer for tests of the lab's qubesd: real sockets, no namespaces."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qubesforward.errors import LabError, QubesDBError
from qubesforward.lab.hypercall import Link, Role
from qubesforward.lab.qubesd.main import Service
from qubesforward.lab.qubesd.qubes import seed_qubes
from qubesforward.lab.qubesd.state import Computer, Paths
from qubesforward.lab.topology import load_topology
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.admin_wire import Event
from qubesforward.qubes.setting import Setting

SMALL = """
[system]
default_netvm = "sys-firewall"
default_template = "debian-12"
default_dispvm = "default-dvm"

[networks.home]
ip = "192.168.1.0/24"
ip6 = "2001:db8:1::/64"

[qubes.debian-12]
class = "TemplateVM"
label = "black"
features = { "supported-service.qubes-forward" = "1" }

[qubes.sys-net]
class = "AppVM"
label = "red"
template = "debian-12"
provides_network = true
autostart = true
card = { name = "ens6", network = "home", ip = "192.168.1.10", ip6 = "2001:db8:1::10" }

[qubes.sys-firewall]
class = "AppVM"
label = "orange"
template = "debian-12"
netvm = "sys-net"
provides_network = true
autostart = true

[qubes.work]
class = "AppVM"
label = "blue"
template = "debian-12"
netvm = "sys-firewall"
autostart = true

[qubes.personal]
class = "AppVM"
label = "yellow"
template = "debian-12"
netvm = "sys-net"

[qubes.vault]
class = "AppVM"
label = "black"
template = "debian-12"

[qubes.default-dvm]
class = "AppVM"
label = "red"
template = "debian-12"
template_for_dispvms = true
netvm = "sys-firewall"
"""
"""Numbers are given in this order: sys-net has 2, sys-firewall 3, work 4."""


@dataclass
class FakeMachine:
    """A hypervisor that remembers. It outlives qubesd, as the real one does."""

    numbers: dict[str, int] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    links: dict[str, Link] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    """Operations that are refused, such as ``create work``."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long an operation takes, such as ``create work``."""

    def __post_init__(self) -> None:
        self._next = itertools.count(1)
        self.events: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def _do(self, what: str) -> None:
        self.log.append(what)
        await asyncio.sleep(self.seconds.get(what, 0))
        if what in self.failing:
            raise LabError(f"refused to {what}")

    async def create(self, name: str, role: Role) -> int:
        await self._do(f"create {name}")
        if name in self.numbers:
            raise LabError(f"{name} runs already")
        self.numbers[name] = next(self._next)
        return self.numbers[name]

    async def attach(self, link: Link) -> None:
        await self._do(f"attach {link.frontend}")
        for name in (link.frontend, link.backend):
            if name not in self.numbers:
                raise LabError(f"{name} does not run")
        if link.frontend in self.links:
            raise LabError(f"{link.frontend} is attached already")
        self.links[link.frontend] = link

    async def detach(self, frontend: str) -> None:
        await self._do(f"detach {frontend}")
        self.links.pop(frontend, None)

    async def pause(self, name: str) -> None:
        await self._do(f"pause {name}")
        self.paused.add(name)

    async def unpause(self, name: str) -> None:
        await self._do(f"unpause {name}")
        self.paused.discard(name)

    async def shutdown(self, name: str) -> None:
        await self._do(f"shutdown {name}")
        self.die(name)

    async def kill(self, name: str) -> None:
        await self._do(f"kill {name}")
        if name not in self.numbers:
            raise LabError(f"{name} does not run")
        self.die(name)

    def die(self, name: str) -> None:
        """End a domain, as it may by itself; its links go with it."""
        del self.numbers[name]
        self.paused.discard(name)
        gone = [f for f, link in self.links.items() if name in (f, link.backend)]
        for frontend in gone:
            del self.links[frontend]
        self.events.put_nowait(("died", name))

    async def domains(self) -> dict[str, str]:
        return {
            name: "paused" if name in self.paused else "running"
            for name in self.numbers
        }

    async def xids(self) -> dict[str, int]:
        return dict(self.numbers)

    async def next_event(self) -> tuple[str, str]:
        return await self.events.get()


@dataclass
class FakeDatabases:
    """QubesDB daemons that are dictionaries. They outlive qubesd as well."""

    stores: dict[str, dict[str, str]] = field(default_factory=lambda: {"dom0": {}})
    pids: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._next = itertools.count(1000)

    async def start(self, name: str) -> int:
        self.stores[name] = {}
        self.pids[name] = next(self._next)
        return self.pids[name]

    async def update(self, name: str, wanted: Mapping[str, str]) -> None:
        if name not in self.stores:
            raise QubesDBError(f"no QubesDB of {name}")
        self.stores[name] = dict(wanted)

    async def replace_below(
        self, name: str, top: str, values: Mapping[str, str]
    ) -> None:
        store = self.stores[name]
        for path in [path for path in store if path.startswith(f"{top}/")]:
            del store[path]
        store.update({f"{top}/{key}": value for key, value in values.items()})
        store[top] = ""

    async def stop(self, name: str, pid: int) -> None:
        if self.pids.pop(name, pid) != pid:
            raise LabError(f"not the daemon of {name}: {pid}")
        self.stores.pop(name, None)


class World:
    """A qubesd that serves, and the client that talks to it."""

    def __init__(
        self,
        paths: Paths,
        machine: FakeMachine,
        databases: FakeDatabases,
        setting: Setting = Setting.INTEGRATED,
    ) -> None:
        self.paths = paths
        self.machine = machine
        self.databases = databases
        self.socket = str(paths.run / "qubesd.sock")
        self.forwardd = str(paths.run / "forwardd.sock")
        self.computer = Computer(paths)
        if not self.computer.load():
            topology = paths.run / "topology.toml"
            topology.write_text(SMALL)
            seed_qubes(self.computer, load_topology(topology))
        self.service = Service(
            self.computer, machine, databases, self.forwardd, setting
        )
        # Both ways to the same socket, so that our client cannot go past qubesd.
        self.client = AsyncAdminClient(self.socket, self.socket)

    async def call(
        self, method: str, dest: str = "dom0", arg: str = "", payload: str = ""
    ) -> str:
        """Call, and return the answer as text."""
        answer = await self.client.call(method, dest, arg, payload.encode())
        return answer.decode()

    async def read(self, name: str, prop: str) -> str:
        """Read the value of a property."""
        answer = await self.call("admin.vm.property.Get", name, prop)
        return answer.split(" ", 2)[2]

    async def set(self, name: str, prop: str, value: str) -> None:
        """Set a property."""
        await self.call("admin.vm.property.Set", name, prop, value)

    async def state(self, name: str) -> str:
        """The power state of a qube."""
        answer = await self.call("admin.vm.CurrentState", name)
        return answer.rpartition("=")[2]

    @asynccontextmanager
    async def hear(self, dest: str = "dom0") -> AsyncIterator[list[Event]]:
        """Collect events while within."""
        heard: list[Event] = []
        listening = asyncio.Event()

        async def listen() -> None:
            async for event in self.client.events(dest):
                if event.name == "connection-established":
                    listening.set()
                else:
                    heard.append(event)

        task = asyncio.create_task(listen())
        await asyncio.wait_for(listening.wait(), 5)
        try:
            yield heard
            # Events are sent before the answer to what caused them is; one more
            # round trip lets those that are under way arrive.
            await asyncio.sleep(0.05)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def run_qubesd(
    paths: Paths,
    machine: FakeMachine,
    databases: FakeDatabases,
    setting: Setting = Setting.INTEGRATED,
) -> AsyncIterator[World]:
    """Run one qubesd; leaving ends it as a kill would, the machine runs on."""
    world = World(paths, machine, databases, setting)
    server = await world.service.serve(world.socket)
    following = asyncio.create_task(world.service.lifecycle.follow_machine())
    try:
        yield world
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        server.close()
        await server.wait_closed()
        Path(world.socket).unlink(missing_ok=True)


def make_paths(directory: Path) -> Paths:
    """Put a computer's files below a directory."""
    paths = Paths(directory / "var", directory / "run", directory / "qubesdb")
    for path in (paths.qubes, paths.run, paths.qubesdb):
        path.mkdir(parents=True, exist_ok=True)
    return paths


def in_world(
    directory: Path,
    test: Callable[[World], Awaitable[None]],
    setting: Setting = Setting.INTEGRATED,
) -> None:
    """Run one test in a fresh world."""

    async def run() -> None:
        async with asyncio.timeout(30):
            paths = make_paths(directory)
            fakes = FakeMachine(), FakeDatabases()
            async with run_qubesd(paths, *fakes, setting) as world:
                await test(world)

    asyncio.run(run())
