# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab that is measured in: chains of one, two and three network qubes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.standing import Standing
from tests.lab.running_lab import RunningLab, running_lab

CARD = "192.168.1.10"
"""Address of the outermost hop on the LAN."""

CHAINS = {
    1: ("near", "sys-net"),
    2: ("work", "sys-firewall", "sys-net"),
    3: ("far", "sys-inner", "sys-firewall", "sys-net"),
}
"""By number of network qubes: the target, and its hops from there outwards."""

_HEAD = """
[system]
default_netvm = "sys-firewall"
default_template = "debian-12"
[networks.home]
ip = "192.168.1.0/24"
ip6 = "2001:db8:1::/64"
[hosts.lan]
cards = [{ network = "home", ip = "192.168.1.20", ip6 = "2001:db8:1::20" }]
[qubes.debian-12]
class = "TemplateVM"
label = "black"
[qubes.debian-12.features]
"supported-service.qubes-forward" = "1"
"supported-service.qubes-firewall" = "1"
"""

_CARD = """
[qubes.sys-net.card]
name = "ens6"
network = "home"
ip = "192.168.1.10"
ip6 = "2001:db8:1::10"
"""


def render_topology() -> str:
    """Return the topology file."""
    netvms: dict[str, str] = {}
    for names in CHAINS.values():
        netvms |= dict(zip(names, [*names[1:], ""], strict=True))
    providers = set(netvms.values())
    text = _HEAD
    for name, netvm in netvms.items():
        text += f'[qubes.{name}]\nclass = "AppVM"\nlabel = "blue"\nautostart = true\n'
        text += 'template = "debian-12"\n'
        text += f'netvm = "{netvm}"\n' if netvm else ""
        text += "provides_network = true\n" if name in providers else ""
    return text + _CARD


@contextmanager
def bench_lab() -> Iterator[RunningLab]:
    """Have the lab."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "topology.toml")
        file.write_text(render_topology())
        with running_lab(file) as lab:
            yield lab


def stand(
    stack: ExitStack, lab: RunningLab, where: str, program: str, *words: str
) -> Standing:
    """Start a program of `bench.standing` in a domain."""
    command = [sys.executable, "-u", "-c", program, *words]
    return Standing(stack, lab.spawn(where, command, stderr=None))


def addresses_of(lab: RunningLab) -> dict[str, str]:
    """Return the IPv4 address of every qube of the chains."""
    names = {name for chain in CHAINS.values() for name in chain}
    return {n: lab.check("dom0", "qvm-prefs", n, "ip").strip() for n in names}
