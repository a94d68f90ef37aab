# SPDX-License-Identifier: GPL-2.0-or-later
"""What follows from the netvm chain: addresses, gateways, clients. Looks, never acts.

Defaults and key names are those of stock qubesd (its network mixin).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qubesforward.lab.qubesd.state import Computer, Qube

DNS = ("10.139.1.1", "10.139.1.2")
NETMASK = "255.255.255.255"
_IPV6_PREFIX = "fd09:24ef:4179:"

NETWORKED = frozenset({"AppVM", "TemplateVM", "StandaloneVM", "DispVM"})
TEMPLATED = frozenset({"AppVM", "DispVM"})


def netvm_of(computer: Computer, qube: Qube) -> Qube | None:
    """Return the qube that routes for this one; None if it has no network."""
    if qube.klass not in NETWORKED:
        return None
    name = qube.properties.get("netvm")
    if name is None:
        name = default_netvm(computer, qube)
    return computer.qubes.get(name)


def default_netvm(computer: Computer, qube: Qube) -> str:
    """Return the name of the netvm that a qube has unless it is set; empty for none."""
    if qube.klass == "TemplateVM":
        return ""
    return computer.settings.get("default_netvm", "")


def chain_of(computer: Computer, qube: Qube) -> list[Qube]:
    """Return the qube and its netvms upward; ends before it would repeat itself."""
    chain = [qube]
    while (above := netvm_of(computer, chain[-1])) is not None and above not in chain:
        chain.append(above)
    return chain


def clients_of(computer: Computer, qube: Qube) -> Iterator[Qube]:
    """Return the qubes whose netvm this one is, running or not."""
    return (other for other in computer.guests() if netvm_of(computer, other) is qube)


def clients_by_netvm(computer: Computer) -> dict[str, list[Qube]]:
    """All clients of all netvms, in one pass."""
    found: dict[str, list[Qube]] = {}
    for qube in computer.guests():
        if (netvm := netvm_of(computer, qube)) is not None:
            found.setdefault(netvm.name, []).append(qube)
    return found


def template_of(computer: Computer, qube: Qube) -> Qube | None:
    """Return what the qube is based on."""
    if qube.klass not in TEMPLATED:
        return None
    return computer.qubes.get(qube.properties.get("template", ""))


def find_feature(
    computer: Computer,
    qube: Qube,
    name: str,
    next_one: Callable[[Computer, Qube], Qube | None],
) -> str | None:
    """Return a feature of the qube, or of the first one further along that has it."""
    seen: list[Qube] = []
    where: Qube | None = qube
    while where is not None and where not in seen:
        if name in where.features:
            return where.features[name]
        seen.append(where)
        where = next_one(computer, where)
    return None


def has_ipv6(computer: Computer, qube: Qube) -> bool:
    """Whether IPv6 is on: the feature is asked for up the chain, as stock does."""
    return bool(find_feature(computer, qube, "ipv6", netvm_of))


def provides_network(qube: Qube) -> bool:
    """Whether other qubes may have this one as their netvm."""
    return qube.properties.get("provides_network") == "True"


def is_networked(computer: Computer, qube: Qube) -> bool:
    """Whether the qube has an address at all."""
    return provides_network(qube) or netvm_of(computer, qube) is not None


def default_ip(computer: Computer, qube: Qube) -> str:
    """Return the IPv4 address that a qube has unless it is set; empty for none."""
    if not is_networked(computer, qube):
        return ""
    number, network = _number(qube)
    return f"10.{network}.{number >> 8 & 0xFF}.{number & 0xFF}"


def default_ip6(computer: Computer, qube: Qube) -> str:
    """Return the IPv6 address that a qube has unless it is set; empty for none."""
    if not is_networked(computer, qube) or not has_ipv6(computer, qube):
        return ""
    number, network = _number(qube)
    return f"{_IPV6_PREFIX}:a{network:x}:{number:x}"


def _number(qube: Qube) -> tuple[int, int]:
    if qube.klass == "DispVM":
        return int(qube.properties["dispid"]), 138
    return qube.qid, 137


def ip_of(computer: Computer, qube: Qube) -> str:
    """Return the IPv4 address on the link to the netvm; empty for none."""
    return qube.properties.get("ip") or default_ip(computer, qube)


def ip6_of(computer: Computer, qube: Qube) -> str:
    """Return the IPv6 address on the link to the netvm; empty for none."""
    return qube.properties.get("ip6") or default_ip6(computer, qube)


def gateway_of(computer: Computer, qube: Qube) -> str:
    """Return the IPv4 address that clients route to; empty if it is no netvm."""
    return visible_ip_of(computer, qube) if provides_network(qube) else ""


def gateway6_of(computer: Computer, qube: Qube) -> str:
    """Return the IPv6 address that clients route to; empty if it is no netvm."""
    if not provides_network(qube) or not has_ipv6(computer, qube):
        return ""
    return ip6_of(computer, qube)


def visible_ip_of(computer: Computer, qube: Qube) -> str:
    """Return the IPv4 address that the qube is told: a feature may hide its own."""
    shown = find_feature(computer, qube, "net.fake-ip", template_of)
    return shown or ip_of(computer, qube)


def visible_gateway_of(computer: Computer, qube: Qube) -> str:
    """Return the IPv4 gateway as the qube itself is told."""
    shown = find_feature(computer, qube, "net.fake-gateway", template_of)
    netvm = netvm_of(computer, qube)
    return shown or (gateway_of(computer, netvm) if netvm else "")


def visible_gateway6_of(computer: Computer, qube: Qube) -> str:
    """Return the IPv6 gateway as the qube itself is told."""
    netvm = netvm_of(computer, qube)
    if netvm is None or not has_ipv6(computer, qube):
        return ""
    return gateway6_of(computer, netvm)
