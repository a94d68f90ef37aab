# SPDX-License-Identifier: GPL-2.0-or-later
"""Gathers what is known of forwards, and of the qubes they lead through, right now.

What follows from it is decided in `qubesforward.plan.diagnosis`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qubesforward.daemon.hops import Hops
from qubesforward.daemon.inquiry import inquire
from qubesforward.daemon.reconciler import Reconciler
from qubesforward.daemon.status import Fields, describe_forward, find_ids
from qubesforward.daemon.topology import Topology
from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import Address, parse_address
from qubesforward.model.observation import Observation
from qubesforward.model.rule import ForwardRule
from qubesforward.plan.diagnosis import Diagnosis, diagnose_forward
from qubesforward.plan.facts import (
    Answer,
    EntryFacts,
    Finding,
    ForwardFacts,
    QubeFacts,
    Stand,
)
from qubesforward.plan.planner import Outcome, Verdict
from qubesforward.plan.snapshot import Qube, Snapshot

MOST_FORWARDS = 50
"""Forwards of one call: what agents are asked about them must fit into one value."""

_CLIENT = b"from="
_UNASKED = (Answer.UNASKED, Observation())

_Answers = Mapping[str, tuple[Answer, Observation]]


def take_client(untrusted_payload: bytes) -> tuple[bytes, Address | None]:
    """Split ``from=ADDRESS``, a first line, off a payload; raise `InvalidRule`."""
    first, _, rest = untrusted_payload.partition(b"\n")
    if not first.startswith(_CLIENT):
        return untrusted_payload, None
    untrusted_text = first.removeprefix(_CLIENT).decode("ascii", "replace")
    return rest, parse_address(untrusted_text, "from")


class Diagnoser:
    """Diagnoses forwards of one qube. `socket_of` gives the path of a QubesDB."""

    def __init__(
        self,
        topology: Topology,
        hops: Hops,
        reconciler: Reconciler,
        socket_of: Callable[[str], str],
    ) -> None:
        self._topology = topology
        self._hops = hops
        self._reconciler = reconciler
        self._socket_of = socket_of
        # Agents know one question at a time: the second would take its place.
        self._asking = asyncio.Lock()

    async def diagnose(
        self, qube: Qube, rules: Sequence[ForwardRule], client: Address | None
    ) -> list[Fields]:
        """Diagnose these forwards of a qube, or all of them if none is given.

        Of several, those that let `client` in are told alone. Raises `InvalidRule`
        for a forward that the qube does not have, and for too many.
        """
        outcomes = _choose(self._outcomes_to(qube.name), rules)
        letting = [each for each in outcomes if _lets_in(each, client)]
        outcomes = letting or outcomes
        if len(outcomes) > MOST_FORWARDS:
            raise InvalidRule(
                f"{len(outcomes)} forwards are too many to diagnose together; name a"
                " port"
            )
        async with self._asking:
            answers = await self._ask(outcomes)
        return [self._diagnose_one(each, answers, client) for each in outcomes]

    def _outcomes_to(self, name: str) -> list[Outcome]:
        outcomes = self._reconciler.plan.outcomes
        return [each for each in outcomes if each.asked.target == name]

    async def _ask(self, outcomes: Sequence[Outcome]) -> _Answers:
        """Ask the agents of all qubes on the way together."""
        snapshot = self._topology.snapshot
        wanted: dict[str, dict[str, None]] = {}
        for outcome in outcomes:
            for name in _path_of(outcome, snapshot):
                wanted.setdefault(name, {})
            for step in outcome.steps:
                wanted[step.qube].update(dict.fromkeys(self._ids(step.qube, outcome)))
        names = [name for name in wanted if _can_answer(snapshot.get(name))]
        found = await asyncio.gather(
            *(inquire(self._socket_of(name), list(wanted[name])) for name in names)
        )
        return dict(zip(names, found, strict=True))

    def _ids(self, name: str, outcome: Outcome) -> list[str]:
        hop = self._hops.open.get(name)
        if hop is None or outcome.verdict is not Verdict.READY:
            return []
        steps = (step for step in outcome.steps if step.qube == name)
        return [one for step in steps for one in find_ids(hop, step.entry)]

    def _diagnose_one(
        self, outcome: Outcome, answers: _Answers, client: Address | None
    ) -> Fields:
        snapshot = self._topology.snapshot
        fields = describe_forward(outcome, snapshot, self._hops.open)
        entries: dict[str, list[EntryFacts]] = {}
        for step, told in zip(outcome.steps, fields["path"], strict=True):
            hop = self._hops.open.get(step.qube)
            ids = () if hop is None else tuple(find_ids(hop, step.entry))
            one = EntryFacts(step.entry, ids, Stand(told["state"]), told["reason"])
            entries.setdefault(step.qube, []).append(one)
        qubes = tuple(
            _gather_qube(name, snapshot, answers, entries.get(name, ()))
            for name in _path_of(outcome, snapshot)
        )
        facts = ForwardFacts(outcome, qubes, tuple(fields["dial"]), client)
        return _describe(fields, diagnose_forward(facts))


def _choose(
    outcomes: Sequence[Outcome], rules: Sequence[ForwardRule]
) -> Sequence[Outcome]:
    if not rules:
        return outcomes
    present = [each.asked.rule for each in outcomes]
    if any(rule not in present for rule in rules):
        raise InvalidRule("the qube has no such forward any more; list them again")
    return [each for each in outcomes if each.asked.rule in rules]


def _lets_in(outcome: Outcome, client: Address | None) -> bool:
    source = outcome.asked.rule.srchost
    return client is None or source is None or client in source


def _path_of(outcome: Outcome, snapshot: Snapshot) -> list[str]:
    """Return the qubes of the path, outermost first; as far as known if none is."""
    target = outcome.asked.target
    hops = [step.qube for step in outcome.steps if step.qube != target]
    if not hops:
        qube = snapshot.get(target)
        while qube is not None and qube.netvm not in (None, target, *hops):
            hops.insert(0, str(qube.netvm))
            qube = snapshot.get(hops[0])
    return [*dict.fromkeys(hops), target]


def _can_answer(qube: Qube | None) -> bool:
    return qube is not None and qube.running and not qube.paused and qube.agent


def _gather_qube(
    name: str, snapshot: Snapshot, answers: _Answers, entries: Sequence[EntryFacts]
) -> QubeFacts:
    qube = snapshot.get(name) or Qube(name, running=False)
    answer, seen = answers.get(name, _UNASKED)
    return QubeFacts(qube, answer, tuple(entries), seen)


def _describe(fields: Fields, diagnosis: Diagnosis) -> dict[str, Any]:
    kept = ("rule", "from", "state", "reason", "dial", "packets")
    return {
        **{name: fields[name] for name in kept},
        "well": diagnosis.well,
        "sentence": diagnosis.sentence,
        "findings": _describe_findings(diagnosis.general),
        "hops": [
            {"qube": name, "findings": _describe_findings(found)}
            for name, found in diagnosis.qubes
        ],
    }


def _describe_findings(findings: Sequence[Finding]) -> list[Fields]:
    return [{"mark": str(one.mark), "text": one.text} for one in findings]
