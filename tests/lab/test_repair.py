# SPDX-License-Identifier: GPL-2.0-or-later
"""What others do to the rules of a hop or target, and how it is put right."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import qubesforward.lab
from qubesforward.nft.layout import COMMENT, TABLE
from tests.lab.forwards import dom0, forwarded, forwards_of, wait_settled
from tests.lab.openings import namespace_pids, nft, read_kernel
from tests.lab.running_lab import RunningLab, needs_nftables
from tests.lab.standing import Connection, Prober, eventually
from tests.lab.traffic import serving

pytestmark = [pytest.mark.lab, needs_nftables]

NET, NET6 = "192.168.1.10", "2001:db8:1::10"
CHAIN = ("sys-net", "sys-firewall", "work")
RULE = "forwardtype=external srcports=443 dstports=8443"
REACHED = ["work"] * 4

# Each is a batch of nft commands; NET stands for the family of Qubes' own table.
DAMAGE = {
    "our table deleted": "delete table inet qubes-forward",
    "our table flushed": "flush table inet qubes-forward",
    "our table asleep": "add table inet qubes-forward { flags dormant; }",
    "chain prerouting emptied": "flush chain inet qubes-forward prerouting",
    "chain forward emptied": "flush chain inet qubes-forward forward",
    "chain input emptied": "flush chain inet qubes-forward input",
    "set live emptied": "flush set inet qubes-forward live",
    "doors emptied": "flush set inet qubes-forward self4",
    "map of ports emptied": "flush map inet qubes-forward uplink4",
    "a foreign rule before ours": (
        "insert rule inet qubes-forward prerouting th dport 443 drop"
    ),
    "custom-forward emptied": "flush chain ip qubes custom-forward",
    "custom-input emptied": "flush chain ip6 qubes custom-input",
    "a foreign rule among Qubes'": (
        "insert rule ip qubes custom-input udp dport 99 drop"
    ),
}


@pytest.fixture(scope="module")
def lan(lab: RunningLab) -> Iterator[Prober]:
    with Prober(lab, "lan") as one:
        yield one


def reached(lan: Prober) -> list[str | None]:
    wanted = [(proto, to, 443) for proto in ("tcp", "udp") for to in (NET, NET6)]
    return [None if one is None else one.qube for one in lan.probe_all(wanted)]


def harm(lab: RunningLab, qube: str, commands: str) -> None:
    lab.check(qube, "nft", commands)


def restore_base(lab: RunningLab, *qubes: str) -> None:
    for qube in qubes:
        done = lab.run("service", qube, "restart", "qubes-base-firewall")
        assert done.returncode == 0, done.stderr


def hooks_of(pid: int) -> list[int]:
    """Return how many rules of ours each custom chain has."""
    found = []
    for family in ("ip", "ip6"):
        for chain in ("custom-forward", "custom-input"):
            listing = nft(pid, "list", "chain", family, "qubes", chain)
            found.append(listing.count(f'comment "{COMMENT}"'))
    return found


def wait_repaired(pid: int, before: set[str]) -> None:
    eventually(lambda: (read_kernel(pid), hooks_of(pid)), (before, [1] * 4))


@pytest.mark.parametrize("harmed", CHAIN)
def test_whatever_is_harmed_is_repaired(
    lab: RunningLab, lan: Prober, harmed: str
) -> None:
    pid = namespace_pids(lab)[harmed]
    with (
        serving(lab, "work", [8443]),
        forwarded(lab, "work", RULE),
        Connection(lab, "lan", NET, 443) as held,
    ):
        before = read_kernel(pid)
        assert before
        for what, commands in DAMAGE.items():
            if "map of" in what and harmed != "sys-firewall":
                continue
            harm(lab, harmed, commands)
            wait_repaired(pid, before)
            eventually(lambda: reached(lan), REACHED)
            assert held.lives(), what
        listing = nft(pid, "list", "table", "inet", TABLE)
        assert "dormant" not in listing
        assert "dport 443 drop" not in listing
    restore_base(lab, harmed)


@pytest.mark.parametrize("harmed", CHAIN)
def test_all_is_flushed_and_the_base_comes_back(
    lab: RunningLab, lan: Prober, harmed: str
) -> None:
    pid = namespace_pids(lab)[harmed]
    with serving(lab, "work", [8443]), forwarded(lab, "work", RULE):
        before = read_kernel(pid)
        for _ in range(3):
            harm(lab, harmed, "flush ruleset")
            # Without Qubes' own chains there is nothing to open a door in.
            eventually(lambda: read_kernel(pid), set())
            eventually(lambda: state(lab), ("refused", True))
            restore_base(lab, harmed)
            wait_repaired(pid, before)
            eventually(lambda: reached(lan), REACHED)
            eventually(lambda: state(lab), ("active", False))


def state(lab: RunningLab) -> tuple[str, bool]:
    """Return the state of work's forward, and whether a missing chain is the reason."""
    forward = forwards_of(lab, "work")[0]
    return forward["state"], "no custom-" in forward["reason"]


