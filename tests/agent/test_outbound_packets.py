# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules against real packets, from QubesDB keys to what gets through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubesforward.agent.outbound import OutboundEnforcer
from qubesforward.agent.outbound_tables import OutboundTables
from qubesforward.model.rule import OutboundRule
from qubesforward.model.text import parse_rule
from qubesforward.nft.outbound_match import TCP, UDP, Flow, permits, plan_matches
from tests.agent.memory_store import MemoryStore
from tests.agent.outbound_world import (
    CLIENT,
    CLIENT6,
    DNS,
    GATEWAY,
    OTHER,
    SECOND,
    SECOND6,
    SERVER,
    SERVER6,
    World,
    make_world,
)

REJECTED = {4: "EHOSTUNREACH", 6: "EACCES"}
"""What admin-prohibited is to the one who dials.

For IPv6 tell it by UDP: here the answer to a SYN comes while connect() still holds
the socket, and then the kernel does not show it to the caller.
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with make_world() as world:
        yield world


def apply(world: World, store: MemoryStore, names: dict[str, list[str]]) -> None:
    async def run() -> None:
        enforcer = OutboundEnforcer(
            store, partial(OutboundTables, world.hop.nft), lookup=names.__getitem__
        )
        await enforcer.start()
        async with asyncio.timeout(5):
            while names and "daddr" not in world.hop.run("nft list ruleset"):
                await asyncio.sleep(0.02)
        await enforcer.aclose()

    asyncio.run(run())


def apply_rules(world: World, *rules: str, policy: str = "drop") -> None:
    """Give both addresses of the client these rules, and the other qube all."""
    store = MemoryStore()
    store.publish(CLIENT, rules, policy)
    store.publish(CLIENT6, rules, policy)
    store.publish(OTHER, ["action=accept"])
    store.put("/qubes-netvm-primary-dns", DNS.encode())
    store.put("/qubes-netvm-secondary-dns", SECOND6.encode())
    apply(world, store, {})


def test_a_source_without_rules_gets_nothing_out(world: World) -> None:
    apply(world, MemoryStore(), {})
    assert world.dial("tcp", SERVER, 80) == "timeout"
    assert world.dial("tcp", SERVER6, 80) == "timeout"


def test_what_comes_in_by_the_uplink_is_not_asked(world: World) -> None:
    apply(world, MemoryStore(), {})
    assert world.dial_from_outside("tcp", CLIENT, 80) == "open"
    assert world.dial_from_outside("tcp", CLIENT6, 80) == "open"


def test_accept_by_address_leaves_the_neighbour_address_shut(world: World) -> None:
    apply_rules(
        world, f"action=accept dst4={SERVER}/32", f"action=accept dst6={SERVER6}/128"
    )
    assert world.dial("tcp", SERVER, 80) == "open"
    assert world.dial("udp", SERVER6, 53) == "open"
    assert world.dial("icmp", SERVER) == "open"
    assert world.dial("tcp", SECOND, 80) == REJECTED[4]
    assert world.dial("udp", SECOND, 53) == REJECTED[4]
    assert world.dial("udp", SECOND6, 80) == REJECTED[6]


def test_accept_by_network_with_host_bits(world: World) -> None:
    apply_rules(world, "action=accept dst4=192.168.77.9/30")
    assert world.dial("tcp", SERVER, 80) == REJECTED[4]
    apply_rules(world, "action=accept dst4=192.168.77.1/30")
    assert world.dial("tcp", SERVER, 80) == "open"


def test_the_first_matching_rule_decides(world: World) -> None:
    apply_rules(
        world,
        f"action=accept dst4={SERVER}/32 proto=tcp dstports=80-80",
        f"action=drop dst4={SERVER}/32",
        "action=accept",
    )
    assert world.dial("tcp", SERVER, 80) == "open"
    assert world.dial("tcp", SERVER, 443) == REJECTED[4]
    assert world.dial("tcp", SECOND, 443) == "open"
    assert world.dial("tcp", SERVER6, 443) == "open"


def test_ports_are_compared_as_numbers(world: World) -> None:
    apply_rules(world, "action=accept proto=tcp dstports=80-1000")
    assert world.dial("tcp", SERVER, 443) == "open"
    assert world.dial("tcp", SERVER6, 1000) == "open"
    assert world.dial("tcp", SERVER, 22) == REJECTED[4]
    assert world.dial("udp", SERVER, 443) == REJECTED[4]


def test_the_port_that_is_none_does_not_spoil_a_range(world: World) -> None:
    apply_rules(world, "action=accept proto=tcp dstports=443-65536")
    assert world.dial("tcp", SERVER, 1000) == "open"
    apply_rules(world, "action=accept proto=tcp dstports=65536-65536")
    assert world.dial("tcp", SERVER, 1000) == REJECTED[4]


def test_accept_policy_is_what_is_left(world: World) -> None:
    apply_rules(world, "action=drop proto=udp", policy="accept")
    assert world.dial("tcp", SERVER, 80) == "open"
    assert world.dial("udp", SERVER6, 80) == REJECTED[6]


def test_icmp_means_that_of_each_family(world: World) -> None:
    apply_rules(world, "action=accept proto=icmp")
    assert world.dial("icmp", SERVER) == "open"
    assert world.dial("icmp", SERVER6) == "open"
    assert world.dial("udp", SERVER, 80) == REJECTED[4]


def test_icmp_types_stand_as_written(world: World) -> None:
    apply_rules(world, "action=accept proto=icmp icmptype=8")
    assert world.dial("icmp", SERVER) == "open"
    assert world.dial("icmp", SERVER6) == "timeout"
    apply_rules(world, "action=accept proto=icmp icmptype=128")
    assert world.dial("icmp", SERVER) == "timeout"
    assert world.dial("icmp", SERVER6) == "open"


def test_dns_is_the_servers_that_the_netvm_names_and_no_other(world: World) -> None:
    apply_rules(world, "action=accept specialtarget=dns")
    assert world.dial("udp", DNS, 53) == "open"
    assert world.dial("tcp", DNS, 53) == "open"
    assert world.dial("udp", SECOND6, 53) == "open"
    assert world.dial("tcp", DNS, 80) == REJECTED[4]
    assert world.dial("udp", SERVER, 53) == REJECTED[4]
    apply_rules(world, "action=accept proto=udp specialtarget=dns")
    assert world.dial("udp", DNS, 53) == "open"
    assert world.dial("tcp", DNS, 53) == REJECTED[4]


def test_dns_works_where_the_netvm_translates_the_servers(world: World) -> None:
    world.hop.nft(
        "table ip base { chain dnat-dns {\n"
        "type nat hook prerouting priority dstnat\n"
        f"ip daddr {DNS} dnat to {SERVER}\n"
        "}\n}\n"
    )
    try:
        apply_rules(world, "action=accept specialtarget=dns")
        assert world.dial("udp", DNS, 53) == "open"
        assert world.dial("udp", SERVER, 53) == REJECTED[4]
    finally:
        world.hop.nft("delete table ip base\n")


def test_names_let_all_their_addresses_through(world: World) -> None:
    store = MemoryStore()
    for source in (CLIENT, CLIENT6):
        store.publish(source, ["action=accept dsthost=both.example"])
    names = {"both.example": [SERVER, SECOND, SERVER6, "fe80::1%eth0"]}
    apply(world, store, names)
    assert world.dial("tcp", SERVER, 80) == "open"
    assert world.dial("tcp", SECOND, 80) == "open"
    assert world.dial("tcp", SERVER6, 80) == "open"
    assert world.dial("udp", SECOND6, 80) == REJECTED[6]


def test_an_unreadable_rule_shuts_what_comes_after_it_only(world: World) -> None:
    apply_rules(
        world,
        "action=accept proto=tcp dstports=80-80",
        "action=accept proto=tcp dstports=80-99999",
        "action=accept",
    )
    assert world.dial("tcp", SERVER, 80) == "open"
    assert world.dial("tcp", SERVER, 443) == REJECTED[4]
    assert world.dial_from_other("tcp", SERVER, 443) == "open"


def test_an_internal_forward_is_judged_by_target_and_inner_port(world: World) -> None:
    world.hop.nft(
        "table ip base { chain forwards {\n"
        "type nat hook prerouting priority dstnat - 5\n"
        f"ip daddr {GATEWAY} tcp dport 8080 dnat to {OTHER}:80\n"
        "}\n}\n"
    )
    try:
        apply_rules(world, f"action=accept dst4={OTHER}/32 proto=tcp dstports=80-80")
        assert world.dial("tcp", GATEWAY, 8080) == "open"
        apply_rules(world, f"action=accept dst4={GATEWAY}/32")
        assert world.dial("tcp", GATEWAY, 8080) == REJECTED[4]
    finally:
        world.hop.nft("delete table ip base\n")


def test_a_withdrawn_source_is_shut_and_its_neighbour_is_not(world: World) -> None:
    async def run() -> None:
        store = MemoryStore()
        store.publish(OTHER, ["action=accept"])
        commit = store.publish(CLIENT, ["action=accept"])
        enforcer = OutboundEnforcer(store, partial(OutboundTables, world.hop.nft))
        await enforcer.start()
        assert world.dial("tcp", SERVER, 80) == "open"
        store.withdraw(CLIENT)
        await enforcer.on_change(commit)
        assert world.dial("tcp", SERVER, 80) == "timeout"
        assert world.dial_from_other("tcp", SERVER, 80) == "open"
        assert "qbs-10-137-0-20" not in world.hop.run("nft list ruleset")
        store.publish(CLIENT, ["action=accept"])
        await enforcer.on_change(commit)
        assert world.dial("tcp", SERVER, 80) == "open"
        await enforcer.aclose()

    asyncio.run(run())


def test_a_commit_after_a_flushed_ruleset_puts_all_back(world: World) -> None:
    async def run() -> None:
        store = MemoryStore()
        store.publish(OTHER, ["action=drop"])
        commit = store.publish(CLIENT, ["action=accept"])
        enforcer = OutboundEnforcer(store, partial(OutboundTables, world.hop.nft))
        await enforcer.start()
        world.hop.nft("flush ruleset\n")
        assert world.dial_from_other("tcp", SERVER, 80) == "open"
        await enforcer.on_change(commit)
        assert world.dial_from_other("tcp", SERVER, 80) == REJECTED[4]
        assert world.dial("tcp", SERVER, 80) == "open"
        await enforcer.aclose()

    asyncio.run(run())


def test_addresses_of_qubes_are_taken_from_their_vifs_only(world: World) -> None:
    store = MemoryStore()
    store.publish(CLIENT, ["action=accept"])
    store.put("/connected-ips", f"{CLIENT} {OTHER}".encode())
    world.server.run(f"ip addr add {OTHER}/32 dev eth0")
    world.hop.run(f"ip route del {OTHER} dev vif2.0", f"ip route add {OTHER} dev eth0")
    try:
        apply(world, MemoryStore(), {})
        assert world.dial_from_outside("tcp", GATEWAY, 80) == "ECONNREFUSED"
        apply(world, store, {})
        assert world.dial("tcp", OTHER, 80) == "timeout"
        assert world.dial("tcp", SERVER, 80) == "open"
    finally:
        world.server.run(f"ip addr del {OTHER}/32 dev eth0")
        world.hop.run(
            f"ip route del {OTHER} dev eth0", f"ip route add {OTHER} dev vif2.0"
        )


_AGENT = """
import asyncio, sys
from functools import partial
from qubesforward.agent.kernel import Kernel
from qubesforward.agent.outbound import OutboundEnforcer
from qubesforward.agent.outbound_flows import OutboundFlows
from qubesforward.agent.outbound_tables import OutboundTables
from tests.agent.memory_store import MemoryStore
async def main():
    store, kernel, flows = MemoryStore(), Kernel(), OutboundFlows()
    make_tables = partial(OutboundTables, kernel.run_nft)
    enforcer = OutboundEnforcer(store, make_tables, cut_flows=flows.cut)
    await enforcer.start()
    for line in sys.stdin:
        source, *rules = line.strip().split(";")
        await enforcer.on_change(store.publish(source, rules))
        print("applied", flush=True)
