# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether programs of a qube may ask for ports, as its features say. No windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from qubesforward.model.rule import Reach

_MODE = "portmap"
_REACH = "portmap-reach"

FEATURES = (_MODE, _REACH)


class Mode(StrEnum):
    """What a program gets that asks for a port; `OFF` is the feature's absence."""

    OFF = ""
    ASK = "ask"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class PortmapPolicy:
    """The two features that the window sets."""

    mode: Mode = Mode.OFF
    reach: Reach = Reach.LAN

    def features(self) -> dict[str, str | None]:
        """Return the value of each feature; None where it is to be removed."""
        return {
            _MODE: str(self.mode) or None,
            _REACH: None if self.reach is Reach.LAN else str(self.reach),
        }


def read_policy(features: Mapping[str, str]) -> PortmapPolicy:
    """Return what the features say; what cannot be read is off, as in the daemon."""
    mode, reach = features.get(_MODE, ""), features.get(_REACH, Reach.LAN)
    if mode not in tuple(Mode) or reach not in tuple(Reach):
        return PortmapPolicy()
    return PortmapPolicy(Mode(mode), Reach(reach))
