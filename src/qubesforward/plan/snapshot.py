# SPDX-License-Identifier: GPL-2.0-or-later
"""What planning knows of the qubes of a computer, at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from qubesforward.model.hosts import Address
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import Reach

TUNNEL_FEATURE = "qubes-forward-tunnel"
"""Feature of a qube that sends what comes from below through a tunnel: its name."""


_UNPRIVILEGED = PortRange(1024, 65535)


@dataclass(frozen=True, slots=True)
class PortmapPolicy:
    """What programs of a qube may get by NAT-PMP, PCP or UPnP.

    `asks`: the user is asked first. `ports` are the outer ports that they can have,
    `lifetime` the longest time in seconds, `mappings` how many at once, and `reach`
    how far out. `cone` are UDP ports that are open unasked while the qube runs.
    """

    asks: bool = True
    ports: PortRange = _UNPRIVILEGED
    lifetime: int = 86400
    mappings: int = 128
    reach: Reach = Reach.INTERNET
    cone: PortRange | None = None


@dataclass(frozen=True, slots=True)
class Qube:
    """One qube.

    `ip` and `ip6` are its addresses on the link to its netvm (never the visible
    ones), None where it has none. `running` holds for paused qubes too. `agent`:
    our agent is installed in it. `xid` is the domain number, which grows with
    every start (0: not running). `template` is None for qubes that have none.
    `tunnel` names the tunnel through which it is known to send what comes from below,
    now or whenever that is up; empty for none. `portmap` None: its programs get
    nothing. `gateway` names the qube that answers them in this netvm's stead.
    """

    name: str
    uuid: str = ""
    klass: str = "AppVM"
    netvm: str | None = None
    ip: IPv4Address | None = None
    ip6: IPv6Address | None = None
    running: bool = True
    agent: bool = True
    template: str | None = None
    xid: int = 0
    paused: bool = False
    provides_network: bool = False
    portmap: PortmapPolicy | None = None
    gateway: str = ""
    tunnel: str = ""

    def address(self, family: int) -> Address | None:
        """Return its address of IP version 4 or 6, if it has one."""
        return self.ip if family == 4 else self.ip6


Snapshot = Mapping[str, Qube]
"""Every qube by its name; a qube that is not in it does not exist."""
