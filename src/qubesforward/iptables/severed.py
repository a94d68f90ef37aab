# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules that keep targets from taking up connections again that were cut.

See `qubesforward.agent.conntrack` for why they would. In nftables a set forgets them
by itself; here their time is part of the rule, and what is over is left out next time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from qubesforward.iptables.rules import before, join
from qubesforward.model.hosts import Address

MOST = 1000
"""Rules that are kept, the newest; each new connection from below has to pass them."""

_END = re.compile(r"--datestop (\S+)")


def severed_rule(
    proto: str, target: tuple[Address, int], client: tuple[Address, int], until: int
) -> str:
    """Match what a target sends on in a connection that was cut."""
    (source, sport), (to, dport) = target, client
    ports = f"-p {proto} -m {proto} --sport {sport} --dport {dport}"
    return join(f"-s {source} -d {to}", ports, before(until))


def still_severed(rules: Iterable[str], now: float) -> list[str]:
    """Return those whose time is not over, as many as are kept."""
    kept = [rule for rule in rules if _end_of(rule) > now]
    return kept[-MOST:]


def _end_of(rule: str) -> float:
    found = _END.search(rule)
    try:
        last = datetime.fromisoformat(found[1]) if found else None
    except ValueError:
        last = None
    return 0 if last is None else last.replace(tzinfo=UTC).timestamp() + 1
