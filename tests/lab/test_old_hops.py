# SPDX-License-Identifier: GPL-2.0-or-later
"""A hop without nftables between others that have it, and a target without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qubesforward.lab.topology import DEFAULT_TOPOLOGY
from tests.lab.forwards import dom0, forwarded
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.traffic import Answer, probe, probe_all, serving

pytestmark = pytest.mark.lab

NET, NET6 = "192.168.1.10", "2001:db8:1::10"
LAN, LAN6 = "192.168.1.20", "2001:db8:1::20"
EXTERNAL = "forwardtype=external srcports=443 dstports=8443"
OLD = ("sys-firewall", "personal")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    text = DEFAULT_TOPOLOGY.read_text()
    for name in OLD:
        head = f"[qubes.{name}]\n"
        assert head in text
        text = text.replace(head, f'{head}backend = "iptables"\n')
    file = tmp_path_factory.mktemp("topology") / "topology.toml"
    file.write_text(text)
    with running_lab(file) as one:
        yield one


def test_the_old_ones_have_chosen_iptables_by_themselves(lab: RunningLab) -> None:
    for name in OLD:
        assert "QBS-FWD-FORWARD" in lab.check(name, "iptables", "-S")
    for name in ("sys-net", "work"):
        assert "QBS-FWD-FORWARD" not in lab.check(name, "iptables", "-S")


@pytest.mark.parametrize("qube", ["work", "personal"])
def test_a_forward_leads_through_both_kinds(lab: RunningLab, qube: str) -> None:
    tried = [(p, a, 443) for p in ("tcp", "udp") for a in (NET, NET6)]
    with serving(lab, qube, [8443]):
        with forwarded(lab, qube, EXTERNAL):
            seen = probe_all(lab, "lan", tried)
            assert seen == [Answer(qube, LAN, 8443), Answer(qube, LAN6, 8443)] * 2
        assert probe_all(lab, "lan", tried) == [None] * 4


def test_outbound_rules_apply_to_internal_forwards(lab: RunningLab) -> None:
    hop = dom0(lab, "qvm-prefs", "sys-firewall", "ip").stdout.strip()
    rule = "forwardtype=internal srcports=80 dstports=8000"
    with serving(lab, "work", [8000]), forwarded(lab, "work", rule):
        assert probe(lab, "personal", hop, 80) is not None
        dom0(lab, "qvm-firewall", "personal", "del", "--rule-no", "0")
        try:
            assert probe(lab, "personal", hop, 80) is None
        finally:
            dom0(lab, "qvm-firewall", "personal", "reset")
