# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards at a hop whose default route is a tunnel: never by accident, never leaking.

`media` is behind `sys-vpn`, which sends everything into tun0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from qubesforward.plan.snapshot import TUNNEL_FEATURE
from tests.lab.forwards import dom0, forwarded, forwards_of, wait_settled
from tests.lab.openings import namespace_pids, read_kernel
from tests.lab.running_lab import RunningLab
from tests.lab.standing import Connection, Prober, Watcher, eventually
from tests.lab.traffic import Answer, serving

pytestmark = pytest.mark.lab

NET, NET6 = "192.168.1.10", "2001:db8:1::10"
LAN, LAN6 = "192.168.1.20", "2001:db8:1::20"
TRIED = [(proto, to, 4430) for proto in ("tcp", "udp") for to in (NET, NET6)]
RULE = "forwardtype=external srcports=4430 dstports=8000"


@dataclass
class Posts:
    """Who watches: the tunnel in sys-vpn, its uplink, and the tunnel's other end."""

    tunnel: Watcher
    uplink: Watcher
    far: Watcher

    def count(self) -> tuple[int, int, int]:
        """Return the packets of the LAN's client seen at each since the last time."""
        return (
            self.tunnel.count(LAN) + self.tunnel.count(LAN6),
            self.uplink.count(LAN) + self.uplink.count(LAN6),
            self.far.count(LAN) + self.far.count(LAN6),
        )


@pytest.fixture(scope="module")
def posts(lab: RunningLab) -> Iterator[Posts]:
    with ExitStack() as stack:
        places = (("sys-vpn", "tun0"), ("sys-vpn", "eth0"), ("internet", "tun0"))
        yield Posts(*(stack.enter_context(Watcher(lab, *place)) for place in places))


@pytest.fixture(scope="module")
def lan(lab: RunningLab) -> Iterator[Prober]:
    with Prober(lab, "lan") as one:
        yield one


def seen_at(watcher: Watcher, lan: Prober, wanted: list[tuple[str, str, int]]) -> int:
    """Return how many packets of both addresses of the LAN passed during a try."""
    watcher.count(LAN)
    lan.probe_all(wanted, 0.4)
    found = watcher.count(LAN)
    lan.probe_all(wanted, 0.4)
    return found + watcher.count(LAN6)


def test_the_watchers_see_what_does_go_through_the_tunnel(
    lab: RunningLab, posts: Posts
) -> None:
    lab.exec("media", ["ping", "-c1", "-W1", "10.8.0.1"])
    assert posts.tunnel.count("10.8.0.1") > 0


def test_refused_without_bypass_and_nothing_passes(
    lab: RunningLab, lan: Prober, posts: Posts
) -> None:
    with serving(lab, "media", [8000, 4430]):
        words = f"action=forward {RULE}".split(" ")
        dom0(lab, "qvm-firewall", "media", "add", *words)
        try:
            assert wait_settled(lab, "media") == ["refused"]
            reason = forwards_of(lab, "media")[0]["reason"]
            assert reason == "sys-vpn: would bypass tunnel tun0"
            assert lan.probe_all(TRIED) == [None] * 4
            assert read_kernel(namespace_pids(lab)["sys-vpn"]) == set()
            assert seen_at(posts.tunnel, lan, TRIED) == 0
            assert seen_at(posts.far, lan, TRIED) == 0
            # What the hops before have let in, sys-vpn does not answer.
            with Watcher(lab, "media", "eth0") as target:
                assert seen_at(target, lan, TRIED) == 0
        finally:
            dom0(lab, "qvm-forward", "media", "--close-all")


def test_with_bypass_answers_leave_by_the_uplink_alone(
    lab: RunningLab, lan: Prober, posts: Posts
) -> None:
    with serving(lab, "media", [8000]), forwarded(lab, "media", f"{RULE} bypass=yes"):
        clients = (LAN, LAN6) * 2
        wanted: list[Answer | None] = [Answer("media", c, 8000) for c in clients]
        eventually(lambda: lan.probe_all(TRIED), wanted)
        with Connection(lab, "lan", NET, 4430) as held:
            assert all(held.lives() for _ in range(20))
        assert seen_at(posts.uplink, lan, TRIED) > 0
        assert seen_at(posts.tunnel, lan, TRIED) == 0
        assert seen_at(posts.far, lan, TRIED) == 0
        # Only answers take that way: what media asks itself goes into the tunnel.
        with serving(lab, "internet", [8080]), Prober(lab, "media") as media:
            answer = media.probe_all([("tcp", "10.8.0.1", 8080)])[0]
            assert answer == Answer("internet", "10.8.0.2", 8080)
            far = media.probe_all([("tcp", "198.51.100.2", 8080)])[0]
            assert far == Answer("internet", "10.8.0.2", 8080)
    assert lan.probe_all(TRIED) == [None] * 4


