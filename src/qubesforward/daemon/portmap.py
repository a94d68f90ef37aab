# SPDX-License-Identifier: GPL-2.0-or-later
"""The desk at which gateways ask for ports in the name of their qubes' programs.

A request is granted by the qube's policy or by the user, gets a free outer port, and
becomes a forward like others: the next pass plans and publishes it. What planning then
does not open is taken back, and the gateway is told.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence

from qubesforward.daemon.allotment import Allotment
from qubesforward.daemon.announcer import Announcer
from qubesforward.daemon.audit import Audit, AuditUnavailable
from qubesforward.daemon.audit_event import AuditEvent, Happening
from qubesforward.daemon.consent import Consent, Decision, Question, Scope
from qubesforward.daemon.gateway_links import Link
from qubesforward.daemon.gateways import Gateways
from qubesforward.daemon.hop import Hop
from qubesforward.daemon.hops import Hops
from qubesforward.daemon.mappings import Mapping, Mappings, Place
from qubesforward.daemon.pace import Pace
from qubesforward.daemon.questions import Questions
from qubesforward.daemon.reconciler import Reconciler
from qubesforward.daemon.standing import Standing, StandingForwards
from qubesforward.daemon.topology import Topology
from qubesforward.model.rule import ForwardRule, Origin, Reach
from qubesforward.model.text import format_rule
from qubesforward.plan.planner import Outcome, Plan, Verdict
from qubesforward.plan.snapshot import PortmapPolicy, Qube
from qubesforward.qubes.mapping_wire import (
    Closed,
    Denial,
    FromGateway,
    Gone,
    Map,
    Outside,
    Unmap,
)

_log = logging.getLogger(__name__)

_SAVE_SECONDS = 1.0
"""Seconds until new mappings are written down, all of them in one file."""

_SHORT, _LONG = 30, 600
"""Seconds after which it may make sense to ask again."""


class PortmapDesk:
    """All that is asked for by NAT-PMP, PCP and UPnP. `now` is wall-clock time."""

    def __init__(
        self,
        mappings: Mappings,
        topology: Topology,
        hops: Hops,
        gateways: Gateways,
        reconciler: Reconciler,
        audit: Audit,
        announcer: Announcer,
        now: Callable[[], float],
        boot_id: str,
    ) -> None:
        self.consent = Consent(lambda: secrets.token_hex(4))
        self._mappings = mappings
        self._topology = topology
        self._hops = hops
        self._gateways = gateways
        self._reconciler = reconciler
        self._audit = audit
        self._now = now
        self.questions = Questions(
            self.consent, topology, gateways, audit, announcer, now
        )
        self._news: list[AuditEvent] = []
        self._fresh: list[Mapping] = []
        self._allotment = Allotment(mappings, topology, reconciler, now, boot_id)
        self._standing = StandingForwards(reconciler, self._is_refused)
        self._commit: asyncio.TimerHandle | None = None
        self._saving: asyncio.TimerHandle | None = None
        self._pace = Pace()

    def restore(self) -> None:
        """Take in what was granted earlier in this boot."""
        self.consent.until_reboot |= self._mappings.load()

    def stop(self) -> None:
        """Keep what is known for the next run."""
        self.questions.stop()
        for timer in (self._commit, self._saving):
            if timer is not None:
                timer.cancel()
        self._save()

    # Gateways

    def attach(self, link: Link) -> None:
        """Take in a gateway's new connection."""
        self._gateways.attach(link)

    def detach(self, link: Link) -> None:
        """Let a gateway go."""
        self._gateways.detach(link)

    def receive(self, link: Link, message: FromGateway) -> None:
        """Take in what a gateway says."""
        if not self._gateways.is_current(link):
            return
        if isinstance(message, Map):
            self._ask(link, message)
        elif isinstance(message, Unmap):
            self._unmap(link, message)
        elif isinstance(message, Outside):
            self._gateways.note_outside(link, message)
        elif isinstance(message, Closed):
            self._gateways.note_closed(link, message)
        else:
            self._gateways.note_edge(link, message)

    def _ask(self, link: Link, asked: Map) -> None:
        qube = self._gateways.find_client(link, asked.client)
        policy = None if qube is None else qube.portmap
        place = asked.client, asked.proto, asked.inner
        held = self._mappings.find(place)
        is_anothers = held is not None and (qube is None or held.qube != qube.name)
        if qube is None or policy is None or is_anothers:
            # It may be on its way here, or this gateway not know yet that it left; or
            # another qube, elsewhere, has the same address.
            self._gateways.deny(link, asked, Denial.DENIED, _SHORT)
            return
        now = self._now()
        if held is not None:
            self._renew(link, held, asked, policy)
            return
        if asked.again and self._mappings.has_ended(place):
            # Its gateway could not be told; the program has not asked for it again.
            link.send(Gone(*place))
            return
        standing = self._standing.find(qube, policy, place)
        if standing is not None:
            self._tell_standing(link, qube, asked, standing)
            return
        is_held = self._mappings.has_inner(qube.name, asked.inner)
        decision = self.consent.decide(qube, asked.inner, is_held=is_held, now=now)
        if decision is Decision.YES:
            self._grant(link, qube, asked, "policy" if not policy.asks else "user")
        elif decision is Decision.NO:
            retry = self.consent.rest_left(qube.uuid, now)
            self._gateways.deny(link, asked, Denial.DENIED, retry)
        else:
            self.questions.put(link, qube, asked)

    def _tell_standing(
        self, link: Link, qube: Qube, asked: Map, standing: Standing
    ) -> None:
        if asked.src:
            # What is open to all cannot be for some only, and a filter must hold.
            self._gateways.deny(link, asked, Denial.DENIED, _SHORT)
            return
        if asked.exact and asked.outer != standing.outer:
            self._gateways.deny(link, asked, Denial.CONFLICT, _SHORT)
            return
        place = asked.client, asked.proto, asked.inner
        self._standing.note_told(link.source, qube.name, place, standing)
        self._gateways.tell_standing(link, qube, asked, standing)

    def _renew(
        self, link: Link, held: Mapping, asked: Map, policy: PortmapPolicy
    ) -> None:
        until = self._now() + min(asked.lifetime, policy.lifetime)
        if until > held.until or asked.src != held.src:
            held.renew(max(until, held.until), asked.src)
            self._mappings.changed = True
            self._plan_soon()
        if asked.holder not in held.holders:
            held.holders = (*held.holders, asked.holder)[-4:]
        held.gateway = link.source
        self._gateways.answer(held)

    def _grant(self, link: Link, qube: Qube, asked: Map, agreed: str) -> None:
        policy = qube.portmap
        if policy is None or qube.netvm is None:
            self._gateways.deny(link, asked, Denial.DENIED, _LONG)
            return
        mapping = Mapping(
            qube=qube.name,
            uuid=qube.uuid,
            xid=qube.xid,
            netvm=qube.netvm,
            gateway=link.source,
            client=asked.client,
            proto=asked.proto,
            inner=asked.inner,
            outer=asked.outer or asked.inner,
            until=self._now() + min(asked.lifetime, policy.lifetime),
            created=self._mappings.next_age(),
            reach=policy.reach if asked.client.version == 4 else Reach.LAN,
            src=asked.src,
            holders=(asked.holder,),
            name=asked.name,
        )
        denial = self._allotment.allot(qube, policy, mapping, exact=asked.exact)
        if denial is not None:
            self._gateways.deny(link, asked, denial, _SHORT)
            return
        self._mappings.add(mapping)
        self._fresh.append(mapping)
        words = [f"by {agreed}", asked.holder.partition(":")[0]]
        self._news += [
            AuditEvent(
                Happening.GRANTED,
                qube=qube.name,
                rule=format_rule(rule),
                reason=", ".join(words),
                origin=str(Origin.PORTMAP),
                by=link.source,
            )
            for rule in mapping.rules
        ]
        self._plan_soon()
        self._gateways.answer(mapping)

    def _unmap(self, link: Link, asked: Unmap) -> None:
        place = asked.client, asked.proto, asked.inner
        qube = self._gateways.find_client(link, asked.client)
        held = self._mappings.find(place)
        if qube is None or (held is not None and held.qube != qube.name):
            return
        self.questions.withdraw(place)
        self._standing.forget(place)
        if self._mappings.release(place) is not None:
            self._gateways.forget(place)
            self._plan_soon()

    def grant(self, question_id: str, scope: Scope, by: str) -> Question:
        """Take in a yes to a question; raises `NoSuchRequest`."""
        question, waiting = self.questions.grant(question_id, scope, by)
        for link, asked in waiting:
            qube = self._gateways.find_client(link, asked.client)
            if qube is not None and qube.uuid == question.uuid:
                self._grant(link, qube, asked, "user")
        mine = self._topology.snapshot.get(question.qube)
        if scope is not Scope.ONCE and mine is not None:
            self._gateways.lift(mine)
        # Whoever answered must not be asked again because this process ends now.
        self._save()
        return question

    def close(
        self, qube: Qube, rules: Sequence[ForwardRule], by: str
    ) -> set[ForwardRule]:
        """Close the mappings that these forwards are of; return their places.

        What the user closes is not asked for again for a while.
        """
        found = self._mappings.find_by_rules(qube.name, rules)
        closed = [rule for each in found for rule in each.rules]
        for each in found:
            self._mappings.close(each.place)
        if found:
            self.consent.note_denial(qube.uuid, self._now())
            self._save()
            self._audit.record(
                [
                    AuditEvent(
                        Happening.REMOVED,
                        qube=qube.name,
                        rule=format_rule(rule),
                        origin=str(Origin.PORTMAP),
                        by=by,
                    )
                    for rule in closed
                ]
            )
        return {rule.place for rule in closed}

    def list_vias(self, qube: str) -> dict[ForwardRule, list[str]]:
        """Return by which protocols a qube's mappings are held, by their places."""
        return self._mappings.list_vias(qube)

    # Passes

    def _plan_soon(self) -> None:
        loop = asyncio.get_running_loop()
        self._pace.note_change(loop.time())
        if self._commit is None:
            delay = self._pace.delay(loop.time())
            self._commit = loop.call_later(delay, self._commit_in_time)

    def _commit_in_time(self) -> None:
        # One timer for any number of changes: each of them would cost one otherwise.
        loop = asyncio.get_running_loop()
        delay = self._pace.delay(loop.time())
        if delay > 0:
            self._commit = loop.call_later(delay, self._commit_in_time)
        else:
            self._commit = None
            self._commit_now()

    def _commit_now(self) -> None:
        """Log what was granted, write it down, and have it planned."""
        self._pace.note_commit()
        news, self._news = self._news, []
        fresh, self._fresh = self._fresh, []
        try:
            self._audit.require(news)
        except AuditUnavailable as error:
            _log.error("%s", error)
            for each in fresh:
                self._mappings.remove(each.place)
        self._save_in_time()
        self._reconciler.wake()

    def _save_in_time(self) -> None:
        """Write down at once what has ended, and soon what is new.

        What is new and lost with this process is asked for again by its gateway; what
        has ended must not come back.
        """
        if self._mappings.has_lost:
            self._save()
        elif self._mappings.changed and self._saving is None:
            loop = asyncio.get_running_loop()
            self._saving = loop.call_later(_SAVE_SECONDS, self._save)

    def _save(self) -> None:
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None
        try:
            self._mappings.save(self.consent.until_reboot)
        except OSError as error:
            # They are open all the same, and end in time; a restart forgets them.
            _log.error("mappings cannot be kept: %s", error)

    def pass_done(self) -> None:
        """Take back what was not planned, and tell gateways what has changed."""
        plan = self._reconciler.plan
        self._allotment.note_planned()
        self._standing.note_planned()
        self._drop_unplanned(plan)
        self.drop_refused()
        self.questions.follow()
        self._drop_standing()
        self._distrust()
        self._gateways.tell_all()
        if self._commit is None:
            self._save_in_time()

    def _drop_unplanned(self, plan: Plan) -> None:
        for outcome in plan.outcomes:
            rule = outcome.asked.rule
            if rule.origin is not Origin.PORTMAP or outcome.verdict is Verdict.READY:
                continue
            for each in self._mappings.find_by_rules(outcome.asked.target, [rule]):
                # Not one that has come since, at the same port.
                if rule in each.rules and not each.is_cone:
                    self._mappings.remove(each.place)
                    self._plan_soon()

    def _drop_standing(self) -> None:
        """Tell gateways which of the user's forwards lead to their ports no more."""

        def find(name: str, place: Place) -> Standing | None:
            qube = self._topology.snapshot.get(name)
            if qube is None or qube.portmap is None:
                return None
            if place[0] not in (qube.ip, qube.ip6):
                return None
            return self._standing.find(qube, qube.portmap, place)

        for source, place in self._standing.take_ended(find):
            self._gateways.tell_gone(source, place)

    def _is_refused(self, outcome: Outcome) -> bool:
        hops = {name: hop for name, hop in self._hops.open.items() if hop.refused}
        return bool(hops) and _is_refused(outcome, hops)

    def drop_refused(self) -> None:
        """Take back what a hop says it does not open: the program must be told."""
        hops = {name: hop for name, hop in self._hops.open.items() if hop.refused}
        if not hops:
            return
        for outcome in self._reconciler.plan.outcomes:
            rule = outcome.asked.rule
            if rule.origin is Origin.PORTMAP and _is_refused(outcome, hops):
                for each in self._mappings.find_by_rules(outcome.asked.target, [rule]):
                    self._mappings.remove(each.place)
                    self._plan_soon()

    def _distrust(self) -> None:
        """Trust no qube until reboot whose programs get nothing any more."""
        off = {q.uuid for q in self._topology.snapshot.values() if q.portmap is None}
        if self.consent.until_reboot & off:
            self.consent.until_reboot -= off
            self._save()


def _is_refused(outcome: Outcome, hops: dict[str, Hop]) -> bool:
    return any(
        hops[step.qube].find_id(step.entry) in hops[step.qube].refused
        for step in outcome.steps
        if step.qube in hops
    )
