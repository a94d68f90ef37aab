# SPDX-License-Identifier: GPL-2.0-or-later
"""The world that the default topology makes, before any forward, with real packets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.running_lab import RunningLab, needs_nftables
from tests.lab.traffic import Answer, probe, probe_all, serving

pytestmark = pytest.mark.lab

INTERNET, INTERNET6 = "198.51.100.2", "2001:db8:ffff::2"
SYS_NET, SYS_NET6 = "192.168.1.10", "2001:db8:1::10"


def addresses_of(lab: RunningLab, qube: str) -> tuple[str, str]:
    """Return a qube's own addresses of both families."""
    found = json.loads(lab.check(qube, "ip", "-j", "addr", "show", "dev", "eth0"))
    texts = [one["local"] for one in found[0]["addr_info"] if one["scope"] == "global"]
    return texts[0], texts[1]


@contextmanager
def open_input(lab: RunningLab, qube: str) -> Iterator[None]:
    """Have a qube's own firewall let everything in."""
    for family in ("ip", "ip6"):
        lab.check(qube, "nft", "insert", "rule", family, "qubes", "input", "accept")
    try:
        yield
    finally:
        lab.run("service", qube, "restart", "qubes-base-firewall")


def test_lan_reaches_internet_through_the_routers_nat(lab: RunningLab) -> None:
    with serving(lab, "internet", [80]):
        wanted = [("tcp", INTERNET, 80), ("udp", INTERNET6, 80)]
        assert probe_all(lab, "lan", wanted) == [
            Answer("internet", "198.51.100.1", 80),
            Answer("internet", "2001:db8:1::20", 80),
        ]


def test_internet_does_not_get_behind_the_router(lab: RunningLab) -> None:
    wanted = [("tcp", address, 80) for address in ("2001:db8:1::20", SYS_NET6)]
    servers = (serving(lab, host, [80]) for host in ("lan", "sys-net"))
    with next(servers), next(servers), open_input(lab, "sys-net"):
        assert probe_all(lab, "internet", wanted) == [None, None]
        assert None not in probe_all(lab, "lan2", wanted)


def test_work_reaches_internet_behind_the_names_of_its_hops(lab: RunningLab) -> None:
    with serving(lab, "internet", [80]):
        wanted = [("tcp", INTERNET, 80), ("udp", INTERNET6, 80)]
        assert probe_all(lab, "work", wanted) == [
            Answer("internet", "198.51.100.1", 80),
            Answer("internet", SYS_NET6, 80),
        ]


def test_media_reaches_internet_through_the_tunnel_only(lab: RunningLab) -> None:
    with serving(lab, "internet", [80]):
        wanted = [("tcp", INTERNET, 80), ("tcp", INTERNET6, 80)]
        assert probe_all(lab, "media", wanted) == [
            Answer("internet", "10.8.0.2", 80),
            Answer("internet", "fd08::2", 80),
        ]
        lab.check("sys-vpn", "ip", "link", "set", "tun0", "down")
        try:
            assert probe_all(lab, "media", wanted) == [None, None]
        finally:
            # Routes go with the link, as with a VPN program that reconnects.
            lab.check("dom0", "qvm-shutdown", "--wait", "--force", "sys-vpn")
            lab.check("dom0", "qvm-start", "sys-vpn")


def test_internet_reaches_sys_vpn_through_the_tunnel(lab: RunningLab) -> None:
    wanted = [("tcp", "10.8.0.2", 80), ("udp", "fd08::2", 80)]
    lab.check("dom0", "qvm-shutdown", "--wait", "--force", "sys-vpn")
    lab.check("dom0", "qvm-start", "sys-vpn")
    with serving(lab, "sys-vpn", [80]):
        assert probe_all(lab, "internet", wanted) == [None, None]
        with open_input(lab, "sys-vpn"):
            # The host learns with the first packet of the keep-alive where it is.
            time.sleep(0.6)
            assert probe_all(lab, "internet", wanted) == [
                Answer("sys-vpn", "10.8.0.1", 80),
                Answer("sys-vpn", "fd08::1", 80),
            ]


def test_vault_has_no_network(lab: RunningLab) -> None:
    links = json.loads(lab.check("vault", "ip", "-j", "link"))
    assert [link["ifname"] for link in links] == ["lo"]


def test_qube_lets_nothing_in(lab: RunningLab) -> None:
    ip, ip6 = addresses_of(lab, "work")
    wanted = [("tcp", ip, 80), ("udp", ip6, 80)]
    with serving(lab, "work", [80]):
        assert probe_all(lab, "sys-firewall", wanted) == [None, None]
        with open_input(lab, "work"):
            assert None not in probe_all(lab, "sys-firewall", wanted)
        assert probe_all(lab, "sys-firewall", wanted) == [None, None]


