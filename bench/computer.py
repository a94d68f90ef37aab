# SPDX-License-Identifier: GPL-2.0-or-later
"""Made-up computers for planning: any number of qubes and forwards."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from qubesforward.model.ports import PortRange
from qubesforward.model.rule import ForwardRule, ForwardType, Proto
from qubesforward.plan.planner import Forwards
from qubesforward.plan.snapshot import Qube

_FIREWALLS = 8
_PORTS = 60_000
_FIRST_ADDRESS = IPv4Address("10.138.0.0")
_FIRST_ADDRESS6 = IPv6Address("fd09:24ef:4179::a8a:0")


def make_qubes(size: int) -> dict[str, Qube]:
    """Return that many qubes behind firewall qubes, all behind one sys-net."""
    found = {"sys-net": Qube("sys-net", ip=_FIRST_ADDRESS)}
    for number in range(_FIREWALLS):
        name = f"fw{number}"
        ip = _FIRST_ADDRESS + 1 + number
        ip6 = _FIRST_ADDRESS6 + 1 + number
        found[name] = Qube(name, netvm="sys-net", ip=ip, ip6=ip6)
    for number in range(size):
        name = name_of(number)
        netvm = f"fw{number % _FIREWALLS}"
        ip = _FIRST_ADDRESS + 100 + number
        found[name] = Qube(name, netvm=netvm, ip=ip)
    return found


def name_of(number: int) -> str:
    """Return the name of a qube by its number."""
    return f"qube{number}"


def make_forwards(qubes: int, size: int) -> dict[str, Forwards]:
    """Return that many forwards, spread evenly; external as long as there are ports.

    Those beyond are internal ones, for there is one port on the card for each.
    """
    lists: dict[str, list[ForwardRule]] = {}
    for number in range(size):
        owner = number % min(qubes, size)
        lists.setdefault(name_of(owner), []).append(make_rule(number))
    return {name: Forwards(tuple(rules)) for name, rules in lists.items()}


def make_rule(number: int) -> ForwardRule:
    """Return one forward by its number, which is its age too."""
    port = number % _PORTS + 1
    kind = ForwardType.EXTERNAL if number < _PORTS else ForwardType.INTERNAL
    return ForwardRule(kind, PortRange(port, port), proto=Proto.TCP, created=number + 1)
