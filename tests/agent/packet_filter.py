# SPDX-License-Identifier: GPL-2.0-or-later
"""What filters packets in the worlds of tests, before any agent is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.agent.outbound_world import Space

_FILTER = """
table {family} qubes {{
  chain custom-forward {{
  }}
  chain custom-input {{
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    jump custom-input
    ct state invalid drop
    ct state related,established accept
    iifgroup 2 {icmp} accept
    {icmp} accept
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    jump custom-forward
    ct state invalid drop
    ct state related,established accept
    oifgroup 2 drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifgroup 2 accept
    masquerade
  }}
}}
"""

FILTER = _FILTER.format(family="ip", icmp="meta l4proto icmp") + _FILTER.format(
    family="ip6", icmp="meta l4proto icmpv6"
)
"""What Qubes has in every qube, as far as it matters here."""


def load_nft(space: Space) -> None:
    """Load what Qubes has in every qube, as far as it matters here."""
    space.nft(FILTER)


@dataclass(frozen=True)
class PacketFilter:
    """What programs packets in a world, and with what an agent is to do so."""

    load_base: Callable[[Space], None] = load_nft
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


NFT = PacketFilter()
