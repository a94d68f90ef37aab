# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards that the user made to ports which programs ask for too.

A program that asks for such a port is told the one that is there: nothing is opened,
and nobody asked (the static mappings of RFC 6887, 11.3). Only one that is open to all
of the client's family, and as far out as its programs' ports are, is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qubesforward.daemon.mappings import Place
from qubesforward.daemon.reconciler import Reconciler
from qubesforward.model.hosts import Address, any_of
from qubesforward.model.rule import ForwardRule, ForwardType, Origin, Proto, Reach
from qubesforward.plan.planner import Outcome, Verdict
from qubesforward.plan.snapshot import PortmapPolicy, Qube


@dataclass(frozen=True, slots=True)
class Standing:
    """`outer` of the outermost hop leads to the port, until a time of the clock."""

    outer: int
    until: int | None


class StandingForwards:
    """Finds them in the plan of now, and remembers which gateways were told.

    `is_refused` says of an outcome whether some hop does not open it.
    """

    def __init__(
        self, reconciler: Reconciler, is_refused: Callable[[Outcome], bool]
    ) -> None:
        self._reconciler = reconciler
        self._is_refused = is_refused
        self._by_qube: dict[str, list[Outcome]] | None = None
        self._told: dict[Place, tuple[str, str, Standing]] = {}

    def note_planned(self) -> None:
        """Look at the plan anew."""
        self._by_qube = None

    def find(self, qube: Qube, policy: PortmapPolicy, place: Place) -> Standing | None:
        """Return where the outside reaches a qube's port already, if it does."""
        client, proto, inner = place
        reach = policy.reach if client.version == 4 else Reach.LAN
        for outcome in self._list_of(qube.name):
            rule = outcome.asked.rule
            if not _is_for_all(outcome, client, proto, reach):
                continue
            outer = _find_outer(rule, inner)
            if outer is not None and not self._is_refused(outcome):
                until = rule.expire if isinstance(rule.expire, int) else None
                return Standing(outer, until)
        return None

    def _list_of(self, name: str) -> list[Outcome]:
        if self._by_qube is None:
            self._by_qube = {}
            for outcome in self._reconciler.plan.outcomes:
                rule = outcome.asked.rule
                is_users = rule.origin is Origin.USER
                is_external = rule.forwardtype is ForwardType.EXTERNAL
                if is_users and is_external and outcome.verdict is Verdict.READY:
                    target = outcome.asked.target
                    self._by_qube.setdefault(target, []).append(outcome)
        return self._by_qube.get(name, [])

    def note_told(
        self, gateway: str, qube: str, place: Place, standing: Standing
    ) -> None:
        """Remember that a gateway knows of it, and must hear of its end."""
        self._told[place] = gateway, qube, standing

    def forget(self, place: Place) -> None:
        """Forget it: its gateway has let it go."""
        self._told.pop(place, None)

    def take_ended(
        self, find_now: Callable[[str, Place], Standing | None]
    ) -> Iterator[tuple[str, Place]]:
        """Yield gateways with what they were told and is not so any more."""
        for place, (gateway, qube, standing) in list(self._told.items()):
            if find_now(qube, place) != standing:
                del self._told[place]
                yield gateway, place


def _is_for_all(outcome: Outcome, client: Address, proto: Proto, reach: Reach) -> bool:
    rule = outcome.asked.rule
    return (
        proto in rule.protos
        and any(step.entry.src.version == client.version for step in outcome.steps)
        and rule.srchost in (None, any_of(client.version))
        and (reach is Reach.LAN or rule.reach is reach)
    )


def _find_outer(rule: ForwardRule, inner: int) -> int | None:
    """Return the (first) outer port that a forward leads to an inner one."""
    if inner not in rule.inner_ports:
        return None
    return rule.srcports.first + inner - rule.inner_ports.first
