# SPDX-License-Identifier: GPL-2.0-or-later
"""What qubesd keeps in the QubesDB of a running qube. Looks, never acts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qubesforward.lab.qubesd.network import (
    DNS,
    NETMASK,
    gateway6_of,
    gateway_of,
    ip6_of,
    netvm_of,
    provides_network,
    template_of,
    visible_gateway6_of,
    visible_gateway_of,
    visible_ip_of,
)
from qubesforward.lab.qubesd.state import Computer, Qube

MAX_VALUE = 3072
"""Bytes that a QubesDB value may have."""


def wanted_keys(
    computer: Computer, qube: Qube, clients: Mapping[str, list[Qube]]
) -> dict[str, str]:
    """Return what is kept in the QubesDB of a running qube, under stock's key names."""
    template = template_of(computer, qube)
    keys = {
        "/name": qube.name,
        "/type": qube.klass,
        "/qubes-vm-type": _vm_type(computer, qube),
        "/qubes-vm-persistence": _persistence(qube),
        "/qubes-base-template": template.name if template else "",
    }
    return keys | _uplink_keys(computer, qube) | _provider_keys(computer, qube, clients)


def _vm_type(computer: Computer, qube: Qube) -> str:
    if qube.klass == "TemplateVM":
        return "TemplateVM"
    if not provides_network(qube):
        return "AppVM"
    return "ProxyVM" if netvm_of(computer, qube) else "NetVM"


def _persistence(qube: Qube) -> str:
    if qube.klass == "DispVM":
        return "none"
    return "rw-only" if qube.klass == "AppVM" else "full"


def _uplink_keys(computer: Computer, qube: Qube) -> dict[str, str]:
    if netvm_of(computer, qube) is None:
        return {}
    keys = {
        "/qubes-ip": visible_ip_of(computer, qube),
        "/qubes-netmask": NETMASK,
        "/qubes-gateway": visible_gateway_of(computer, qube),
        "/qubes-ip6": ip6_of(computer, qube),
        "/qubes-gateway6": visible_gateway6_of(computer, qube),
        "/qubes-primary-dns": DNS[0],
        "/qubes-secondary-dns": DNS[1],
    }
    return {key: value for key, value in keys.items() if value}


def _provider_keys(
    computer: Computer, qube: Qube, clients: Mapping[str, list[Qube]]
) -> dict[str, str]:
    if not provides_network(qube):
        return {}
    below = sorted(clients.get(qube.name, []), key=lambda client: client.qid)
    addresses = (visible_ip_of(computer, client) for client in below)
    addresses6 = (ip6_of(computer, client) for client in below)
    gateway = gateway_of(computer, qube)
    keys = {
        "/qubes-netvm-network": gateway,
        "/qubes-netvm-netmask": NETMASK,
        "/qubes-netvm-gateway": gateway,
        "/qubes-netvm-primary-dns": DNS[0],
        "/qubes-netvm-secondary-dns": DNS[1],
        "/connected-ips": _join(addresses),
        "/connected-ips6": _join(addresses6),
    }
    if gateway6 := gateway6_of(computer, qube):
        keys["/qubes-netvm-gateway6"] = gateway6
    return keys


def _join(addresses: Iterable[str]) -> str:
    """Join addresses; what a value cannot hold any more is left out."""
    joined = ""
    for address in filter(None, addresses):
        longer = f"{joined} {address}" if joined else address
        if len(longer) > MAX_VALUE:
            break
        joined = longer
    return joined


OWNED_KEYS = frozenset(
    {
        "/name",
        "/type",
        "/qubes-vm-type",
        "/qubes-vm-persistence",
        "/qubes-base-template",
        "/qubes-ip",
        "/qubes-netmask",
        "/qubes-gateway",
        "/qubes-ip6",
        "/qubes-gateway6",
        "/qubes-primary-dns",
        "/qubes-secondary-dns",
        "/qubes-netvm-network",
        "/qubes-netvm-netmask",
        "/qubes-netvm-gateway",
        "/qubes-netvm-gateway6",
        "/qubes-netvm-primary-dns",
        "/qubes-netvm-secondary-dns",
        "/connected-ips",
        "/connected-ips6",
    }
)
"""Every key that `wanted_keys` may give: the ones to remove when it no longer does."""