def test_hops_let_nothing_down(lab: RunningLab) -> None:
    ip, ip6 = addresses_of(lab, "work")
    wanted = [("tcp", ip, 80), ("udp", ip6, 80)]
    lab.check("lan", "ip", "route", "add", "10.137.0.0/16", "via", SYS_NET)
    lab.check("lan", "ip", "route", "add", "fd09:24ef:4179::/48", "via", SYS_NET6)
    try:
        with serving(lab, "work", [80]), open_input(lab, "work"):
            for where in ("lan", "sys-net", "personal", "media"):
                assert probe_all(lab, where, wanted) == [None, None], where
            assert None not in probe_all(lab, "sys-firewall", wanted)
    finally:
        lab.check("lan", "ip", "route", "del", "10.137.0.0/16")
        lab.check("lan", "ip", "route", "del", "fd09:24ef:4179::/48")


def test_qube_cannot_borrow_the_address_of_another(lab: RunningLab) -> None:
    # Its own firewall would put its own address in place of the borrowed one.
    for family in ("ip", "ip6"):
        lab.check("untrusted", "nft", "flush", "chain", family, "qubes", "postrouting")
    borrowed = dict(zip(("128", "32"), addresses_of(lab, "work")[::-1], strict=True))
    for length, address in borrowed.items():
        lab.check(
            "untrusted", "ip", "addr", "add", f"{address}/{length}", "dev", "eth0"
        )
    try:
        with serving(lab, "internet", [80]):
            for target, source in ((INTERNET, "32"), (INTERNET6, "128")):
                seen = probe(lab, "untrusted", target, 80, source=borrowed[source])
                assert seen is None, source
            assert "packets 0 " not in _drop_rule(lab, "ip", "iifgroup 2")
            assert "packets 0 " not in _drop_rule(lab, "ip6", "iifgroup 2")
    finally:
        for length, address in borrowed.items():
            words = ("addr", "del", f"{address}/{length}", "dev", "eth0")
            lab.check("untrusted", "ip", *words)
        lab.run("service", "untrusted", "restart", "qubes-base-firewall")


def test_no_other_card_brings_the_address_of_a_qube_below(lab: RunningLab) -> None:
    address = addresses_of(lab, "sys-firewall")[0]
    lab.check("lan", "ip", "addr", "add", f"{address}/32", "dev", "eth0")
    try:
        assert probe(lab, "lan", SYS_NET, 80, "udp", source=address) is None
        rule = _drop_rule(lab, "ip", "iifgroup != 2", "sys-net")
        assert "packets 0 " not in rule
    finally:
        lab.check("lan", "ip", "addr", "del", f"{address}/32", "dev", "eth0")


def _drop_rule(
    lab: RunningLab, family: str, start: str, hop: str = "sys-firewall"
) -> str:
    chain = lab.check(hop, "nft", "list", "chain", family, "qubes", "prerouting")
    return next(line for line in chain.splitlines() if line.strip().startswith(start))


@pytest.mark.parametrize("where", ["work", "media", "sys-net", "lan"])
def test_names_are_answered_everywhere(lab: RunningLab, where: str) -> None:
    found = lab.check(where, "getent", "ahosts", "many.example.test").splitlines()
    assert {line.split()[0] for line in found} == {
        "198.51.100.2",
        "198.51.100.3",
        "198.51.100.4",
        "2001:db8:ffff::2",
        "2001:db8:ffff::3",
    }
    unknown = lab.exec(where, ["getent", "ahosts", "nobody.example.test"])
    assert unknown.returncode != 0


@needs_nftables
def test_links_look_as_in_qubes(lab: RunningLab) -> None:
    uplink = json.loads(lab.check("work", "ip", "-j", "link", "show", "eth0"))[0]
    assert uplink["group"] == "1"
    below = json.loads(lab.check("sys-firewall", "ip", "-j", "link", "show"))
    vifs = [link for link in below if link["group"] == "2"]
    # sys-vpn, work, personal and untrusted.
    assert len(vifs) >= 4
    for link in vifs:
        assert link["ifname"].startswith("vif")
        assert link["address"] == "fe:ff:ff:ff:ff:ff"
    card = json.loads(lab.check("sys-net", "ip", "-j", "link", "show", "ens6"))[0]
    assert card["group"] == "default"


def test_fresh_files_belong_to_the_domain(lab: RunningLab) -> None:
    for where in ("work", "personal"):
        note = f"echo {where} | tee /etc/qubes/note /var/lib/qubes/note /tmp/note"
        lab.check(where, "sh", "-c", note)
        assert lab.check(where, "hostname").strip() == where
    for file in ("/etc/qubes/note", "/var/lib/qubes/note", "/tmp/note"):
        assert lab.check("work", "cat", file) == "work\n"
    denied = lab.exec("work", ["touch", "/usr/note"])
    assert "Read-only" in denied.stderr
    denied = lab.exec("work", ["sh", "-c", "echo 1 > /proc/sys/kernel/sysrq"])
    assert denied.returncode != 0


def test_home_of_a_qube_outlives_a_restart(lab: RunningLab) -> None:
    lab.check("personal", "sh", "-c", "echo kept > /home/user/a; echo lost > /root/a")
    lab.check("dom0", "qvm-shutdown", "--wait", "personal")
    lab.check("dom0", "qvm-start", "personal")
    assert lab.check("personal", "cat", "/home/user/a") == "kept\n"
    assert lab.exec("personal", ["cat", "/root/a"]).returncode != 0
