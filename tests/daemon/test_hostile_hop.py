# SPDX-License-Identifier: GPL-2.0-or-later
"""A network qube that has been taken over: it may lie about itself, and no more.

`sys-firewall` is hostile. `mail` does not lie behind it, and must not notice.
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from qubesforward.lab import qubesdb_server
from tests.daemon.apart import EXTERNAL, ApartWorld, in_apart_world
from tests.daemon.world import until

pytestmark = pytest.mark.alone

HOSTILE = "sys-firewall"
PROMPT = 1.5
"""Seconds; the limit for what others see, on a machine that does other things too."""

MEMORY = 200
"""MB for the daemon, whatever hops do; about 30 without any of it."""

FLOODED = (
    "/qubes-forward/{:08x}",
    "/qubes-forward-refused/{:08x}",
    "/qubes-forward-report/{}",
    "/qubes-firewall/10.137.0.20/{}",
)


async def is_active(world: ApartWorld, dest: str) -> bool:
    return await world.states(dest) == ["active"]


@pytest.mark.parametrize("said", [b"999999999", b"0", b"\xff\0"])
def test_acknowledging_another_generation_makes_nothing_active(
    tmp_path: Path, said: bytes
) -> None:
    async def test(world: ApartWorld) -> None:
        world.mute.add(HOSTILE)
        world._dbs[HOSTILE].store.write("/qubes-forward-handled", said)
        await world.add("work", EXTERNAL.format(443))
        world._dbs[HOSTILE].fire("/qubes-forward-handled")
        assert await world.open_and_close("mail", 80) < PROMPT
        assert await world.states("work") == ["pending"]
        world.mute.discard(HOSTILE)
        world._dbs[HOSTILE].fire("/qubes-forward")
        await until(lambda: is_active(world, "work"))

    in_apart_world(tmp_path, test)


def test_a_hundred_thousand_large_keys_cost_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The daemon of Qubes keeps answers however long they are.
    monkeypatch.setattr(qubesdb_server, "MAX_BACKLOG", 2**30)
    value = bytes(range(1, 256)) * 12

    def flood(world: ApartWorld) -> None:
        world.mute.add(HOSTILE)
        store = world._dbs[HOSTILE].store
        for number in range(25_000):
            for pattern in FLOODED:
                store.write(pattern.format(number), value)

    async def test(world: ApartWorld) -> None:
        await world.open_and_close("mail", 80)
        await world.add("work", EXTERNAL.format(443))
        assert await world.open_and_close("mail", 81) < PROMPT
        # What was dom0's is put right, as soon as it cannot be read.
        async with asyncio.timeout(20):
            while len(world.entries(HOSTILE)) != 1:
                await asyncio.sleep(0.05)
        assert await world.open_and_close("mail", 82) < PROMPT
        world.mute.discard(HOSTILE)
        world._dbs[HOSTILE].fire("/qubes-forward")
        await until(lambda: is_active(world, "work"))
        assert world.memory() < MEMORY

    in_apart_world(tmp_path, test, flood)


def test_tens_of_thousands_of_entries_are_revoked_or_removed(tmp_path: Path) -> None:
    def flood(world: ApartWorld) -> None:
        store = world._dbs[HOSTILE].store
        for number in range(1, 20_000):
            text = f"in=uplink proto=tcp ports={number}-{number} src=0.0.0.0/0"
            entry = f"{text} to=10.137.0.20 toports=1-1"
            store.write(f"/qubes-forward/{number:08x}", entry.encode())

    async def test(world: ApartWorld) -> None:
        await world.open_and_close("mail", 80)
        async with asyncio.timeout(20):
            while world.entries(HOSTILE):
                await asyncio.sleep(0.05)
        assert world.memory() < MEMORY

    in_apart_world(tmp_path, test, flood)


def test_a_hop_whose_database_is_slow_is_waited_for_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = qubesdb_server._Client.data_received
    slow: list[object] = []

    def receive_later(client: qubesdb_server._Client, data: bytes) -> None:
        # Slower than anyone likes, and not slow enough to be given up.
        delay = 1.5 if client._server in slow else 0.0
        asyncio.get_running_loop().call_later(delay, receive, client, data)

    monkeypatch.setattr(qubesdb_server._Client, "data_received", receive_later)

    async def test(world: ApartWorld) -> None:
        await world.add("work", EXTERNAL.format(443))
        await until(lambda: is_active(world, "work"))
        slow.append(world._dbs[HOSTILE])
        changing = asyncio.create_task(world.call("Set+forward", "work"))
        await asyncio.sleep(0.05)
        assert await world.open_and_close("mail", 80) < 2 * PROMPT
        assert await world.open_and_close("mail", 81) < PROMPT
        await changing
        slow.clear()
        await until(lambda: world.entries(HOSTILE) == {})

    in_apart_world(tmp_path, test)


def _write_answers(hostile: "Hostile") -> None:
    for key in ("handled", "outside", "reported"):
        hostile.write(f"/qubes-forward-{key}", hostile.text())


def _write_reports(hostile: "Hostile") -> None:
    line = b"%s 999999999999999999 1 listening\n"
    ids = list(hostile.world.entries(HOSTILE)) or ["00000001"]
    hostile.write("/qubes-forward-report/0", (line % ids[0].encode()) * 60)
    hostile.write("/qubes-forward-reported", hostile.read("/qubes-forward-ask"))


def _write_refusals(hostile: "Hostile") -> None:
    for entry_id in [*hostile.world.entries(HOSTILE), hostile.hex(8)]:
        hostile.write(f"/qubes-forward-refused/{entry_id[:40]}", hostile.text())


def _write_orders(hostile: "Hostile") -> None:
    own = [*hostile.world.entries(HOSTILE), hostile.hex(8), hostile.hex(3), "a/b/c"]
    hostile.write(f"/qubes-forward/{hostile.choice(own)[:40]}", hostile.text())
    hostile.write("/qubes-forward", b"%d" % hostile.lots.randrange(10**18))
    hostile.write("/qubes-forward-ask", hostile.text())


def _remove_orders(hostile: "Hostile") -> None:
    keys = ["/qubes-forward/", "/qubes-forward", "/qubes-firewall/", "/"]
    own = [f"/qubes-forward/{one}" for one in hostile.world.entries(HOSTILE)]
    hostile.remove(hostile.choice([*keys, *own]))


def _write_outbound(hostile: "Hostile") -> None:
    sources = ["10.137.0.20", "10.137.0.99", "", "x", "a/b", "::1"]
    where = f"/qubes-firewall/{hostile.choice(sources)}"
    for key in ("", "/policy", "/0000", "/zzzz", "//", "/1/2"):
        hostile.write(where + key, hostile.text())


def _flip(hostile: "Hostile") -> None:
    for key in ("/qubes-forward-handled", "/qubes-forward-refused/"):
        hostile.remove(key)
        hostile.write(key.rstrip("/"), b"1")


ATTACKS: tuple[Callable[["Hostile"], None], ...] = (
    _write_answers,
    _write_reports,
    _write_refusals,
    _write_orders,
    _remove_orders,
    _write_outbound,
    _flip,
)


class Hostile:
    """Writes to its QubesDB past all that a client would check."""

    def __init__(self, world: ApartWorld, seed: int) -> None:
        self.world = world
        self.lots = random.Random(seed)
        self._db = world._dbs[HOSTILE]

    def choice(self, options: list[str]) -> str:
        return self.lots.choice(options)

    def hex(self, size: int) -> str:
        return f"{self.lots.randrange(16**size):0{size}x}"

    def text(self) -> bytes:
        kind = self.lots.randrange(4)
        if kind == 0:
            return self.lots.randbytes(self.lots.choice((0, 1, 20, 3072)))
        if kind == 1:
            return b"%d" % self.lots.randrange(10**9)
        words = [b"in=self", b"192.168.1.1", b"::", b"\x1b[2J", b"listening", b"\n"]
        return b" ".join(self.lots.choices(words, k=self.lots.choice((1, 5, 200))))

    def read(self, path: str) -> bytes:
        return self._db.store.read(path) or b""

    def write(self, path: str, value: bytes) -> None:
        self._db.store.write(path, value[:3072])
        self._db.fire(path)

    def remove(self, path: str) -> None:
        self._db.store.remove(path)
        self._db.fire(path)

    async def attack(self, attacks: list[Callable[["Hostile"], None]]) -> None:
        """Go on until cancelled, as fast as the others here let it."""
        while True:
            for _ in range(20):
                self.lots.choice(attacks)(self)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_hop_that_never_rests_delays_no_other(
    tmp_path: Path, attack: Callable[[Hostile], None]
) -> None:
    async def test(world: ApartWorld) -> None:
        await world.add("work", EXTERNAL.format(443))
        await world.open_and_close("mail", 80)
        world.mute.add(HOSTILE)
        used = world.work()
        loop = asyncio.get_running_loop()
        began = loop.time()
        attacking = asyncio.create_task(Hostile(world, 1).attack([attack]))
        slowest = max([await world.open_and_close("mail", 81 + n) for n in range(2)])
        await asyncio.sleep(max(0, 0.5 - (loop.time() - began)))
        attacking.cancel()
        assert slowest < PROMPT
        assert world.work() - used < 0.7 * (loop.time() - began)
        assert world.memory() < MEMORY

    in_apart_world(tmp_path, test)


@pytest.mark.parametrize("seed", [1, 2])
def test_everything_at_once_leaves_nothing_but_that_hop_wrong(
    tmp_path: Path, seed: int
) -> None:
    async def test(world: ApartWorld) -> None:
        await world.add("work", EXTERNAL.format(443))
        await world.add("mail", EXTERNAL.format(8080))
        await until(lambda: is_active(world, "mail"))
        world.mute.add(HOSTILE)
        attacking = asyncio.create_task(Hostile(world, seed).attack(list(ATTACKS)))
        kept = world.entries("sys-other")
        for _ in range(3):
            await world.call("Set+forward", "work")
            await world.add("work", EXTERNAL.format(443))
            assert await is_active(world, "mail")
        await world.stop_daemon()
        await world.start_daemon()
        await until(lambda: is_active(world, "mail"))
        attacking.cancel()
        assert world.entries("sys-other") == kept
        assert await world.call("Get+forward", "work") != ""
        # Started anew, it gets what it must have, and nothing that it wished for.
        world.end(HOSTILE)
        world.halted.discard(HOSTILE)
        world.mute.discard(HOSTILE)
        await world.boot(HOSTILE)
        world.qubes[HOSTILE]["xid"] = "2"
        world.tell(HOSTILE, "domain-start")
        await until(lambda: is_active(world, "work"))
        assert len(world.entries(HOSTILE)) == 1
        assert "error of ours" not in world.said()
        assert "Traceback" not in world.said()

    in_apart_world(tmp_path, test)
