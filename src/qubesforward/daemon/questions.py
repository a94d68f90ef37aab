# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions that are open: who waits for their answers, and what comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from qubesforward.daemon.announcer import Announcer
from qubesforward.daemon.audit import Audit
from qubesforward.daemon.audit_event import AuditEvent, Happening
from qubesforward.daemon.consent import Consent, Question, Scope
from qubesforward.daemon.gateway_links import Link
from qubesforward.daemon.gateways import Gateways
from qubesforward.daemon.mappings import Place
from qubesforward.daemon.topology import Topology
from qubesforward.model.rule import Origin, Reach
from qubesforward.plan.snapshot import Qube
from qubesforward.qubes.mapping_wire import Denial, Map

Waiting = tuple[Link, Map]
"""A gateway, and what it asked for in the name of a program."""


class Questions:
    """Puts them to whoever listens, and ends them. `now` is wall-clock time."""

    def __init__(
        self,
        consent: Consent,
        topology: Topology,
        gateways: Gateways,
        audit: Audit,
        announcer: Announcer,
        now: Callable[[], float],
    ) -> None:
        self._consent = consent
        self._topology = topology
        self._gateways = gateways
        self._audit = audit
        self._announcer = announcer
        self._now = now
        self._waiting: dict[str, dict[Place, Waiting]] = {}
        self._late: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """Take no notice of time any more."""
        if self._late is not None:
            self._late.cancel()

    def put(self, link: Link, qube: Qube, asked: Map) -> None:
        """Have the user asked, or the question that is open stand for this too."""
        question, is_new = self._consent.ask(
            qube, asked.inner, asked.proto, asked.outer, self._now()
        )
        place = asked.client, asked.proto, asked.inner
        is_news = question.add_via(asked.holder.partition(":")[0], asked.name)
        is_news |= place not in self._waiting.get(question.id, ())
        self._waiting.setdefault(question.id, {})[place] = link, asked
        if is_new:
            reason = f"{_describe(question)}, request {question.id}"
            self._note(Happening.REQUESTED, qube.name, reason)
            self._arm_late()
        if is_new or is_news:
            # Not of each repetition: who listens would be flooded.
            self._announcer.announce(qube.name, "portmap-requested", id=question.id)

    def withdraw(self, place: Place) -> None:
        """Take in that no program waits for this any more."""
        for question_id, waiting in list(self._waiting.items()):
            if waiting.pop(place, None) is not None and not waiting:
                self._end(question_id)

    def grant(
        self, question_id: str, scope: Scope, by: str
    ) -> tuple[Question, list[Waiting]]:
        """Take in a yes, and return who waits for it; raises `NoSuchRequest`."""
        question = self._consent.grant(question_id, scope, self._now())
        reason = f"{_describe(question)}: {scope}"
        self._note(Happening.GRANTED, question.qube, reason, by)
        return question, self._end(question_id)

    def deny(self, question_id: str, by: str) -> Question:
        """Take in a no to a question; raises `NoSuchRequest`."""
        question = self._consent.deny(question_id, self._now())
        self._decline(question, by, "the user said no")
        return question

    def _decline(self, question: Question, by: str, why: str) -> None:
        reason = f"{_describe(question)}: {why}"
        self._note(Happening.DECLINED, question.qube, reason, by)
        retry = self._consent.rest_left(question.uuid, self._now())
        for link, asked in self._end(question.id):
            self._gateways.deny(link, asked, Denial.DENIED, retry)

    def _end(self, question_id: str) -> list[Waiting]:
        """Forget a question, and return who waits for its answer."""
        self._consent.drop(question_id)
        self._announcer.announce("dom0", "portmap-answered", id=question_id)
        waiting = self._waiting.pop(question_id, {}).values()
        return [each for each in waiting if self._gateways.is_current(each[0])]

    def find_reach(self, question: Question) -> Reach:
        """Return how far what is asked for would reach."""
        qube = self._topology.snapshot.get(question.qube)
        policy = None if qube is None else qube.portmap
        return Reach.LAN if policy is None else policy.reach

    def follow(self) -> None:
        """Drop the questions of qubes that are gone, or get nothing any more."""
        snapshot = self._topology.snapshot
        for question in list(self._consent.questions):
            qube = snapshot.get(question.qube)
            is_there = qube is not None and qube.running and qube.portmap is not None
            if qube is None or not is_there or qube.uuid != question.uuid:
                self._end(question.id)

    def _arm_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
        end = self._consent.find_next_end()
        if end is not None:
            delay = max(0.0, end - self._now())
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(delay, self._take_late)

    def _take_late(self) -> None:
        for question in self._consent.take_late(self._now()):
            self._decline(question, "", "nobody answered")
        self._arm_late()

    def _note(self, kind: Happening, qube: str, reason: str, by: str = "") -> None:
        origin = str(Origin.PORTMAP)
        event = AuditEvent(kind, qube=qube, reason=reason, origin=origin, by=by)
        self._audit.record([event])


def _describe(question: Question) -> str:
    protos = "+".join(sorted(question.protos))
    return f"port {question.inner}/{protos}"
