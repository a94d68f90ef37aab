# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's world in one process: a small qubesd, QubesDB for real, and agents.

The daemon, the Admin API and QubesDB are the real ones on real sockets. qubesd is
played from a table of qubes; an agent answers what its hop is told, or does not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from qubesforward.daemon.main import Daemon
from qubesforward.lab.qubesd.relay import relay_call
from qubesforward.lab.qubesdb_server import QubesDBServer
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.admin_server import AdminException, Refused, serve_admin
from qubesforward.qubes.admin_wire import (
    Call,
    Event,
    Property,
    encode_properties,
    encode_property,
)
from qubesforward.qubes.qubesdb import QubesDB
from qubesforward.qubes.setting import Setting

CHAIN = {
    "sys-net": {"ip": "10.137.0.5"},
    "sys-firewall": {
        "ip": "10.137.0.6",
        "netvm": "sys-net",
        "provides_network": "True",
    },
    "work": {"ip": "10.137.0.20", "netvm": "sys-firewall"},
    "personal": {"ip": "10.137.0.21", "netvm": "sys-firewall"},
}


class World:
    """Everything around the daemon; change it, then `tell` the daemon.

    Beside a stock qubesd, that one has the outbound rules: every qube's accept all.
    """

    def __init__(self, root: Path, setting: Setting = Setting.INTEGRATED) -> None:
        self.root = root
        self.setting = setting
        self.state = root if setting is Setting.INTEGRATED else root / "forwards"
        self.qubes: dict[str, dict[str, str]] = {n: dict(q) for n, q in CHAIN.items()}
        self.halted: set[str] = set()
        self.mute: set[str] = set()
        self.broken: set[str] = set()
        self.refusing: dict[str, str] = {}
        self.features: dict[str, dict[str, str]] = {}
        self.log: list[tuple[str, frozenset[str]]] = []
        self._queues: list[asyncio.Queue[Event | None]] = []
        self._dbs: dict[str, QubesDBServer] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._stop: asyncio.Event | None = None
        self._qubesd: asyncio.Server | None = None
        self._daemon: asyncio.Task[None] | None = None
        self.client = AsyncAdminClient(
            str(root / "qubesd.sock"), str(root / "forwardd.sock"), timeout=10
        )

    def db_path(self, name: str) -> str:
        return str(self.root / f"{name}.sock")

    async def start(self) -> None:
        (self.root / "appvms").mkdir(exist_ok=True)
        self.state.mkdir(exist_ok=True)
        self._qubesd = await serve_admin(
            str(self.root / "qubesd.sock"), self._answer, self._subscribe
        )
        for name in self.qubes:
            await self.boot(name)

    async def boot(self, name: str) -> None:
        """Give a qube an empty QubesDB and an agent."""
        self._dbs[name] = db = QubesDBServer()
        await db.listen(self.db_path(name))
        self._tasks.append(asyncio.create_task(self._agent(name)))

    def end(self, name: str) -> None:
        """End a qube: its QubesDB goes with all that was in it."""
        self.halted.add(name)
        self._dbs.pop(name).close()

    async def start_daemon(self) -> None:
        self._stop = asyncio.Event()
        path = str(self.root / "forwardd.sock")
        self.daemon = Daemon(
            self.state, path, self.client, self.db_path, setting=self.setting
        )
        self._daemon = asyncio.create_task(self.daemon.serve(self._stop))
        while not (self.root / "forwardd.sock").exists():
            await asyncio.sleep(0.01)

    async def stop_daemon(self) -> None:
        if self._stop is not None and self._daemon is not None:
            self._stop.set()
            await self._daemon
            self._daemon = None
            (self.root / "forwardd.sock").unlink(missing_ok=True)

    async def close(self) -> None:
        await self.stop_daemon()
        # asyncio before 3.12 loses a connection that comes in while a server closes.
        await asyncio.sleep(0.01)
        if self._qubesd is not None:
            # Not waited for: from Python 3.12 on that is for its last client.
            self._qubesd.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for db in self._dbs.values():
            db.close()

    def tell(self, subject: str, event: str, **kwargs: str) -> None:
        for queue in self._queues:
            queue.put_nowait(Event(subject, event, kwargs))

    def hang_up(self) -> None:
        """End the event connections, as a qubesd does that restarts."""
        for queue in self._queues:
            queue.put_nowait(None)
        self._queues.clear()

    def store(self, name: str) -> dict[str, bytes]:
        return dict(self._dbs[name].store.select("/"))

    def entries(self, name: str) -> dict[str, str]:
        """What a hop is told now, by ID."""
        return {
            path.removeprefix("/qubes-forward/"): value.decode("ascii", "replace")
            for path, value in self.store(name).items()
            if path.startswith("/qubes-forward/")
        }

    async def say(self, name: str, path: str, value: str) -> None:
        """Have a qube write something into its QubesDB."""
        db = await QubesDB.connect(self.db_path(name))
        await db.write(path, value.encode())
        await db.aclose()

    async def call(self, method: str, dest: str, payload: str = "") -> str:
        name, _, arg = method.partition("+")
        answer = await self.client.call(
            f"admin.vm.firewall.{name}", dest, arg, payload.encode()
        )
        return answer.decode()

    async def add(self, dest: str, *rules: str) -> None:
        lines = "".join(f"action=forward {rule}\n" for rule in rules)
        await self.call("Add+forward", dest, lines)

    async def states(self, dest: str) -> list[str]:
        """Return the states of a qube's forwards."""
        return [forward["state"] for forward in await self.forwards(dest)]

    async def forwards(self, dest: str) -> list[dict[str, Any]]:
        told = json.loads(await self.call("Status+forward", dest))
        return [forward for one in told["qubes"] for forward in one["forwards"]]

    async def _answer(self, call: Call) -> bytes:
        if call.method == "admin.vm.List":
            return self._list(call.dest).encode()
        if call.method.startswith("admin.vm.firewall."):
            return await self._answer_firewall(call)
        if call.dest not in self.qubes:
            raise AdminException("QubesVMNotFoundError", "no such qube: %s", call.dest)
        if call.dest in self.broken:
            raise Refused(call.method)
        if call.method == "admin.vm.property.GetAll":
            return self._properties(call.dest)
        if call.method == "admin.vm.property.Get" and call.arg == "label":
            label = self.qubes[call.dest].get("label", "red")
            return encode_property(Property(label, "label"))
        if call.method == "admin.vm.feature.CheckWithTemplate":
            return b"1"
        features = self.features.setdefault(call.dest, {})
        if call.method == "admin.vm.feature.List":
            return "".join(f"{name}\n" for name in features).encode()
        if call.method == "admin.vm.feature.Get":
            return self._feature(features, call.arg).encode()
        if call.method == "admin.vm.feature.Remove":
            self._feature(features, call.arg)
            del features[call.arg]
            self.tell(call.dest, f"domain-feature-delete:{call.arg}")
            return b""
        if call.method == "admin.vm.feature.Set":
            features[call.arg] = call.payload.decode()
            self.tell(call.dest, f"domain-feature-set:{call.arg}")
            return b""
        raise Refused(call.method)

    async def _answer_firewall(self, call: Call) -> bytes:
        if self.setting is Setting.INTEGRATED:
            return await relay_call(str(self.root / "forwardd.sock"), call)
        if call.method != "admin.vm.firewall.Get" or call.arg:
            raise Refused(call.method)
        return b"action=accept\n"

    def _feature(self, features: dict[str, str], name: str) -> str:
        if name not in features:
            raise AdminException("QubesFeatureNotFoundError", "no feature: %s", name)
        return features[name]

    def _list(self, dest: str) -> str:
        if dest != "dom0":
            return self._line(dest)
        # Without any qube it is one that has not read what there is.
        dom0 = "dom0 class=AdminVM state=Running\n" if self.qubes else ""
        return dom0 + "".join(map(self._line, self.qubes))

    def _line(self, name: str) -> str:
        if name not in self.qubes:
            raise AdminException("QubesVMNotFoundError", "no such qube: %s", name)
        state = "Halted" if name in self.halted else "Running"
        return f"{name} class={self.qubes[name].get('class', 'AppVM')} state={state}\n"

    def _properties(self, name: str) -> bytes:
        qube = self.qubes[name]
        values = {"uuid": f"uuid-{name}", "xid": qube.get("xid", "1"), **qube}
        return encode_properties({n: Property(v, "str") for n, v in values.items()})

    async def _subscribe(self, _call: Call) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._queues.append(queue)
        while (event := await queue.get()) is not None:
            yield event

    async def _agent(self, name: str) -> None:
        db = await QubesDB.connect(self.db_path(name))
        await db.watch("/qubes-forward")
        await db.write("/qubes-forward-outside", b"192.168.1.10")
        while True:
            if name not in self.mute:
                await self._apply(name, db)
            await db.next_event()

    async def _apply(self, name: str, db: QubesDB) -> None:
        generation = await db.read("/qubes-forward")
        entries = await db.multiread("/qubes-forward/")
        self.log.append((name, frozenset(v.decode() for v in entries.values())))
        for path in entries:
            if name in self.refusing:
                refused = path.replace("/qubes-forward/", "/qubes-forward-refused/")
                await db.write(refused, self.refusing[name].encode())
        if generation is not None:
            await db.write("/qubes-forward-handled", generation)


@asynccontextmanager
async def running(
    root: Path, setting: Setting = Setting.INTEGRATED
) -> AsyncIterator[World]:
    """Have a world with the daemon running in it."""
    world = World(root, setting)
    await world.start()
    try:
        await world.start_daemon()
        yield world
    finally:
        await world.close()


def in_world(
    root: Path,
    test: Callable[[World], Awaitable[None]],
    setting: Setting = Setting.INTEGRATED,
) -> None:
    """Run a test in a fresh world."""

    async def run() -> None:
        async with running(root, setting) as world:
            await test(world)

    asyncio.run(run())


async def until(is_so: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something is so; fail after five seconds."""
    async with asyncio.timeout(5):
        while True:
            found = is_so()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)
