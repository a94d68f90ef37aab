# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets answers leave by the interface that the question came in on, past a tunnel.

Our table marks such packets (chains ``detour-below`` and ``detour-self``); a routing
rule sends what is marked to a table of its own, with a default route that is not the
tunnel. Both exist only while they are needed.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qubesforward.agent.interfaces import (
    Interfaces,
    find_marked_way,
    has_rule_for,
)
from qubesforward.agent.netlink import NetlinkSocket
from qubesforward.agent.route_wire import Link
from qubesforward.errors import ApplyError
from qubesforward.model.hosts import Address
from qubesforward.nft.marks import DETOUR
from qubesforward.nft.shapes import FAMILIES

LOG = logging.getLogger(__name__)

_ROUTES = 0xDE7
"""Number of our routing table."""

_PRIORITY = 90
"""Of our routing rule: before those of VPN programs, which start at some hundreds."""

_CONF = Path("/proc/sys/net/ipv4/conf")
_STRICT, _LOOSE = 1, 2
"""Values of rp_filter (kernel documentation, ip-sysctl)."""

_PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the outside that is not the tunnel."""

    link: Link
    gateway: Address


def find_ways(
    here: Interfaces, uplink_gateways: Mapping[int, Address]
) -> dict[int, Way]:
    """Return, by IP version, the way past the default route where that is a tunnel.

    `uplink_gateways` are what Qubes says: a VPN may have removed their route.
    """
    uplink = here.uplink
    if uplink is not None:
        return {
            family: Way(uplink, uplink_gateways[family])
            for family in here.astray & uplink_gateways.keys()
        }
    return {
        family: Way(link, gateway)
        for family, link, gateway in here.gateways
        if family in here.tunnels and not here.is_tunnel(link)
    }


class Detour:
    """The routing rules and routes of this qube that are ours."""

    def __init__(self, routes: NetlinkSocket) -> None:
        self._routes = routes

    def converge(self, ways: Mapping[int, Way]) -> None:
        """Have detours for these IP versions and no others. Raises `ApplyError`."""
        for family in FAMILIES:
            way = ways.get(family)
            if way is None:
                self._remove(family)
            elif find_marked_way(self._routes, family, DETOUR) != way.link.index:
                self._remove(family)
                self._make(family, way)

    def clear(self) -> None:
        """Have none, and leave no routes for the next one. Raises `ApplyError`."""
        self.converge({})
        for family in FAMILIES:
            # There is no table where there never was a detour, which is an error.
            with suppress(ApplyError):
                _run_ip(family, "route", "flush", "table", str(_ROUTES))

    def _remove(self, family: int) -> None:
        while has_rule_for(self._routes, family, DETOUR):
            _run_ip(family, "rule", "del", *_RULE)

    def _make(self, family: int, way: Way) -> None:
        to = ("via", str(way.gateway), "dev", way.link.name, "onlink")
        _run_ip(family, "route", "replace", "default", *to, "table", str(_ROUTES))
        _run_ip(family, "rule", "add", "priority", str(_PRIORITY), *_RULE)
        if family == 4:
            _accept_detoured(way.link.name)


_RULE = ("fwmark", f"{DETOUR:#x}/{DETOUR:#x}", "lookup", str(_ROUTES))


def _accept_detoured(interface: str) -> None:
    """Let packets in from sources that would be answered by the tunnel.

    A strict check of sources compares with the route without the mark. The looser
    one still wants a route to the source to exist.
    """
    files = [_CONF / name / "rp_filter" for name in ("all", interface)]
    try:
        # The higher of the two values counts.
        if max(int(file.read_text()) for file in files) == _STRICT:
            files[1].write_text(str(_LOOSE))
    except (OSError, ValueError) as error:
        LOG.warning("rp_filter of %s: %s", interface, error)


def _run_ip(family: int, *arguments: str) -> None:
    """Run one ``ip`` command; raise `ApplyError` with what it says if it fails."""
    command = ["ip", f"-{family}", *arguments]
    LOG.info("%s", " ".join(command))
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip()
        raise ApplyError(f"{' '.join(command)}: {said}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyError(f"{' '.join(command)}: {error}") from error