def test_taking_bypass_back_cuts_and_closes(
    lab: RunningLab, lan: Prober, posts: Posts
) -> None:
    with (
        serving(lab, "media", [8000]),
        forwarded(lab, "media", f"{RULE} bypass=yes proto=tcp"),
        Connection(lab, "lan", NET, 4430) as held,
    ):
        assert held.lives()
        dom0(lab, "qvm-forward", "media", "--close-all")
        words = f"action=forward {RULE} proto=tcp".split(" ")
        dom0(lab, "qvm-firewall", "media", "add", *words)
        assert wait_settled(lab, "media") == ["refused"]
        posts.count()
        assert not held.lives(0.5)
        tunnel, _uplink, far = posts.count()
        assert (tunnel, far) == (0, 0)


def test_the_hop_with_the_tunnel_as_target(
    lab: RunningLab, lan: Prober, posts: Posts
) -> None:
    """By TCP: a UDP server that is bound to no address answers from the tunnel's."""
    tried = [one for one in TRIED if one[0] == "tcp"]
    with serving(lab, "sys-vpn", [8000]), forwarded(lab, "sys-vpn", RULE):
        wanted: list[Answer | None] = [Answer("sys-vpn", c, 8000) for c in (LAN, LAN6)]
        eventually(lambda: lan.probe_all(tried), wanted)
        assert seen_at(posts.tunnel, lan, tried) == 0
        assert seen_at(posts.far, lan, tried) == 0


def test_a_tunnel_that_comes_up_later_closes_what_would_bypass_it(
    lab: RunningLab, lan: Prober
) -> None:
    make = "ip link add wg9 type vxlan id 9 remote 192.0.2.1 dstport 9"
    with (
        serving(lab, "work", [8000]),
        forwarded(lab, "work", RULE),
        Connection(lab, "lan", NET, 4430) as held,
    ):
        lab.check("sys-firewall", *make.split(" "))
        try:
            lab.check("sys-firewall", *"ip link set wg9 up".split(" "))
            for half in ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"):
                route = f"ip route add {half} dev wg9"
                lab.check("sys-firewall", *route.split(" "))
            eventually(lambda: lan.probe_all(TRIED), [None] * 4)
            eventually(lambda: wait_settled(lab, "work"), ["refused"])
            reason = forwards_of(lab, "work")[0]["reason"]
            assert reason == "sys-firewall: would bypass tunnel wg9"
            assert not held.lives(0.5)
            # A VPN program that reconnects may delete its interface. Neither that
            # nor a restart of the hop lets anybody past the tunnel.
            lab.check("sys-firewall", *"ip link del wg9".split(" "))
            for _ in range(5):
                assert lan.probe_all(TRIED) == [None] * 4
            assert wait_settled(lab, "work") == ["refused"]
            dom0(lab, "qvm-kill", "sys-firewall")
            dom0(lab, "qvm-start", "sys-firewall")
            for _ in range(5):
                assert lan.probe_all(TRIED) == [None] * 4
            assert wait_settled(lab, "work") == ["refused"]
        finally:
            dom0(lab, "qvm-features", "--unset", "sys-firewall", TUNNEL_FEATURE)
        eventually(lambda: None in lan.probe_all(TRIED), False)


def test_a_tunnel_that_goes_down_opens_nothing(lab: RunningLab) -> None:
    rule = "action=forward forwardtype=external proto=tcp srcports=4433"
    lab.check("dom0", "qvm-firewall", "media", "add", *rule.split(" "))
    try:
        eventually(lambda: wait_settled(lab, "media"), ["refused"])
        lab.check("sys-vpn", *"ip link set tun0 down".split(" "))
        for _ in range(10):
            assert wait_settled(lab, "media") == ["refused"]
    finally:
        lab.run("exec", "dom0", "--", "qvm-forward", "media", "--close-all")
        lab.check("dom0", "qvm-shutdown", "--wait", "media")
        lab.check("dom0", "qvm-shutdown", "--wait", "sys-vpn")
        lab.check("dom0", "qvm-start", "media")
