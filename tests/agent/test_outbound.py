# SPDX-License-Identifier: GPL-2.0-or-later
"""What the enforcer reads, applies and acknowledges, with a kernel that takes notes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from qubesforward.agent.outbound import OutboundEnforcer
from qubesforward.agent.outbound_tables import OutboundTables
from qubesforward.errors import ApplyError
from qubesforward.lab.qubesdb_server import QubesDBServer
from qubesforward.model.hosts import Address
from qubesforward.nft.outbound_match import TCP, Flow
from qubesforward.qubes.qubesdb import QubesDB
from tests.agent.memory_store import MemoryStore
from tests.qubes.running import short_directory

QUBE, QUBE6 = "10.137.0.20", "fd09::14"
OTHER = "10.137.0.21"
REFUSES = "9.9.9.9"
"""What this kernel does not take, wherever it stands."""


class Kernel:
    """Takes commands down; refuses those with `REFUSES` in them, or all."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.refuses_all = False

    def __call__(self, commands: str) -> None:
        if self.refuses_all or REFUSES in commands:
            raise ApplyError("no")
        self.applied.append(commands)


def handled(store: MemoryStore, source: str) -> bytes | None:
    return store.values.get(f"/qubes-firewall-handled/{source}")


def enforce(
    store: MemoryStore,
    kernel: Kernel,
    then: Callable[[OutboundEnforcer], Awaitable[None]] | None = None,
    lookup: Callable[[str], list[str]] = lambda name: [],
) -> None:
    async def run() -> None:
        enforcer = OutboundEnforcer(
            store, partial(OutboundTables, kernel), lookup=lookup
        )
        await enforcer.start()
        if then:
            kernel.applied.clear()
            await then(enforcer)
        await enforcer.aclose()

    asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


def test_a_start_is_one_transaction_with_every_source() -> None:
    store, kernel = MemoryStore(), Kernel()
    store.publish(QUBE, ["action=accept"])
    store.publish(QUBE6, ["action=accept"])
    enforce(store, kernel)
    (commands,) = kernel.applied
    assert "delete table ip6 qubes-firewall" in commands
    assert f"{QUBE} : jump qbs-10-137-0-20" in commands
    assert f"{QUBE6} : jump qbs-fd09--14" in commands
    assert handled(store, QUBE) == b"1"
    assert handled(store, QUBE6) == b"1"
    assert store.watched[0] == "/qubes-firewall/"


def test_a_source_that_is_being_written_waits_for_its_commit() -> None:
    store, kernel = MemoryStore(), Kernel()
    commit = store.publish(QUBE, ["action=accept"])
    del store.values[commit]

    async def then(enforcer: OutboundEnforcer) -> None:
        await enforcer.on_change(f"{commit}/0000")
        assert kernel.applied == []
        store.put(commit, b"")
        await enforcer.on_change(commit)
        assert len(kernel.applied) == 1

    enforce(store, kernel, then)
    assert handled(store, QUBE) == b"1"


@pytest.mark.parametrize("count", [b"41", b"x", b"9" * 100, b""])
def test_the_acknowledgement_counts_on(count: bytes) -> None:
    store = MemoryStore()
    store.publish(QUBE, [])
    store.put(f"/qubes-firewall-handled/{QUBE}", count)
    enforce(store, Kernel())
    assert handled(store, QUBE) == (b"42" if count == b"41" else b"1")


@pytest.mark.parametrize(
    "name",
    ["x", "10.137.0.020", "10.137.0.0/24", "FD09::14", "fe80::1%vif1", "../up"],
)
def test_what_is_no_address_in_a_path_changes_nothing(name: str) -> None:
    store, kernel = MemoryStore(), Kernel()
    store.publish(QUBE, ["action=accept"])
    store.values[f"/qubes-firewall/{name}"] = b""
    store.values[f"/qubes-firewall/{name}/policy"] = b"accept"

    async def then(enforcer: OutboundEnforcer) -> None:
        await enforcer.on_change(f"/qubes-firewall/{name}")
        assert kernel.applied == []

    enforce(store, kernel, then)
    assert handled(store, QUBE) == b"1"


def test_another_spelling_of_an_address_is_another_source_to_nobody() -> None:
    store, kernel = MemoryStore(), Kernel()
    store.publish(QUBE6, ["action=accept"])
    store.publish("FD09::14", ["action=drop"])
    enforce(store, kernel)
    assert "chain qbs-fd09--14 {\naccept\n" in kernel.applied[0]


