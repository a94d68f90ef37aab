# SPDX-License-Identifier: GPL-2.0-or-later
"""The computer that is soaked: two firewall qubes, two targets, and a neighbour."""

from __future__ import annotations

import json

from tests.soak.model import CLIENTS

TARGETS = ("work", "shop", "fw1")
NETVMS = ("sys-net", "fw1", "fw2")
OUTER = range(4000, 4004)
INNER = range(8000, 8004)

_HEAD = """
[system]
default_netvm = "fw1"
default_template = "debian-12"
[networks.home]
ip = "192.168.1.0/24"
ip6 = "2001:db8:1::/64"
[networks.provider]
ip = "198.51.100.0/24"
ip6 = "2001:db8:ffff::/64"
[hosts.router]
masquerade = "wan0"
cards = [
    { name = "lan0", network = "home", ip = "192.168.1.1", ip6 = "2001:db8:1::1" },
    { name = "wan0", network = "provider", ip = "198.51.100.1", ip6 = "2001:db8:ffff::1", gateway = "198.51.100.2", gateway6 = "2001:db8:ffff::2" },
]
[hosts.internet]
cards = [{ network = "provider", ip = "198.51.100.2", ip6 = "2001:db8:ffff::2" }]
routes = [{ to = "2001:db8:1::/64", via = "2001:db8:ffff::1" }]
[qubes.debian-12]
class = "TemplateVM"
label = "black"
features = { "supported-service.qubes-forward" = "1" }
[qubes.sys-net]
class = "AppVM"
label = "red"
template = "debian-12"
provides_network = true
autostart = true
card = { name = "ens6", network = "home", ip = "192.168.1.10", ip6 = "2001:db8:1::10", gateway = "192.168.1.1", gateway6 = "2001:db8:1::1" }
"""  # noqa: E501 - TOML has its tables on one line

_QUBE = """
[qubes.{name}]
class = "AppVM"
label = "blue"
template = "debian-12"
autostart = true
netvm = "{netvm}"
{more}
"""


def render_topology(server: str) -> str:
    """Return the topology; `server` is the program that targets serve with."""
    text = _HEAD
    for name in ("lan", "lan2"):
        ip, ip6 = CLIENTS[name]
        card = f'network = "home", ip = "{ip}", ip6 = "{ip6}"'
        ways = 'gateway = "192.168.1.1", gateway6 = "2001:db8:1::1"'
        text += f"[hosts.{name}]\ncards = [{{ {card}, {ways} }}]\n"
    ports = json.dumps([*OUTER, *INNER])
    for name, netvm in (("fw1", "sys-net"), ("fw2", "sys-net"), ("work", "fw1")):
        text += _render_qube(name, netvm, server, ports)
    text += _render_qube("shop", "fw2", server, ports)
    ip, ip6 = CLIENTS["neighbour"]
    addresses = f'properties = {{ ip = "{ip}", ip6 = "{ip6}" }}'
    return text + _QUBE.format(name="neighbour", netvm="fw1", more=addresses)


def _render_qube(name: str, netvm: str, server: str, ports: str) -> str:
    more = "provides_network = true\n" if name in NETVMS else ""
    argv = json.dumps(["python3", "-c", server, name, ports])
    more += f"[qubes.{name}.services]\nserver = {argv}\n"
    return _QUBE.format(name=name, netvm=netvm, more=more)