asyncio.run(main())
"""
"""Runs in the hop, as the agent does, with its own hands on the kernel."""


@pytest.mark.parametrize(("source", "server"), [(CLIENT, SERVER), (CLIENT6, SERVER6)])
def test_a_running_connection_ends_when_it_is_permitted_no_more(
    world: World, source: str, server: str
) -> None:
    agent = world.hop.script(_AGENT)

    def publish(*rules: str) -> None:
        assert agent.stdin is not None
        assert agent.stdout is not None
        print(";".join([source, *rules]), file=agent.stdin, flush=True)
        assert agent.stdout.readline() == "applied\n"

    publish("action=accept")
    assert world.dial("hold", server, 443) == "open"
    publish("action=accept proto=tcp dstports=22-22")
    assert world.dial("again") != "open"
    assert world.dial("hold", server, 22) == "open"
    publish("action=accept proto=tcp dstports=8-1000")
    assert world.dial("again") == "open"
    agent.kill()


_words = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["action=accept", "action=drop"]),
        st.sampled_from(["", f"dst4={SERVER}/32", f"dst4={SECOND}/31"]),
        st.sampled_from(["", "proto=udp", "proto=tcp", "proto=tcp dstports=80-443"]),
    ),
)


@given(st.lists(_words, max_size=5))
@settings(max_examples=15, deadline=None)
def test_the_kernel_and_the_plan_agree_on_every_connection(
    world: World, rules: list[str]
) -> None:
    apply_rules(world, *rules)
    parsed = [parse_rule(rule) for rule in rules]
    matches = plan_matches(
        [r for r in parsed if isinstance(r, OutboundRule)], 4, {}, []
    )
    for kind, proto in (("tcp", TCP), ("udp", UDP)):
        for host in (SERVER, SECOND):
            for port in (22, 80, 443):
                flow = Flow(proto, ip_address(host), ip_address(host), port)
                expected = "open" if permits(matches, flow) else REJECTED[4]
                assert world.dial(kind, host, port) == expected, flow
