# SPDX-License-Identifier: GPL-2.0-or-later
"""Beside a stock Qubes: what is Qubes' own stays as it is, with us and without us."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.forwards import dom0, forwarded
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.standing import eventually
from tests.lab.traffic import Answer, probe, serving

pytestmark = pytest.mark.lab

RULE = "forwardtype=external proto=tcp srcports=443 dstports=8443"
NET, LAN, SERVER = "192.168.1.10", "192.168.1.20", "198.51.100.2"
HOPS = ("sys-net", "sys-firewall")


@pytest.fixture(scope="module")
def beside() -> Iterator[RunningLab]:
    with running_lab(setting="beside") as one:
        yield one


def stock_table(lab: RunningLab, hop: str) -> str:
    return lab.check(hop, "nft", "list", "table", "ip", "qubes-firewall")


def stock_keys(lab: RunningLab, hop: str) -> str:
    return lab.check("dom0", "qubesdb-multiread", "-d", hop, "-f", "/qubes-firewall/")


def test_a_forward_changes_nothing_of_the_stock_parts(beside: RunningLab) -> None:
    # What established connections change, counters, stands in none of it.
    before = [(stock_table(beside, hop), stock_keys(beside, hop)) for hop in HOPS]
    with serving(beside, "work", [8443]), forwarded(beside, "work", RULE):
        assert probe(beside, "lan", NET, 443) == Answer("work", LAN, 8443)
        during = [(stock_table(beside, hop), stock_keys(beside, hop)) for hop in HOPS]
        beside.run("service", "sys-firewall", "restart", "qubes-forward-agent")
        beside.run("service", "dom0", "restart", "qubes-forwardd")
        assert probe(beside, "lan", NET, 443) == Answer("work", LAN, 8443)
        # A command right after the restart would find nobody who serves it yet.
        eventually(lambda: beside.exec("dom0", ["qvm-forward"]).returncode, 0)
    after = [(stock_table(beside, hop), stock_keys(beside, hop)) for hop in HOPS]
    assert before == during == after
    files = beside.check("dom0", "find", "/var/lib/qubes", "-name", "firewall.xml")
    assert files == ""


def test_outbound_rules_hold_without_us(beside: RunningLab) -> None:
    with serving(beside, "internet", [80]):
        assert probe(beside, "work", SERVER, 80) is not None
        ours = [("dom0", "qubes-forwardd"), ("sys-firewall", "qubes-forward-agent")]
        for where, unit in ours:
            beside.run("service", where, "stop", unit)
        try:
            dom0(beside, "qvm-firewall", "work", "del", "--rule-no", "0")
            eventually(lambda: probe(beside, "work", SERVER, 80), None)
            said = dom0(beside, "qvm-firewall", "work").stderr
            assert "port forwards are not shown" in said
            dom0(beside, "qvm-firewall", "work", "reset")
            eventually(lambda: probe(beside, "work", SERVER, 80) is not None, True)
        finally:
            for where, unit in ours:
                beside.run("service", where, "start", unit)


def test_forwards_hold_through_a_restart_of_the_stock_agent(
    beside: RunningLab,
) -> None:
    with serving(beside, "work", [8443]), forwarded(beside, "work", RULE):
        beside.run("service", "sys-firewall", "restart", "qubes-firewall")
        assert probe(beside, "lan", NET, 443) == Answer("work", LAN, 8443)


def test_both_lists_are_one_to_qvm_firewall(beside: RunningLab) -> None:
    with forwarded(beside, "work", RULE):
        dom0(beside, "qvm-firewall", "work", "add", "drop", SERVER)
        raw = dom0(beside, "qvm-firewall", "--raw", "work").stdout.splitlines()
        words = [line.split(" ")[0] for line in raw]
        assert words == ["action=accept", "action=drop", "action=forward"]
        dom0(beside, "qvm-firewall", "work", "del", "--rule-no", "2")
        dom0(beside, "qvm-firewall", "work", "del", "--rule-no", "1")
        raw = dom0(beside, "qvm-firewall", "--raw", "work").stdout
        assert raw == "action=accept\n"
