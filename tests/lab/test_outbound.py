# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules of a qube, with real traffic to the internet of the lab."""

import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.lab.forwards import dom0
from tests.lab.traffic import Lab, probe_all, serving

pytestmark = [pytest.mark.lab, pytest.mark.both_settings]

TWO, THREE, FOUR = "198.51.100.2", "198.51.100.3", "198.51.100.4"
TWO6, THREE6 = "2001:db8:ffff::2", "2001:db8:ffff::3"
ALL = (TWO, THREE, FOUR, TWO6, THREE6)


@pytest.fixture(autouse=True)
def servers(lab: Lab) -> Iterator[None]:
    with serving(lab, "internet", [80, 443]):
        yield
    dom0(lab, "qvm-firewall", "work", "reset")


def set_rules(lab: Lab, *rules: str) -> None:
    """Replace work's outbound rules, each given as the words of one rule."""
    dom0(lab, "qvm-firewall", "work", "reset")
    for rule in rules:
        dom0(lab, "qvm-firewall", "work", "add", *rule.split(" "))
    dom0(lab, "qvm-firewall", "work", "del", "--rule-no", "0")


def reached(lab: Lab, proto: str, port: int) -> set[str]:
    answers = probe_all(lab, "work", [(proto, address, port) for address in ALL])
    return {address for address, answer in zip(ALL, answers, strict=True) if answer}


def eventually(found: Callable[[], set[str]], wanted: set[str]) -> None:
    end = time.monotonic() + 5
    while (now := found()) != wanted:
        assert time.monotonic() < end, f"{now} is not {wanted}"
        time.sleep(0.05)


def pings(lab: Lab, address: str) -> bool:
    command = ["ping", "-c1", "-W1", address]
    return bool(lab.exec("work", command).returncode == 0)


@pytest.mark.parametrize(
    ("rules", "proto", "port", "wanted"),
    [
        (["accept"], "tcp", 80, set(ALL)),
        (["drop"], "tcp", 80, set()),
        ([f"accept {THREE}"], "tcp", 80, {THREE}),
        ([f"accept {TWO6}"], "udp", 80, {TWO6}),
        ([f"drop {TWO}", "accept"], "tcp", 80, {THREE, FOUR, TWO6, THREE6}),
        (["accept 198.51.100.2/31"], "tcp", 80, {TWO, THREE}),
        (["accept 2001:db8:ffff::/64"], "tcp", 80, {TWO6, THREE6}),
        ([f"accept {TWO} tcp 443"], "tcp", 443, {TWO}),
        ([f"accept {TWO} tcp 443"], "tcp", 80, set()),
        ([f"accept {TWO} tcp 443"], "udp", 443, set()),
        ([f"accept {TWO} udp 79-81"], "udp", 80, {TWO}),
        (["accept proto=tcp dstports=80"], "tcp", 80, set(ALL)),
        (["drop proto=tcp dstports=80", "accept"], "tcp", 443, set(ALL)),
    ],
)
def test_by_address_network_and_port(
    lab: Lab, rules: Sequence[str], proto: str, port: int, wanted: set[str]
) -> None:
    set_rules(lab, *rules)
    eventually(lambda: reached(lab, proto, port), wanted)


def test_by_name(lab: Lab) -> None:
    set_rules(lab, "accept four.example.test", "accept six.example.test tcp 443")
    eventually(lambda: reached(lab, "tcp", 80), {THREE})
    eventually(lambda: reached(lab, "tcp", 443), {THREE, THREE6})
    set_rules(lab, "accept many.example.test")
    eventually(lambda: reached(lab, "tcp", 80), set(ALL))


def test_a_name_that_does_not_resolve_holds_up_nothing(lab: Lab) -> None:
    set_rules(lab, "accept nowhere.invalid", f"accept {TWO}")
    eventually(lambda: reached(lab, "tcp", 80), {TWO})


def test_icmp(lab: Lab) -> None:
    set_rules(lab, "accept proto=tcp")
    eventually(lambda: reached(lab, "tcp", 80), set(ALL))
    assert not pings(lab, TWO)
    set_rules(lab, f"accept {TWO} icmp 8", "accept proto=tcp")
    eventually(lambda: reached(lab, "tcp", 80), set(ALL))
    assert pings(lab, TWO)
    assert not pings(lab, THREE)


def test_dns_alone(lab: Lab) -> None:
    lookup = ["getent", "ahosts", "www.example.test"]
    set_rules(lab, "drop")
    eventually(lambda: reached(lab, "tcp", 80), set())
    assert lab.exec("work", lookup).returncode != 0
    set_rules(lab, "accept specialtarget=dns")
    end = time.monotonic() + 5
    while lab.exec("work", lookup).returncode != 0:
        assert time.monotonic() < end
    assert reached(lab, "tcp", 80) == set()


def test_a_plain_set_neither_sees_nor_loses_forwards(lab: Lab) -> None:
    forward = "action=forward forwardtype=external proto=tcp srcports=443-443"
    plain_get = ("qubesd-query", "-e", "dom0", "admin.vm.firewall.Get", "work")
    plain_set = ["qubesd-query", "dom0", "admin.vm.firewall.Set", "work"]
    dom0(lab, "qvm-firewall", "work", "add", *forward.split(" "))
    try:
        assert dom0(lab, *plain_get).stdout == "action=accept\n"
        outbound = f"action=drop dst4={TWO}/32\naction=accept\n"
        assert lab.exec("dom0", plain_set, input=outbound).returncode == 0
        eventually(lambda: reached(lab, "tcp", 80), set(ALL) - {TWO})
        assert dom0(lab, *plain_get).stdout == outbound
        assert forward in dom0(lab, "qvm-firewall", "--raw", "work").stdout
        refused = lab.exec("dom0", plain_set, input=f"{forward}\n")
        assert refused.returncode != 0
        # Ours says which call is the right one; stock, that there is no such action.
        assert "forward" in refused.stderr
        assert dom0(lab, *plain_get).stdout == outbound
        assert forward in dom0(lab, "qvm-firewall", "--raw", "work").stdout
    finally:
        dom0(lab, "qvm-forward", "work", "--close-all")
