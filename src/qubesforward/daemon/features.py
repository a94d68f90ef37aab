# SPDX-License-Identifier: GPL-2.0-or-later
"""The features of qubes that are ours, and what they say.

| feature | of | says |
|---|---|---|
| `portmap` | a qube | `ask` or `allow`: its programs may ask for ports; all else: off |
| `portmap-ports` | the same | the outer ports that they can have, `1024-65535` |
| `portmap-lifetime` | the same | the longest time in seconds, `86400` |
| `portmap-mappings` | the same | how many at once, `128` |
| `portmap-reach` | the same | `lan`, or `internet`, which asks the LAN's router too |
| `portmap-cone` | the same | UDP ports that are open while it runs, none |
| `portmap-gateway` | a netvm | the qube that answers such programs instead of itself |
| `qubes-forward-tunnel` | a netvm | the tunnel that it has, or had |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from qubesforward.daemon.answers import parse_tunnel
from qubesforward.errors import InvalidRule
from qubesforward.model.ports import PortRange, parse_ports
from qubesforward.model.rule import Reach
from qubesforward.model.values import parse_choice, parse_number
from qubesforward.plan.snapshot import TUNNEL_FEATURE, PortmapPolicy

_log = logging.getLogger(__name__)

PORTMAP = "portmap"
_PORTS = "portmap-ports"
_LIFETIME = "portmap-lifetime"
_MAPPINGS = "portmap-mappings"
_REACH = "portmap-reach"
_CONE = "portmap-cone"
_GATEWAY = "portmap-gateway"

OURS = frozenset(
    (PORTMAP, _PORTS, _LIFETIME, _MAPPINGS, _REACH, _CONE, _GATEWAY, TUNNEL_FEATURE)
)

_DEFAULT = PortmapPolicy()
_WEEK = 7 * 86400
_MOST_MAPPINGS = 4096
_LARGEST_CONE = 64
_LONGEST_NAME = 64


def read_policy(name: str, features: Mapping[str, str]) -> PortmapPolicy | None:
    """Return what programs of a qube may get; None for nothing.

    What cannot be read turns all of it off, and is logged.
    """
    mode = features.get(PORTMAP, "")
    if mode not in ("ask", "allow"):
        return None
    try:
        ports = _read_ports(features.get(_PORTS))
        return PortmapPolicy(
            asks=mode == "ask",
            ports=ports,
            lifetime=_read_number(features, _LIFETIME, _DEFAULT.lifetime, _WEEK),
            mappings=_read_number(
                features, _MAPPINGS, _DEFAULT.mappings, _MOST_MAPPINGS
            ),
            reach=parse_choice(Reach, features.get(_REACH, _DEFAULT.reach), _REACH),
            cone=_read_cone(features.get(_CONE, ""), ports),
        )
    except InvalidRule as error:
        _log.error("%s: programs get no ports: feature %s", name, error)
        return None


def _read_ports(value: str | None) -> PortRange:
    return _DEFAULT.ports if value is None else parse_ports(value, _PORTS)


def _read_cone(value: str, allowed: PortRange) -> PortRange | None:
    if not value:
        return None
    cone = parse_ports(value, _CONE)
    if (
        len(cone) > _LARGEST_CONE
        or cone.first not in allowed
        or cone.last not in allowed
    ):
        raise InvalidRule(
            f"{_CONE}={value}: give at most {_LARGEST_CONE} ports within {allowed}"
        )
    return cone


def _read_number(
    features: Mapping[str, str], name: str, default: int, last: int
) -> int:
    value = features.get(name)
    if value is None:
        return default
    advice = f"give a number from 1 to {last}"
    number = parse_number(value, name, last, advice)
    if number == 0:
        raise InvalidRule(f"{name}=0: {advice}")
    return number


def read_gateway(features: Mapping[str, str]) -> str:
    """Return the qube that serves programs in a netvm's stead, empty for itself."""
    return features.get(_GATEWAY, "")[:_LONGEST_NAME]


def read_tunnel(features: Mapping[str, str]) -> str:
    """Return the tunnel that a netvm is known to have, empty for none."""
    value = features.get(TUNNEL_FEATURE, "")
    return "" if value == "0" else parse_tunnel(value.encode("ascii", "replace"))
