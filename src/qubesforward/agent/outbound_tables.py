# SPDX-License-Identifier: GPL-2.0-or-later
"""The outbound rules that the kernel must hold, in memory, and brought into it.

Whenever anything about a source changes, its chain is rendered whole and replaced in
one transaction; starting, repairing and updating are the same rendering.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from qubesforward.agent.outbound_source import NO_RULES, SourceRules
from qubesforward.errors import ApplyError
from qubesforward.model.hosts import Address
from qubesforward.nft.outbound import (
    DROP_ALL,
    FAMILIES,
    render_base,
    render_connected,
    render_removal,
    render_source,
)
from qubesforward.nft.outbound_match import Flow, Match, permits, plan_matches

LOG = logging.getLogger(__name__)

CutFlows = Callable[[Mapping[Address, Callable[[Flow], bool]]], None]
"""Ends those connections of each source that its function does not permit."""

Resolve = Callable[[str], Collection[Address]]
"""Gives the addresses known of a name."""


class OutboundTables:
    """What is wanted of the kernel for each source.

    `run_nft` applies commands as one transaction or raises `ApplyError`;
    `resolve` gives the addresses known of a name. Where the kernel refuses a
    source's rules that source is shut; a method raises `ApplyError` only if not
    even that, or the default drop, can be applied.
    """

    def __init__(
        self,
        run_nft: Callable[[str], None],
        resolve: Resolve,
        cut_flows: CutFlows | None = None,
    ) -> None:
        self._run_nft = run_nft
        self._resolve = resolve
        self._cut_flows = cut_flows
        self.sources: dict[Address, SourceRules] = {}
        self.connected: dict[int, list[Address]] = {family: [] for family in FAMILIES}
        self.dns: list[Address] = []

    @property
    def names(self) -> set[str]:
        """All names whose addresses are of use."""
        return set().union(*(rules.names for rules in self.sources.values()))

    def repair(self) -> None:
        """Put everything into the kernel, in place of whatever is there."""
        base = render_base() + "".join(
            render_connected(family, self.connected[family]) for family in FAMILIES
        )
        try:
            self._run_nft(base + "".join(map(self._render, self.sources)))
        except ApplyError as error:
            LOG.error("outbound rules: %s; applying them one by one", error)
            self._run_nft(base)
            for source in self.sources:
                self._apply_or_shut(source)

    def set_source(self, source: Address, rules: SourceRules) -> None:
        """Give a source these rules, and cut what they do not permit any more."""
        self.sources[source] = rules
        self.refresh([source])
        self.cut([source])

    def remove_source(self, source: Address) -> None:
        """Leave a source to the default drop, and cut what it had."""
        if self.sources.pop(source, None) is not None:
            self._apply(render_removal(source))
        self.cut([source])

    def set_connected(self, family: int, connected: list[Address]) -> None:
        """Say which addresses of a family (4 or 6) belong behind vifs."""
        self.connected[family] = connected
        self._apply(render_connected(family, connected))

    def set_dns(self, servers: list[Address]) -> None:
        """Say which DNS servers the sources were given."""
        if servers != self.dns:
            self.dns = servers
            self.refresh(self.sources)

    def refresh(self, sources: Iterable[Address]) -> None:
        """Apply the rules of sources again, with the addresses known now."""
        self._apply("".join(map(self._render, sources)))

    def cut(self, sources: Iterable[Address]) -> None:
        """End the connections of sources that their rules do not permit."""
        if self._cut_flows is not None:
            self._cut_flows({s: partial(permits, self._plan(s)) for s in sources})

    def _apply(self, commands: str) -> None:
        if not commands:
            return
        try:
            self._run_nft(commands)
        except ApplyError as error:
            # Either the tables are not what they should be, or the kernel does not
            # take what was asked: both end here, and the first is no harm.
            LOG.error("outbound rules: %s; applying all anew", error)
            self.repair()

    def _apply_or_shut(self, source: Address) -> None:
        try:
            self._run_nft(self._render(source))
        except ApplyError as error:
            LOG.error("outbound rules of %s: %s; dropping everything", source, error)
            self._run_nft(render_source(source, DROP_ALL))

    def _render(self, source: Address) -> str:
        return render_source(source, self._plan(source))

    def _plan(self, source: Address) -> list[Match]:
        rules = self.sources.get(source, NO_RULES)
        known = {name: self._resolve(name) for name in rules.names}
        return plan_matches(rules.rules, source.version, known, self.dns)


MakeTables = Callable[[Resolve, CutFlows | None], OutboundTables]
"""Makes tables in one kind of packet filter."""
