# SPDX-License-Identifier: GPL-2.0-or-later
"""A target without our agent, as Windows is: it is reached up to its own door."""

from collections.abc import Iterator

import pytest

from qubesforward.lab.topology import DEFAULT_TOPOLOGY
from tests.lab.forwards import dom0, forwarded, forwards_of
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.traffic import Answer, probe, probe_all, serving

pytestmark = pytest.mark.lab

NET, LAN = "192.168.1.10", "192.168.1.20"
EXTERNAL = "forwardtype=external srcports=443 dstports=8443"

QUBES = """
[qubes.windows]
class = "StandaloneVM"
label = "purple"
netvm = "sys-firewall"
autostart = true
agent = false

[qubes.sys-mirage]
class = "AppVM"
label = "orange"
template = "debian-12"
netvm = "sys-net"
provides_network = true
agent = false

[qubes.behind]
class = "AppVM"
label = "green"
template = "debian-12"
netvm = "sys-mirage"
"""

OPENED = "ct state new th dport 8443 counter accept"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    file = tmp_path_factory.mktemp("topology") / "topology.toml"
    file.write_text(DEFAULT_TOPOLOGY.read_text() + QUBES)
    with running_lab(file) as one:
        yield one


def test_it_is_active_when_its_hops_have_it_and_its_own_firewall_is_its_own(
    lab: RunningLab,
) -> None:
    with serving(lab, "windows", [8443]), forwarded(lab, "windows", EXTERNAL):
        assert {step["qube"] for step in forwards_of(lab, "windows")[0]["path"]} == {
            "sys-net",
            "sys-firewall",
        }
        assert probe(lab, "lan", NET, 443) is None
        rule = [
            "ip",
            "qubes",
            "custom-input",
            "meta",
            "l4proto",
            "tcp",
            *OPENED.split(),
        ]
        lab.check("windows", "nft", "add", "rule", *rule)
        assert probe(lab, "lan", NET, 443) == Answer("windows", LAN, 8443)
    assert probe_all(lab, "lan", [("tcp", NET, 443)]) == [None]


def test_the_status_says_whose_business_its_firewall_is(lab: RunningLab) -> None:
    with forwarded(lab, "windows", EXTERNAL):
        told = dom0(lab, "qvm-forward", "windows").stdout
        assert "the firewall of windows itself is its own business" in told


def test_a_hop_without_an_agent_is_in_the_way(lab: RunningLab) -> None:
    added = dom0(
        lab, "qvm-firewall", "behind", "add", "action=forward", *EXTERNAL.split()
    )
    assert added.returncode == 0
    (forward,) = forwards_of(lab, "behind")
    assert forward["state"] == "unreachable"
    assert forward["reason"] == "sys-mirage has no forwarding agent"
    dom0(lab, "qvm-forward", "behind", "--close-all")
