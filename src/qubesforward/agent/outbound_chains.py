# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules as chains of iptables: all are written with each change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from qubesforward.agent.outbound_tables import CutFlows, OutboundTables, Resolve
from qubesforward.errors import ApplyError
from qubesforward.iptables.outbound import Outbound
from qubesforward.model.hosts import Address
from qubesforward.nft.outbound import DROP_ALL

LOG = logging.getLogger(__name__)


class OutboundChains(OutboundTables):
    """What is wanted for each source; `apply` writes all or raises `ApplyError`."""

    def __init__(
        self,
        apply: Callable[[Outbound], None],
        resolve: Resolve,
        cut_flows: CutFlows | None = None,
    ) -> None:
        super().__init__(lambda _commands: None, resolve, cut_flows)
        self._apply_all = apply

    def repair(self) -> None:
        """Put everything into the kernel, in place of whatever is there."""
        planned = {source: self._plan(source) for source in self.sources}
        try:
            self._apply_all(Outbound(planned, self.connected))
        except ApplyError as error:
            LOG.error("outbound rules: %s; applying them one by one", error)
            shut = {source: [*DROP_ALL] for source in planned}
            self._apply_all(Outbound(shut))
            for source, matches in planned.items():
                try:
                    self._apply_all(Outbound(shut | {source: matches}, self.connected))
                except ApplyError as problem:
                    LOG.error("outbound rules of %s: %s", source, problem)
                else:
                    shut[source] = matches
            self._apply_all(Outbound(shut, self.connected))

    def refresh(self, sources: Iterable[Address]) -> None:
        """Apply the rules of sources again, with the addresses known now."""
        if any(True for _ in sources):
            self.repair()

    def remove_source(self, source: Address) -> None:
        """Leave a source to the default drop, and cut what it had."""
        if self.sources.pop(source, None) is not None:
            self.repair()
        self.cut([source])

    def set_connected(self, family: int, connected: list[Address]) -> None:
        """Say which addresses of a family (4 or 6) belong behind vifs."""
        self.connected[family] = connected
        self.repair()
