# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks of UDP ports that are open as long as their qube runs (`portmap-cone`).

For programs that could be reached, but do not know how to ask: whatever socket they
bind to a port of the block is reached there by anyone, at the same port of the
outermost hop, and sends from there: filtering that is independent of the endpoint
(RFC 4787, 5).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from qubesforward.daemon.mappings import FOREVER, Mapping, Mappings
from qubesforward.daemon.outer_ports import PROTOCOLS_OWN
from qubesforward.daemon.rules import Rules
from qubesforward.model.rule import Proto, Reach
from qubesforward.model.text import format_enforced
from qubesforward.plan.snapshot import Qube, Snapshot

_log = logging.getLogger(__name__)

_ACCEPT_ALL = [("action=accept", None)]
"""The rule that new qubes have, without an end."""


_NOT_WITH_RULES = "not with outbound rules other than one that accepts everything"


class Cones:
    """Keeps the mappings of blocks as features and rules say."""

    def __init__(self, mappings: Mappings, rules: Rules) -> None:
        self._mappings = mappings
        self._rules = rules
        self.refused: dict[str, str] = {}
        """Why a block is not open, by qube."""

    def follow(self, snapshot: Snapshot) -> None:
        """Make what is missing, and remove what is no more to be."""
        for name in self.refused.keys() - snapshot.keys():
            del self.refused[name]
        wanted = {
            each.place: each
            for qube in snapshot.values()
            if self._is_wanted(qube, snapshot)
            for each in _list_mappings(qube)
        }
        for held in list(self._mappings):
            if not held.is_cone:
                continue
            as_wanted = wanted.get(held.place)
            if as_wanted is None or as_wanted.reach is not held.reach:
                self._mappings.remove(held.place)
        for place, each in wanted.items():
            # What a program has been granted there stays until it lets it go.
            is_free = self._mappings.find(place) is None
            if is_free and not self._mappings.is_closed(each):
                self._mappings.add(each)

    def _is_wanted(self, qube: Qube, snapshot: Snapshot) -> bool:
        """Whether a qube has its block now.

        Not with outbound rules: whoever sends something to the block may be answered
        (to hops that belongs to his flow), and so rules would hold nobody back.
        """
        if qube.portmap is None or qube.portmap.cone is None or not qube.running:
            self.refused.pop(qube.name, None)
            return False
        found = self._rules.get_outbound(qube, snapshot)
        if [(format_enforced(rule), rule.expire) for rule in found] == _ACCEPT_ALL:
            self.refused.pop(qube.name, None)
            return True
        why = f"portmap-cone={qube.portmap.cone}: {_NOT_WITH_RULES}"
        if self.refused.get(qube.name) != why:
            self.refused[qube.name] = why
            _log.warning("%s: %s", qube.name, why)
        return False


def _list_mappings(qube: Qube) -> Iterator[Mapping]:
    policy = qube.portmap
    if policy is None or policy.cone is None or qube.netvm is None:
        return
    for client in (qube.ip, qube.ip6):
        if client is None:
            continue
        for port in range(policy.cone.first, policy.cone.last + 1):
            if (Proto.UDP, port) in PROTOCOLS_OWN:
                continue
            yield Mapping(
                qube=qube.name,
                uuid=qube.uuid,
                xid=qube.xid,
                netvm=qube.netvm,
                gateway=qube.netvm,
                client=client,
                proto=Proto.UDP,
                inner=port,
                outer=port,
                until=FOREVER,
                # Before all that programs ask for.
                created=0,
                reach=policy.reach if client.version == 4 else Reach.LAN,
                name="portmap-cone",
                is_cone=True,
            )
