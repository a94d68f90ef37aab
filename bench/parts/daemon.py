# SPDX-License-Identifier: GPL-2.0-or-later
"""What dom0's daemon costs, by how many forwards are stored.

The daemon is a process of its own, with real sockets and files around it; qubesd, the
QubesDBs and agents that acknowledge at once are played in this one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.apart import read_status, run_apart
from bench.figures import Sheet
from bench.scale import Scale
from qubesforward.lab.qubesdb_server import Store
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import ForwardRule, ForwardType, Proto, RuleList
from qubesforward.model.xml import encode_rule_list
from qubesforward.qubes.qubesdb import QubesDB
from tests.daemon.apart import ApartWorld

FORWARDS = (10, 100, 1_000, 10_000)
QUBES = (10, 100, 1_000, 5_000)
_RUNNING = 20
"""Qubes that run besides the hops; all forwards are theirs."""

BY_FORWARDS = "by forwards, for 100 qubes"
BY_QUBES = "by qubes, with 100 forwards"

_PATIENCE = 300.0

_Told = dict[str, list[float]]


class _Counting(Store):
    """What a QubesDB holds; counts what dom0 writes, and tells of answers."""

    def __init__(self, news: asyncio.Event) -> None:
        super().__init__()
        self._news = news
        self._entries_of_ours: set[str] = set()
        self.written = 0

    def write(self, path: str, value: bytes) -> None:
        super().write(path, value)
        if path == "/qubes-forward" or path.startswith("/qubes-forward/"):
            self.written += len(path) + len(value)
        if path.startswith("/qubes-forward/"):
            self._entries_of_ours.add(path)
        elif path == "/qubes-forward-handled":
            self._news.set()

    def remove(self, path: str) -> bool:
        self._entries_of_ours.discard(path)
        return super().remove(path)

    def is_done(self, entries: int) -> bool:
        """Whether there are so many entries, and the last commit was acknowledged."""
        generation = self.read("/qubes-forward")
        return (
            len(self._entries_of_ours) == entries
            and generation is not None
            and generation == self.read("/qubes-forward-handled")
        )


class ManyQubes(ApartWorld):
    """Many qubes behind two hops, most of them halted, and what they are told."""

    def __init__(self, root: Path, qubes: int, forwards: int) -> None:
        super().__init__(root)
        for number in range(qubes):
            ip = f"10.138.{number // 250}.{number % 250 + 1}"
            self.qubes[f"qube{number}"] = {"ip": ip, "netvm": "sys-firewall"}
            if number >= _RUNNING:
                self.halted.add(f"qube{number}")
        self.running = [f"qube{n}" for n in range(min(qubes, _RUNNING))]
        self.size = forwards
        self.news = asyncio.Event()
        self.stores: dict[str, _Counting] = {}

    async def boot(self, name: str) -> None:
        """Have a qube run, with a QubesDB that counts."""
        if name not in self.halted:
            await super().boot(name)
            # Nobody has connected yet: nothing was awaited since it listens.
            self.stores[name] = self._dbs[name].store = _Counting(self.news)

    async def _agent(self, name: str) -> None:
        """Answer everything at once: what agents do is another part's cost."""
        db = await QubesDB.connect(self.db_path(name))
        for path in ("/qubes-forward", "/qubes-forward-ask"):
            await db.watch(path)
        for path in ("/qubes-forward", "/qubes-forward-ask"):
            await self._answer_to(path, db)
        while True:
            await self._answer_to(await db.next_event(), db)

    async def _answer_to(self, path: str, db: QubesDB) -> None:
        value = await db.read(path)
        if value is not None:
            is_commit = path == "/qubes-forward"
            answer = (
                "/qubes-forward-handled" if is_commit else "/qubes-forward-reported"
            )
            await db.write(answer, value)

    def store_rules(self) -> None:
        """Write rule files, as an earlier run of the daemon would have left them."""
        for place, name in enumerate(self.running):
            numbers = range(place, self.size, len(self.running))
            rules = tuple(map(_make_rule, numbers))
            if rules:
                folder = self.root / "appvms" / name
                folder.mkdir(parents=True)
                stored = RuleList(forwards=rules, owner=f"uuid-{name}")
                (folder / "firewall.xml").write_bytes(encode_rule_list(stored, 0))

    def pid(self) -> int:
        """Return the process of the daemon."""
        return int(self._of_daemon().name)

    async def wait_acknowledged(self, names: Sequence[str], entries: int) -> None:
        """Wait until each hop has that many entries, and has said so."""
        async with asyncio.timeout(_PATIENCE):
            while not all(self.stores[name].is_done(entries) for name in names):
                self.news.clear()
                await self.news.wait()

    def written(self) -> int:
        """Return the bytes of keys and values that the daemon has written to hops."""
        return sum(store.written for store in self.stores.values())


