# SPDX-License-Identifier: GPL-2.0-or-later
import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import cast

from qubesforward.agent.answers import Answers
from qubesforward.agent.orders import Orders, read_gateways
from qubesforward.qubes.qubesdb import QubesDB

A, B = "0000000a", "0000000b"
ENTRY = b"in=self proto=tcp ports=80-80 src=0.0.0.0/0"
OTHER = b"in=self proto=tcp ports=81-81 src=0.0.0.0/0"


class FakeDB:
    """A QubesDB that counts what is asked of it."""

    def __init__(self, **values: bytes) -> None:
        self.values = {
            f"/qubes-forward/{name}": value for name, value in values.items()
        }
        self.asked: list[str] = []
        self.written: list[tuple[str, bytes | None]] = []

    async def read(self, path: str) -> bytes | None:
        self.asked.append(path)
        return self.values.get(path)

    async def multiread(self, prefix: str) -> dict[str, bytes]:
        self.asked.append(prefix)
        return {p: v for p, v in self.values.items() if p.startswith(prefix)}

    async def list(self, prefix: str) -> Sequence[str]:
        return [path for path in self.values if path.startswith(prefix)]

    async def rm(self, path: str) -> None:
        self.values.pop(path, None)

    async def rm_many(self, paths: Sequence[str]) -> None:
        self.written += [(path, None) for path in paths]

    async def write_many(self, items: Sequence[tuple[str, bytes]]) -> None:
        self.written += items

    async def write(self, path: str, value: bytes) -> None:
        self.written.append((path, value))


def read(orders: Orders, db: FakeDB) -> set[str] | None:
    return asyncio.run(orders.read(cast(QubesDB, db)))


def commit(db: FakeDB, generation: bytes) -> None:
    db.values["/qubes-forward"] = generation


def first_reading(db: FakeDB) -> Orders:
    orders = Orders()
    commit(db, b"1")
    assert read(orders, db) is None
    db.asked.clear()
    return orders


def test_the_first_reading_takes_everything() -> None:
    orders = first_reading(FakeDB(**{A: ENTRY, B: OTHER}))
    assert orders.entries.keys() == {A, B}
    assert (orders.generation, orders.are_known) == (b"1", True)


def test_a_commit_reads_only_what_was_named() -> None:
    db = FakeDB(**{A: ENTRY})
    orders = first_reading(db)
    db.values[f"/qubes-forward/{B}"] = OTHER
    assert not orders.note_event(f"/qubes-forward/{B}")
    assert orders.note_event("/qubes-forward")
    commit(db, b"2")
    assert read(orders, db) == {B}
    assert db.asked == ["/qubes-forward", f"/qubes-forward/{B}"]
    assert orders.entries.keys() == {A, B}
    assert orders.generation == b"2"


def test_an_entry_that_was_removed_is_gone_after_the_commit() -> None:
    db = FakeDB(**{A: ENTRY, B: b"not an entry"})
    orders = first_reading(db)
    assert orders.unreadable.keys() == {B}
    db.values.clear()
    for entry_id in (A, B):
        orders.note_event(f"/qubes-forward/{entry_id}")
    commit(db, b"2")
    read(orders, db)
    assert orders.entries == {}
    assert orders.unreadable == {}


def test_a_removed_subtree_has_everything_read_anew() -> None:
    db = FakeDB(**{A: ENTRY})
    orders = first_reading(db)
    db.values.clear()
    orders.note_event("/qubes-forward/")
    commit(db, b"2")
    assert read(orders, db) is None
    assert orders.entries == {}


def test_many_changes_are_read_at_once() -> None:
    db = FakeDB()
    orders = first_reading(db)
    for number in range(1, 200):
        db.values[f"/qubes-forward/{number:08x}"] = ENTRY
        orders.note_event(f"/qubes-forward/{number:08x}")
    commit(db, b"2")
    assert read(orders, db) is None
    assert len(db.asked) < 5
    assert len(orders.entries) == 199


