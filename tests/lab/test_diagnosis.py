# SPDX-License-Identifier: GPL-2.0-or-later
"""Broken setups, each of which ``qvm-forward --diagnose`` must tell from the others."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.lab import broken
from tests.lab.broken import HOP, LAN, Broken, with_rules
from tests.lab.forwards import PATIENCE, dom0
from tests.lab.running_lab import RunningLab
from tests.lab.traffic import probe

pytestmark = pytest.mark.lab

DROP_IN_HOP = with_rules(
    HOP,
    "insert rule ip qubes custom-forward tcp dport 8443 drop",
    "flush chain ip qubes custom-forward",
)
DROP_IN_TARGET = with_rules(
    "work",
    "insert rule ip qubes custom-input tcp dport 8000-9000 reject",
    "flush chain ip qubes custom-input",
)
OTHER_TABLE = with_rules(
    "sys-net",
    "add table inet other; add chain inet other guard"
    " { type filter hook forward priority 10; policy drop; };"
    " add rule inet other guard tcp dport 22 accept",
    "delete table inet other",
)

SETUPS: dict[str, tuple[Broken, str]] = {
    "target halted": (broken.target_halted, "work is halted: start it"),
    "target paused": (broken.target_paused, "work is paused"),
    "netvm halted": (broken.netvm_halted, "sys-firewall is halted: start it"),
    "no netvm": (broken.no_netvm, "work has no netvm; give it one"),
    "agent dead": (broken.agent_dead, "The agent in sys-firewall was stopped"),
    "agent hangs": (broken.agent_stopped, "The agent in sys-firewall does not answer"),
    "no service": (broken.nothing_listens, "Nothing listens on tcp port 8443 of work"),
    "loopback": (broken.only_loopback, "listens on 127.0.0.1 only"),
    "drop in a hop": (DROP_IN_HOP, "A rule in sys-firewall drops the packets, 'tcp"),
    "drop in the target": (DROP_IN_TARGET, "reject' in ip qubes custom-input"),
    "another table": (OTHER_TABLE, "in sys-net drops the packets, 'policy drop' in"),
    "base rules gone": (broken.base_rules_gone, "base rules of Qubes are missing in"),
    "conflict": (broken.conflict, "personal has port 443 of sys-net already: close"),
    "copy": (broken.unconfirmed, "qvm-firewall copy confirm"),
    "tunnel": (broken.tunnel, "bypass tunnel tun0): open it again with --bypass"),
}
QUBES = {"copy": "copy", "tunnel": "media"}


def diagnose(lab: RunningLab, qube: str, *more: str) -> tuple[int, dict[str, Any]]:
    """Return the exit status and what is said of the one forward."""
    words = ["qvm-forward", qube, "--diagnose", "443", "--json", *more]
    done = dom0(lab, *words, ok=False)
    assert not done.stderr, done.stderr
    (forward,) = json.loads(done.stdout)["forwards"]
    return done.returncode, forward


def bad_findings(forward: dict[str, Any]) -> list[str]:
    told = [("", forward["findings"])]
    told += [(hop["qube"], hop["findings"]) for hop in forward["hops"]]
    return [
        f"{name}: {one['text']}"
        for name, found in told
        for one in found
        if one["mark"] == "bad"
    ]


@pytest.mark.parametrize("name", SETUPS)
def test_each_broken_setup_is_told_by_its_cause(lab: RunningLab, name: str) -> None:
    breaking, cause = SETUPS[name]
    qube = QUBES.get(name, "work")
    with breaking(lab):
        # What was broken a moment ago is noticed within a second (design, 9.8).
        end = time.monotonic() + PATIENCE
        while True:
            status, forward = diagnose(lab, qube)
            if cause in forward["sentence"] or time.monotonic() > end:
                break
    assert cause in forward["sentence"], forward
    assert status == 1
    others = [other for _make, other in SETUPS.values() if other != cause]
    assert not any(other in forward["sentence"] for other in others)
    assert bad_findings(forward)


def test_who_may_not_connect_is_told_so(lab: RunningLab) -> None:
    with broken.only_for_lan(lab):
        status, forward = diagnose(lab, "work", "--from", "192.168.1.21")
        assert forward["sentence"] == (
            "192.168.1.21 may not connect, only 192.168.1.20/32 may: open the port for"
            " it too (--from 192.168.1.21)."
        )
        assert status == 1
        status, forward = diagnose(lab, "work", "--from", LAN)
        assert (status, bad_findings(forward)) == (0, [])
        (who,) = (one["text"] for one in forward["findings"])
        assert who == "may connect: 192.168.1.20/32, so 192.168.1.20 may"


def test_nobody_has_tried_yet_and_then_all_is_well(lab: RunningLab) -> None:
    with broken.sound(lab):
        status, forward = diagnose(lab, "work")
        assert (status, bad_findings(forward)) == (0, [])
        assert (
            "nobody has tried yet: connect to 192.168.1.10:443" in (forward["sentence"])
        )
        assert probe(lab, "lan", "192.168.1.10", 443) is not None
        status, forward = diagnose(lab, "work")
        assert (status, bad_findings(forward)) == (0, [])
        assert forward["sentence"].startswith("All is well: ")


def test_packets_that_a_rule_may_have_stopped_are_missed(lab: RunningLab) -> None:
    # What is in the set cannot be seen from the rule.
    make = (
        "add set ip qubes banned { type ipv4_addr; };"
        f" add element ip qubes banned {{ {LAN} }};"
        " insert rule ip qubes custom-forward ip saddr @banned drop"
    )
    remove = "flush chain ip qubes custom-forward; delete set ip qubes banned"
    with with_rules(HOP, make, remove)(lab):
        status, forward = diagnose(lab, "work")
        assert status == 0
        assert probe(lab, "lan", "192.168.1.10", 443) is None
        status, forward = diagnose(lab, "work")
        assert status == 1
        assert forward["sentence"] == (
            "Packets pass sys-firewall and none comes to work: look at 'ip saddr"
            " @banned drop' in ip qubes custom-forward, which may stop it."
        )


def test_the_words_name_every_qube_of_the_path(lab: RunningLab) -> None:
    with broken.sound(lab):
        done = dom0(lab, "qvm-forward", "work", "--diagnose", "443/tcp")
    lines = done.stdout.splitlines()
    assert lines[0] == "443:8443/tcp  external  active"
    assert [line.strip() for line in lines if line.startswith("  s")] == [
        "sys-net",
        "sys-firewall",
    ]
    assert "    ok    a service listens on tcp port 8443 of ::" in lines


def test_a_port_that_nobody_forwards_is_refused(lab: RunningLab) -> None:
    with broken.sound(lab):
        done = dom0(lab, "qvm-forward", "work", "--diagnose", "80", ok=False)
    assert done.returncode == 1
    assert "work has no such forward: 80; there is 443/tcp" in done.stderr