def _make_rule(number: int) -> ForwardRule:
    port = number + 1
    return ForwardRule(
        ForwardType.EXTERNAL,
        PortRange(port, port),
        proto=Proto.TCP,
        created=number + 1,
    )


def measure(scale: Scale, sheet: Sheet) -> None:
    """Start, change and ask a daemon, at every size."""
    runs = [(BY_FORWARDS, 100, n, n) for n in scale.pick(FORWARDS, (2, 5))]
    runs += [(BY_QUBES, n, 100, n) for n in scale.pick(QUBES, (5,))]
    for side, qubes, forwards, size in runs:
        if scale.tiny:
            qubes, forwards = 5, min(forwards, 5)
        for _ in range(scale.pick(3, 1)):
            rounds = scale.pick(10, 1)
            told: _Told = run_apart(partial(_run_apart, qubes, forwards, rounds))
            for what, values in told.items():
                name, _, unit = what.rpartition(", ")
                sheet.note_all(name, side, values, unit, size)


def _run_apart(qubes: int, forwards: int, rounds: int) -> _Told:
    return asyncio.run(_run(qubes, forwards, rounds))


async def _run(qubes: int, forwards: int, rounds: int) -> _Told:
    with TemporaryDirectory() as folder:
        world = ManyQubes(Path(folder), qubes, forwards)
        await world.start()
        try:
            world.store_rules()
            return await _measure_one(world, rounds)
        finally:
            await world.close()


async def _measure_one(world: ManyQubes, rounds: int) -> _Told:
    hops = ("sys-net", "sys-firewall")
    began = time.monotonic()
    await world.start_daemon()
    await world.wait_acknowledged(hops, world.size)
    started = 1000 * (time.monotonic() - began)
    await asyncio.sleep(0.5)
    more: list[float] = []
    less: list[float] = []
    written: list[float] = []
    answer: list[float] = []
    port = world.size + 1
    target = world.running[0]
    line = f"action=forward forwardtype=external proto=tcp srcports={port}-{port}\n"
    for _ in range(rounds):
        before = world.written()
        began = time.monotonic()
        await world.call("Add+forward", target, line)
        answer.append(1000 * (time.monotonic() - began))
        await world.wait_acknowledged(hops, world.size + 1)
        more.append(1000 * (time.monotonic() - began))
        written.append(world.written() - before)
        began = time.monotonic()
        await world.call("Remove+forward", target, line)
        await world.wait_acknowledged(hops, world.size)
        less.append(1000 * (time.monotonic() - began))
    memory = read_status(world.pid(), "VmRSS") / 1024
    began = time.monotonic()
    status = await world.call("Status+forward", "dom0")
    listed = 1000 * (time.monotonic() - began)
    return {
        "start with all stored, until all hops have it, ms": [started],
        "one more, answered, ms": answer,
        "one more, all hops have it, ms": more,
        "one less, all hops have it, ms": less,
        "written to QubesDB for one more, bytes": written,
        "memory, MB": [memory],
        "status of everything, ms": [listed],
        "size of that answer, MB": [len(status) / 1e6],
    }