def test_a_change_touches_that_source_only() -> None:
    store, kernel = MemoryStore(), Kernel()
    store.publish(QUBE, ["action=accept"])
    store.publish(OTHER, ["action=accept"])

    async def then(enforcer: OutboundEnforcer) -> None:
        await enforcer.on_change(store.publish(QUBE, ["action=drop"]))
        (commands,) = kernel.applied
        assert "flush chain ip qubes-firewall qbs-10-137-0-20" in commands
        assert OTHER.replace(".", "-") not in commands

    enforce(store, kernel, then)
    assert handled(store, QUBE) == b"2"
    assert handled(store, OTHER) == b"1"


def test_when_too_much_has_changed_everything_is_read_again() -> None:
    store, kernel = MemoryStore(), Kernel()
    store.publish(QUBE, ["action=accept"])

    async def then(enforcer: OutboundEnforcer) -> None:
        store.withdraw(QUBE)
        store.publish(OTHER, ["action=accept"])
        await enforcer.on_change("/qubes-firewall/")
        assert QUBE not in kernel.applied[0]
        assert f"{OTHER} : jump" in kernel.applied[0]

    enforce(store, kernel, then)
    assert handled(store, QUBE) == b"1"
    assert handled(store, OTHER) == b"1"


def test_a_source_that_never_had_rules_can_be_withdrawn() -> None:
    store, kernel = MemoryStore(), Kernel()

    async def then(enforcer: OutboundEnforcer) -> None:
        await enforcer.on_change(store.withdraw(QUBE))
        assert kernel.applied == []

    enforce(store, kernel, then)


def test_a_committed_source_without_keys_is_rejected_all_the_same() -> None:
    store, kernel = MemoryStore(), Kernel()
    commit = store.publish(QUBE, ["action=accept"], policy="accept")

    async def then(enforcer: OutboundEnforcer) -> None:
        store.withdraw(QUBE)
        store.put(commit, b"")
        await enforcer.on_change(commit)
        assert "accept" not in kernel.applied[0]
        assert "reject" in kernel.applied[0]

    enforce(store, kernel, then)


def test_rules_that_the_kernel_refuses_shut_their_source_only() -> None:
    store, kernel = MemoryStore(), Kernel()
    store.publish(QUBE, [f"action=accept dst4={REFUSES}/32"])
    store.publish(OTHER, ["action=accept"])
    enforce(store, kernel)
    base, *sources = kernel.applied
    assert "policy drop" in base
    ours = next(text for text in sources if "qbs-10-137-0-20" in text)
    assert "accept" not in ours
    assert "reject" in ours
    assert any("accept" in text for text in sources if "qbs-10-137-0-21" in text)
    assert handled(store, QUBE) == b"1"


def test_nothing_is_acknowledged_while_the_kernel_refuses_all() -> None:
    store, kernel = MemoryStore(), Kernel()
    store.publish(QUBE, ["action=accept"])

    async def then(enforcer: OutboundEnforcer) -> None:
        kernel.refuses_all = True
        await enforcer.on_change(store.publish(QUBE, ["action=drop"]))
        assert handled(store, QUBE) == b"1"
        kernel.refuses_all = False
        enforcer.repair()
        assert "accept\n}" not in kernel.applied[0]

    enforce(store, kernel, then)


def test_a_name_is_applied_empty_at_once_and_again_with_its_addresses() -> None:
    store, kernel = MemoryStore(), Kernel()
    store.publish(OTHER, ["action=accept"])
    hold = threading.Event()

    def lookup(name: str) -> list[str]:
        hold.wait(5)
        return ["192.0.2.1"]

    async def then(enforcer: OutboundEnforcer) -> None:
        rules = ["action=accept dsthost=a.example", "action=accept dst4=192.0.2.9/32"]
        await enforcer.on_change(store.publish(QUBE, rules))
        assert "192.0.2.9" in kernel.applied[0]
        assert "192.0.2.1" not in kernel.applied[0]
        assert handled(store, QUBE) == b"1"
        hold.set()
        await until(lambda: len(kernel.applied) == 2)
        assert "192.0.2.1" in kernel.applied[1]
        assert OTHER not in kernel.applied[1]
        await enforcer.on_change(store.publish(QUBE, rules[:1]))
        assert "192.0.2.1" in kernel.applied[2]

    enforce(store, kernel, then, lookup)


