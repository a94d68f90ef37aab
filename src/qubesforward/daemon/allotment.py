# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a program can have a mapping at all, and at which outer port."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from qubesforward.daemon.allowance import Allowance
from qubesforward.daemon.mappings import Mapping, Mappings
from qubesforward.daemon.outer_ports import Taken, choose_outer, collect_taken
from qubesforward.daemon.reconciler import Reconciler
from qubesforward.daemon.topology import Topology
from qubesforward.plan.planner import Verdict, plan_forwards
from qubesforward.plan.snapshot import PortmapPolicy, Qube
from qubesforward.qubes.mapping_wire import Denial

_BURST = 2048
_SECONDS_EACH = 10.0
"""New mappings of one qube: so many at once, and one more in so many seconds. Each is
some lines of the audit log, which must not be filled at will."""


class Allotment:
    """Gives new mappings their outer ports, by what is planned and granted now."""

    def __init__(
        self,
        mappings: Mappings,
        topology: Topology,
        reconciler: Reconciler,
        now: Callable[[], float],
        boot_id: str,
    ) -> None:
        self._mappings = mappings
        self._topology = topology
        self._reconciler = reconciler
        self._now = now
        self._boot_id = boot_id
        self._allowance = Allowance(_BURST, _SECONDS_EACH)
        self._taken: Taken | None = None
        self._ways: dict[str, Verdict] = {}

    def note_planned(self) -> None:
        """Look anew at what the user's forwards have, and at the chains."""
        self._taken = None
        self._ways.clear()

    def allot(
        self, qube: Qube, policy: PortmapPolicy, mapping: Mapping, *, exact: bool
    ) -> Denial | None:
        """Give a mapping its outer port, or say why it cannot have one."""
        if self._mappings.count(qube.name) >= policy.mappings:
            return Denial.QUOTA
        if not self._allowance.count(qube.name, self._now()):
            return Denial.QUOTA
        way = self._find_way(qube, mapping)
        if way is not Verdict.READY:
            return Denial.DENIED if way is Verdict.REFUSED else Denial.NETWORK
        outer = choose_outer(
            mapping.outer,
            mapping.inner,
            policy.ports,
            lambda port: self._is_free(mapping, port),
            secrets.randbelow,
            exact=exact,
        )
        if outer is None:
            return Denial.CONFLICT
        mapping.outer = outer
        mapping.renew(mapping.until, mapping.src)
        self._allowance.take(qube.name, self._now())
        return None

    def _find_way(self, qube: Qube, mapping: Mapping) -> Verdict:
        """Return what planning says of the qube's chain, remembered until it plans."""
        key = f"{qube.name} {mapping.client}"
        if key not in self._ways:
            plan = plan_forwards(
                {},
                self._topology.snapshot,
                self._now(),
                self._boot_id,
                {qube.name: mapping.rules[:1]},
            )
            self._ways[key] = plan.outcomes[0].verdict
        return self._ways[key]

    def _is_free(self, mapping: Mapping, port: int) -> bool:
        if self._taken is None:
            self._taken = collect_taken(self._reconciler.plan.outcomes)
        ports = self._taken.get(mapping.proto)
        is_users = ports is not None and bool(ports[port])
        return not is_users and self._mappings.is_free_for(mapping, port)
