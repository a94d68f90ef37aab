# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether programs of a qube may ask for ports, as its features say. No windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from qubesforward.errors import InvalidRule
from qubesforward.model.ports import PortRange, parse_ports
from qubesforward.model.rule import Reach

_MODE = "portmap"
_REACH = "portmap-reach"
_PORTS = "portmap-ports"
_CONE = "portmap-cone"

FEATURES = (_REACH, _PORTS, _CONE, _MODE)
"""In the order in which they are set: what limits comes before what allows."""

DEFAULT_PORTS = PortRange(1024, 65535)
LARGEST_CONE = 64
"""Ports; what the daemon takes without the feature, and at most (its `features.py`)."""


class Mode(StrEnum):
    """What a program gets that asks for a port; `OFF` is the feature's absence."""

    OFF = ""
    ASK = "ask"
    ALLOW = "allow"


class PortmapField(StrEnum):
    """A field that a problem can stand beside."""

    PORTS = "ports"
    CONE = "cone"


@dataclass(frozen=True, slots=True)
class PortmapPolicy:
    """The features that the window sets, those for ports as texts.

    Without the features it is what this is without arguments: the daemon lets programs
    out to the internet unless told otherwise.
    """

    mode: Mode = Mode.OFF
    reach: Reach = Reach.INTERNET
    ports: str = ""
    cone: str = ""

    def features(self) -> dict[str, str | None]:
        """Return the value of each feature; None where it is to be removed."""
        values = {
            _REACH: None if self.reach is Reach.INTERNET else str(self.reach),
            _PORTS: self.ports or None,
            _CONE: self.cone or None,
            _MODE: str(self.mode) or None,
        }
        return {name: values[name] for name in FEATURES}


def find_problems(policy: PortmapPolicy) -> dict[PortmapField, InvalidRule]:
    """Say which texts for ports the daemon would not take, and why."""
    problems: dict[PortmapField, InvalidRule] = {}
    allowed = DEFAULT_PORTS
    try:
        if policy.ports:
            allowed = parse_ports(policy.ports, _PORTS)
    except InvalidRule as error:
        problems[PortmapField.PORTS] = error
    try:
        if policy.cone:
            _check_cone(parse_ports(policy.cone, _CONE), allowed)
    except InvalidRule as error:
        problems[PortmapField.CONE] = error
    return problems


def _check_cone(cone: PortRange, allowed: PortRange) -> None:
    is_within = cone.first in allowed and cone.last in allowed
    if len(cone) > LARGEST_CONE or not is_within:
        raise InvalidRule(
            f"{_CONE}={cone.short}: give at most {LARGEST_CONE} ports within"
            f" {allowed.short}"
        )


def read_policy(features: Mapping[str, str]) -> PortmapPolicy:
    """Return what the features say; what cannot be read is off, as in the daemon.

    Texts for ports are there all the same, to be mended.
    """
    ports, cone = features.get(_PORTS, ""), features.get(_CONE, "")
    mode, reach = features.get(_MODE, ""), features.get(_REACH, Reach.INTERNET)
    if mode not in tuple(Mode) or reach not in tuple(Reach):
        return PortmapPolicy(ports=ports, cone=cone)
    policy = PortmapPolicy(Mode(mode), Reach(reach), ports, cone)
    if find_problems(policy):
        return PortmapPolicy(Mode.OFF, policy.reach, ports, cone)
    return policy