def test_answers_that_come_together_are_applied_together() -> None:
    store, kernel = MemoryStore(), Kernel()
    names = [f"host{number}.example" for number in range(50)]
    store.publish(QUBE, [f"action=accept dsthost={name}" for name in names])
    addresses = {name: f"192.0.2.{number}" for number, name in enumerate(names)}

    async def then(enforcer: OutboundEnforcer) -> None:
        # 192.0.2.0 to .49, merged: the last range is there once all have come.
        await until(lambda: any("192.0.2.48/31" in text for text in kernel.applied))
        assert "192.0.2.0/27" in kernel.applied[-1]
        assert len(kernel.applied) <= 5

    enforce(store, kernel, then, lambda name: [addresses[name]])


def test_new_dns_servers_reach_the_rules_that_mean_them() -> None:
    store, kernel = MemoryStore(), Kernel()
    store.publish(QUBE, ["action=accept specialtarget=dns"])

    async def then(enforcer: OutboundEnforcer) -> None:
        store.put("/qubes-netvm-secondary-dns", b"10.139.1.2")
        await enforcer.on_change("/qubes-netvm-secondary-dns")
        assert "10.139.1.2" in kernel.applied[0]

    enforce(store, kernel, then)


def test_connected_addresses_are_parsed_before_use() -> None:
    store, kernel = MemoryStore(), Kernel()

    async def then(enforcer: OutboundEnforcer) -> None:
        store.put("/connected-ips", b'10.137.0.20 }" \xff fd09::14 10.137.0.21')
        await enforcer.on_change("/connected-ips")
        (commands,) = kernel.applied
        assert "{ 10.137.0.20, 10.137.0.21 }" in commands
        store.put("/connected-ips", b"")
        await enforcer.on_change("/connected-ips")
        assert "10.137" not in kernel.applied[1]

    enforce(store, kernel, then)


def test_connections_that_the_rules_permit_no_more_are_cut() -> None:
    flows = {
        port: Flow(TCP, ip_address("192.0.2.1"), ip_address("192.0.2.1"), port)
        for port in (80, 443)
    }
    cut: list[dict[Address, set[int]]] = []

    def cut_flows(permitted: Mapping[Address, Callable[[Flow], bool]]) -> None:
        cut.append(
            {
                source: {port for port, flow in flows.items() if not check(flow)}
                for source, check in permitted.items()
            }
        )

    async def run() -> None:
        store = MemoryStore()
        source = ip_address(QUBE)
        store.publish(QUBE, ["action=accept"])
        enforcer = OutboundEnforcer(
            store, partial(OutboundTables, Kernel()), cut_flows=cut_flows
        )
        await enforcer.start()
        await enforcer.on_change(
            store.publish(QUBE, ["action=accept proto=tcp dstports=80-90"])
        )
        await enforcer.on_change(store.withdraw(QUBE))
        assert cut == [{source: set()}, {source: {443}}, {source: {80, 443}}]
        await enforcer.aclose()

    asyncio.run(run())


def test_it_follows_a_real_qubesdb() -> None:
    """From the write in dom0 to the acknowledgement that dom0 sees."""
    kernel = Kernel()

    async def run(directory: Path) -> None:
        server = QubesDBServer()
        path = str(directory / "qubesdb.sock")
        await server.listen(path)
        dom0, qube = await QubesDB.connect(path), await QubesDB.connect(path)
        enforcer = OutboundEnforcer(qube, partial(OutboundTables, kernel))
        await enforcer.start()
        kernel.applied.clear()
        await dom0.watch(f"/qubes-firewall-handled/{QUBE}")
        follower = asyncio.create_task(follow(qube, enforcer))
        await dom0.write_many(
            [
                (f"/qubes-firewall/{QUBE}/policy", b"drop"),
                (f"/qubes-firewall/{QUBE}/0000", b"action=accept proto=tcp"),
                (f"/qubes-firewall/{QUBE}", b""),
            ]
        )
        async with asyncio.timeout(5):
            await dom0.next_event()
            (commands,) = kernel.applied
            assert "meta l4proto 6 accept" in commands
            await dom0.rm_many([f"/qubes-firewall/{QUBE}/", f"/qubes-firewall/{QUBE}"])
            await dom0.next_event()
            assert "delete chain ip qubes-firewall" in kernel.applied[1]
        follower.cancel()
        for closing in (enforcer, dom0, qube):
            await closing.aclose()
        server.close()

    async def follow(qube: QubesDB, enforcer: OutboundEnforcer) -> None:
        while True:
            await enforcer.on_change(await qube.next_event())

    with short_directory() as directory:
        asyncio.run(run(directory))
