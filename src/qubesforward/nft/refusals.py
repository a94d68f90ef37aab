# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hop or target refuses because of what it is, not of what it has already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qubesforward.model.entry import Entrance, Entry
from qubesforward.nft.layout import CUSTOM_FORWARD, CUSTOM_INPUT, CUSTOM_TABLE

LONGEST_REASON = 200
"""Characters of a reason that dom0 takes."""

_AT_UPLINK = (Entrance.UPLINK, Entrance.SELF, Entrance.ANSWER)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What this qube is, as far as it decides which entries it can have.

    `has_uplink`: it has an interface to a netvm of its own. `tunnels`: the interface
    of the default route by IP version, where that is a tunnel. `custom_chains`: the
    chains of Qubes, as (IP version, name), that are there to hold our rule. `uplink`
    and `ways_in` are names of interfaces, for rules that can't do without: the uplink,
    and the tunnels at which `local` entries may be entered.
    """

    has_uplink: bool = False
    tunnels: Mapping[int, str] = field(default_factory=dict)
    custom_chains: frozenset[tuple[int, str]] = frozenset()
    uplink: str = ""
    ways_in: tuple[str, ...] = ()


def needed_chain(entry: Entry) -> tuple[int, str]:
    """Return which chain of Qubes must hold our rule for this entry to work."""
    return entry.family, CUSTOM_INPUT if entry.is_door else CUSTOM_FORWARD


def find_refusal(entry: Entry, here: Surroundings) -> str | None:
    """Say why this qube cannot have the entry, None if it can."""
    misplacement = find_misplacement(entry, here)
    if misplacement is not None:
        return misplacement
    family, chain = needed_chain(entry)
    if (family, chain) not in here.custom_chains:
        table = f"{'ip' if family == 4 else 'ip6'} {CUSTOM_TABLE}"
        return f"no {chain} chain in table {table}"
    return None


def find_misplacement(entry: Entry, here: Surroundings) -> str | None:
    """Say why the entry is not for a qube at this place, None if it is."""
    if entry.entrance is Entrance.EXTERNAL and here.has_uplink:
        return "in=external: this qube has an uplink, so it is not the outermost"
    if entry.entrance in _AT_UPLINK and not here.has_uplink:
        return f"in={entry.entrance}: this qube has no uplink"
    if entry.entrance in (Entrance.UPLINK, Entrance.EXTERNAL) and not entry.bypass:
        tunnel = here.tunnels.get(entry.family)
        if tunnel is not None:
            return f"would bypass tunnel {tunnel}"
    return None


def clean_reason(text: str) -> str:
    """Make a reason fit for dom0: one line of printable ASCII, not too long."""
    printable = "".join(c if " " <= c <= "~" else "?" for c in " ".join(text.split()))
    return printable[:LONGEST_REASON]