def test_without_a_commit_there_are_no_entries() -> None:
    db = FakeDB(**{A: ENTRY})
    orders = Orders()
    read(orders, db)
    assert orders.entries == {}
    assert (orders.generation, orders.are_known) == (None, True)
    commit(db, b"1")
    assert orders.note_event("/qubes-forward")
    read(orders, db)
    assert orders.entries.keys() == {A}


def test_a_commit_while_everything_is_read_has_it_read_again() -> None:
    db = FakeDB(**{A: ENTRY})

    class Busy(FakeDB):
        async def multiread(self, prefix: str) -> dict[str, bytes]:
            found = await super().multiread(prefix)
            if self.values["/qubes-forward"] == b"1":
                self.values[f"/qubes-forward/{B}"] = OTHER
                commit(self, b"2")
            return found

    db = Busy(**{A: ENTRY})
    orders = first_reading(db)
    assert orders.generation == b"2"
    assert orders.entries.keys() == {A, B}


def test_an_unchanged_entry_stays_the_same_object() -> None:
    db = FakeDB(**{A: ENTRY})
    orders = first_reading(db)
    before = orders.entries[A]
    orders.forget()
    read(orders, db)
    assert orders.entries[A] is before


def test_what_is_no_entry_is_refused_with_a_reason_and_nothing_else_is() -> None:
    bad = {
        "0000000c": b"in=self proto=tcp ports=0-0 src=0.0.0.0/0",
        "0000000d": b"\xff\xfe",
        "0000000e": b"",
        "NOTANID": ENTRY,
        "0000000a/x": ENTRY,
    }
    orders = first_reading(FakeDB(**{A: ENTRY, **bad}))
    assert orders.entries.keys() == {A}
    assert orders.unreadable.keys() == bad.keys()
    assert orders.unreadable["0000000c"] == "ports=0-0: ports are 1-65535"


def test_gateways_are_those_of_their_family() -> None:
    db = FakeDB()
    db.values["/qubes-gateway"] = b"10.137.0.1"
    db.values["/qubes-gateway6"] = b"10.137.0.1"
    found = asyncio.run(read_gateways(cast(QubesDB, db)))
    assert found == {4: ip_address("10.137.0.1")}


def test_refusals_are_told_before_the_generation_and_only_once() -> None:
    async def run() -> None:
        db = FakeDB()
        answers = Answers(cast(QubesDB, db))
        db.values["/qubes-forward-refused/old"] = b"of an earlier run"
        await answers.start()
        await answers.acknowledge(b"7", {A: "why"})
        assert db.written == [
            ("/qubes-forward-refused/old", None),
            (f"/qubes-forward-refused/{A}", b"why"),
            ("/qubes-forward-handled", b"7"),
        ]
        db.written.clear()
        await answers.acknowledge(b"8", {A: "why"})
        assert db.written == [("/qubes-forward-handled", b"8")]
        db.written.clear()
        await answers.acknowledge(None, {})
        assert db.written == [(f"/qubes-forward-refused/{A}", None)]

    asyncio.run(run())


def test_an_id_too_long_for_a_path_is_not_answered() -> None:
    async def run() -> None:
        db = FakeDB()
        answers = Answers(cast(QubesDB, db))
        await answers.acknowledge(b"7", {"x" * 41: "why"})
        assert db.written == [("/qubes-forward-handled", b"7")]

    asyncio.run(run())


def test_a_long_report_is_split_and_what_is_left_of_a_longer_one_removed() -> None:
    async def run() -> None:
        db = FakeDB()
        answers = Answers(cast(QubesDB, db))
        lines = [f"{n:08x} 1 60" for n in range(400)]
        await answers.report(lines, b"token")
        *parts, last = db.written
        assert last == ("/qubes-forward-reported", b"token")
        assert [path for path, _ in parts] == [
            f"/qubes-forward-report/{n}" for n in range(len(parts))
        ]
        assert all(value and len(value) <= 3072 for _, value in parts)
        text = b"\n".join(value or b"" for _, value in parts)
        assert text.decode().split("\n") == lines
        surplus = len(parts)
        db.written.clear()
        await answers.report([], b"next")
        assert len([path for path, value in db.written if value is None]) == surplus

    asyncio.run(run())