def test_reload_of_everything_at_once_cuts_no_connection(
    lab: RunningLab, lan: Prober
) -> None:
    """As a reload of nftables.conf does, which flushes what is not its own, too."""
    base = Path(qubesforward.lab.__file__).with_name("base.nft").read_text()
    with (
        serving(lab, "work", [8443]),
        forwarded(lab, "work", RULE),
        Connection(lab, "lan", NET, 443) as held,
    ):
        for qube in CHAIN * 3:
            pid = namespace_pids(lab)[qube]
            before = read_kernel(pid)
            lab.check(qube, "nft", "-f", "-", input=f"flush ruleset\n{base}")
            wait_repaired(pid, before)
            assert held.lives()
        eventually(lambda: reached(lan), REACHED)


def test_base_firewall_restarted_everywhere(lab: RunningLab, lan: Prober) -> None:
    with (
        serving(lab, "work", [8443]),
        forwarded(lab, "work", RULE),
        Connection(lab, "lan", NET, 443) as held,
    ):
        for _ in range(3):
            restore_base(lab, *CHAIN)
            eventually(lambda: reached(lan), REACHED)
            assert held.lives()


def test_every_single_element_is_put_back(lab: RunningLab, lan: Prober) -> None:
    with serving(lab, "work", [8443]), forwarded(lab, "work", RULE):
        for qube, pid in namespace_pids(lab).items():
            if qube not in CHAIN:
                continue
            before = read_kernel(pid)
            elements = list(elements_of(pid))
            assert len(elements) >= 4
            for name, element in elements:
                command = f"delete element inet {TABLE} {name} {{ {element} }}"
                harm(lab, qube, command)
                wait_repaired(pid, before)
        eventually(lambda: reached(lan), REACHED)


def elements_of(pid: int) -> Iterator[tuple[str, str]]:
    """Yield every element of our table: its set, and its key as nft takes it."""
    listing = json.loads(nft(pid, "-j", "list", "table", "inet", TABLE))
    for item in listing["nftables"]:
        found = item.get("set") or item.get("map")
        for element in found.get("elem", []) if found else []:
            is_map = isinstance(element, list)
            key = element[0] if is_map else element
            if isinstance(key, dict) and "elem" in key:
                key = key["elem"]["val"]
            words = key["concat"] if isinstance(key, dict) else [key]
            yield found["name"], " . ".join(str(word) for word in words)


def ends_of(pid: int) -> dict[str, int]:
    """Return, for each set with timed elements of ours, the seconds they have left."""
    listing = json.loads(nft(pid, "-j", "list", "table", "inet", TABLE))
    found = {}
    for item in listing["nftables"]:
        one = item.get("set") or item.get("map")
        if one and one["name"].startswith("severed"):
            continue  # those come from packets
        for element in one.get("elem", []) if one else []:
            timed = element[0] if isinstance(element, list) else element
            if isinstance(timed, dict) and "expires" in timed.get("elem", {}):
                found[one["name"]] = timed["elem"]["expires"]
    return found


class TestTimed:
    RULE = f"{RULE} proto=tcp srchost=192.168.1.0/24"

    def test_ends_are_kept_by_a_repair(self, lab: RunningLab) -> None:
        until = time.time() + 300
        pids = [namespace_pids(lab)[qube] for qube in CHAIN]
        with forwarded(lab, "work", f"{self.RULE} expire={int(until)}"):
            before = [sorted(ends_of(pid)) for pid in pids]
            assert all(before)
            for command in (f"delete table inet {TABLE}", "flush ruleset"):
                for qube in CHAIN:
                    harm(lab, qube, command)
                restore_base(lab, *CHAIN)
                eventually(lambda: [sorted(ends_of(pid)) for pid in pids], before)
                for pid in pids:
                    left = until - time.time()
                    # The kernel tells whole seconds, rounded down.
                    assert all(left - 4 < s <= left + 2 for s in ends_of(pid).values())

    def test_extending_cuts_nothing(self, lab: RunningLab, lan: Prober) -> None:
        first = f"{self.RULE} expire=+4"
        with (
            serving(lab, "work", [8443]),
            forwarded(lab, "work", first),
            Connection(lab, "lan", NET, 443) as held,
        ):
            assert held.lives()
            for end in ("expire=+8", "", "expire=+300", "expire=+30"):
                words = f"{self.RULE} {end}".strip().split(" ")
                dom0(lab, "qvm-firewall", "work", "add", "action=forward", *words)
                assert held.lives()
            assert set(wait_settled(lab, "work")) == {"active"}
            time.sleep(5)
            assert held.lives()
            # One rule, that has taken the place of each before it.
            raw = dom0(lab, "qvm-firewall", "--raw", "work").stdout
            assert raw.count("action=forward") == 1

    def test_end_cuts_even_after_a_repair(self, lab: RunningLab, lan: Prober) -> None:
        rule = f"{self.RULE} expire=+5"
        with (
            serving(lab, "work", [8443]),
            forwarded(lab, "work", rule),
            Connection(lab, "lan", NET, 443) as held,
        ):
            for qube in CHAIN:
                harm(lab, qube, f"delete table inet {TABLE}")
            assert held.lives()
            eventually(lambda: held.lives(0.3), False, patience=10)
            assert lan.reach(NET, 443) is None
        eventually(lambda: read_kernel(namespace_pids(lab)["work"]), set())
