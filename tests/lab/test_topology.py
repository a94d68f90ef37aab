# SPDX-License-Identifier: GPL-2.0-or-later
"""Topology files: what they give, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from qubesforward.errors import LabError
from qubesforward.lab.topology import DEFAULT_TOPOLOGY, load_topology

QUBE = 'class = "AppVM"\nlabel = "red"\n'


def load(directory: Path, text: str) -> object:
    file = directory / "lab.toml"
    file.write_text(text)
    return load_topology(file)


def test_default_topology_has_what_the_tour_needs() -> None:
    topology = load_topology()
    netvms = {qube.name: qube.netvm for qube in topology.qubes if qube.autostart}
    assert netvms == {
        "sys-net": None,
        "sys-firewall": "sys-net",
        "sys-vpn": "sys-firewall",
        "work": "sys-firewall",
        "personal": "sys-firewall",
        "untrusted": "sys-firewall",
        "media": "sys-vpn",
        "vault": None,
    }
    assert [host.name for host in topology.hosts] == [
        "lan",
        "lan2",
        "router",
        "internet",
    ]
    template = topology.qube("debian-12")
    assert template is not None
    assert template.features["supported-service.qubes-forward"] == "1"
    disposables = topology.qube("default-dvm")
    assert disposables is not None
    assert disposables.template_for_dispvms


def test_empty_file_is_an_empty_world(tmp_path: Path) -> None:
    topology = load(tmp_path, "")
    assert topology == load_topology(tmp_path / "lab.toml")
    assert not load_topology(tmp_path / "lab.toml").qubes


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[qubes.work", "lab.toml: "),
        ("[qubes.work]\nlabel = 'red'", "qubes.work.class: missing"),
        (f"[qubes.work]\n{QUBE}netwm = 'sys-net'", "qubes.work.netwm: not known"),
        (f"[qubes.work]\n{QUBE}autostart = 1", "autostart: give true or false"),
        ("[qubes.work]\nclass='AppVM'\nlabel='pink'", "give one of red, orange"),
        (f"[qubes.work]\n{QUBE}netvm = 'sys-net'", "no [qubes.sys-net]"),
        (f"[qubes.work]\n{QUBE}template = 'x'", "no [qubes.x]"),
        (f"[qubes.'a b']\n{QUBE}", "not a name"),
        (f"[qubes.dom0]\n{QUBE}", "taken by the lab itself"),
        (f"[qubes.a]\n{QUBE}[qubes.b]\n{QUBE}netvm='a'", "lacks provides_network"),
        (
            f"[qubes.a]\n{QUBE}netvm='a'\nprovides_network=true",
            "qubes.a.netvm: a makes a loop",
        ),
        (f"[qubes.a]\n{QUBE}[hosts.a]\n", "a host has this name already"),
        ("[system]\ndefault_netvm = 'a'", "system.default_netvm: no [qubes.a]"),
        ("[networks.n]\nip = '10.0.0.1/24'\nip6='fd00::/64'", "has host bits set"),
        ("[networks.n]\nip = 'fd00::/64'\nip6='fd00::/64'", "give one of IPv4"),
        ("[hosts.a]\ncards=[{network='n'}]", "hosts.a.cards[0].network: no"),
        ("[hosts.a]\nmasquerade='wan0'", "no card wan0"),
        ("[dns]\nhost='a'", "no [hosts.a] with a card"),
        (f"[qubes.a]\n{QUBE}features={{a=1}}", "features.a: give a text"),
        (f"[qubes.a]\n{QUBE}services={{a=[]}}", "services.a: give a list of words"),
    ],
)
def test_error_says_where_and_what(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(LabError) as caught:
        load(tmp_path, text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("ip = ", '"192.168.2.10"', "card.ip: not in 192.168.1.0/24"),
        ("name = ", '"much-too-long-name"', "an interface has 15"),
        ("port = ", "99999", "a number from 1 to 65534"),
        ("address = ", '"198.51.100.77"', "not one of internet's"),
    ],
)
def test_error_in_card_or_tunnel(
    tmp_path: Path, key: str, value: str, complaint: str
) -> None:
    text = DEFAULT_TOPOLOGY.read_text()
    start = text.index("\ncard = {" if key in ("ip = ", "name = ") else "\ntunnel = {")
    before, after = text[:start], text[start:]
    old = after[after.index(key) + len(key) :].split(",")[0].split(" }")[0]
    with pytest.raises(LabError) as caught:
        load(tmp_path, before + after.replace(key + old, key + value, 1))
    assert complaint in str(caught.value)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="No such file"):
        load_topology(tmp_path / "none.toml")
