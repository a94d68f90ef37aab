# SPDX-License-Identifier: GPL-2.0-or-later
"""From the forwards of all qubes to the entries of all hops (design, section 6).

A pure function of its arguments: the same rules, snapshot, time and boot give the
same plan. Nothing is asked while planning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType

from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.hosts import Network, any_of
from qubesforward.model.rule import ForwardRule, ForwardType, Proto, Reach
from qubesforward.plan.chain import Unreachable, plan_chain
from qubesforward.plan.claims import Claims
from qubesforward.plan.doors import Door, merge_doors
from qubesforward.plan.serving import plan_serving
from qubesforward.plan.snapshot import Qube, Snapshot


@dataclass(frozen=True, slots=True)
class Forwards:
    """The forwards of one qube; `confirmed` is False on a copied, unasked list."""

    rules: tuple[ForwardRule, ...]
    confirmed: bool = True


class Verdict(StrEnum):
    """What planning alone can say of a forward."""

    READY = "ready"
    """Its entries are in the plan."""
    HALTED = "halted"
    """A qube of its chain does not run: nothing is opened, its ports stay its own."""
    CONFLICT = "conflict"
    UNCONFIRMED = "unconfirmed"
    EXPIRED = "expired"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """It would go past the tunnel of a hop, and does not say that it may."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One forward of one qube: `rule` leads to `target`.

    `owner` is the qube whose rule list it is in: the target itself, or the
    template of a disposable.
    """

    target: str
    rule: ForwardRule
    owner: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one hop, or the target, must have for one forward."""

    qube: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one forward; `steps` go from the outermost hop to the target.

    Steps are also given where nothing may be opened yet, for people to look at.
    """

    asked: Asked
    verdict: Verdict
    reason: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The outcome of every forward, and for every hop the entries it must have.

    `clients`: by gateway, the qubes that it serves. `edges`: by outermost hop, the
    forwards for which its LAN's router is to be asked too. `watched`: the hops whose
    router's address on its other side programs are told.
    """

    outcomes: tuple[Outcome, ...] = ()
    entries: Mapping[str, frozenset[Entry]] = field(default_factory=dict)
    clients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    edges: Mapping[str, tuple[ForwardRule, ...]] = field(default_factory=dict)
    watched: frozenset[str] = frozenset()

    @property
    def gateways(self) -> frozenset[str]:
        """The qubes whose gateway has something to do."""
        return frozenset((*self.clients, *self.edges, *self.watched))


def plan_forwards(
    forwards: Mapping[str, Forwards],
    snapshot: Snapshot,
    now: float,
    boot_id: str,
    mappings: Mapping[str, Sequence[ForwardRule]] = MappingProxyType({}),
) -> Plan:
    """Plan every forward of every qube.

    `now` is in seconds since 1970; `boot_id` names this boot of the computer.
    Older forwards win over younger ones that need the same port, and all of them over
    `mappings`, the forwards that programs have asked for.
    """
    claims: Claims[Asked] = Claims()
    outcomes = []
    granted = [
        (Asked(name, rule, name), True)
        for name, rules in mappings.items()
        if name in snapshot
        for rule in rules
    ]
    granted.sort(key=lambda item: (item[0].rule.created, item[0].target))
    for asked, confirmed in [*_by_age(forwards, snapshot), *granted]:
        outcome = plan_alone(asked, confirmed, snapshot, now, boot_id)
        if has_claims(outcome):
            outcome = _claim(outcome, claims)
        outcomes.append(outcome)
    serving = plan_serving(snapshot)
    steps = [
        step
        for outcome in outcomes
        if outcome.verdict is Verdict.READY
        for step in outcome.steps
    ]
    steps += [Step(name, entry) for name, entry in serving.steps]
    return Plan(
        tuple(outcomes),
        _collect_entries(steps),
        serving.clients,
        find_edges(outcomes),
        serving.watched,
    )


def find_edges(outcomes: Iterable[Outcome]) -> dict[str, tuple[ForwardRule, ...]]:
    """Return what LANs' routers are to be asked for, by outermost hop."""
    edges: dict[str, list[ForwardRule]] = {}
    for outcome in outcomes:
        rule = outcome.asked.rule
        if outcome.verdict is Verdict.READY and rule.reach is Reach.INTERNET:
            edges.setdefault(outcome.steps[0].qube, []).append(rule)
    return {name: tuple(rules) for name, rules in edges.items()}


def _by_age(
    forwards: Mapping[str, Forwards], snapshot: Snapshot
) -> list[tuple[Asked, bool]]:
    asked = [
        (Asked(name, rule, name), listed.confirmed)
        for name, listed in forwards.items()
        if name in snapshot
        for rule in listed.rules
    ]
    for qube in snapshot.values():
        listed = forwards.get(qube.template or "") if qube.klass == "DispVM" else None
        if listed is not None and qube.template is not None:
            asked += [
                (Asked(qube.name, rule, qube.template), listed.confirmed)
                for rule in listed.rules
                if rule.disposables
            ]

    def age(item: tuple[Asked, bool]) -> tuple[int, bool, int, str]:
        one = item[0]
        is_instance = one.owner != one.target
        xid = snapshot[one.target].xid if is_instance else 0
        return one.rule.created, is_instance, xid, one.target

    return sorted(asked, key=age)


def has_claims(outcome: Outcome) -> bool:
    """Whether this forward, before any comparing with others, needs its ports."""
    if outcome.verdict is Verdict.HALTED:
        # The halted template of a disposable must not keep them from its instances.
        asked = outcome.asked
        return not asked.rule.disposables or asked.owner != asked.target
    return outcome.verdict is Verdict.READY


def plan_alone(
    asked: Asked, confirmed: bool, snapshot: Snapshot, now: float, boot_id: str
) -> Outcome:
    """Plan one forward as if there were no other."""
    rule = asked.rule
    if rule.has_ended(now, boot_id):
        return Outcome(asked, Verdict.EXPIRED, "its time is over")
    if rule.is_waiting or not confirmed:
        source = "imported" if rule.is_waiting else "copied from another qube"
        reason = f"{source}; activate with: qvm-firewall {asked.owner} confirm"
        return Outcome(asked, Verdict.UNCONFIRMED, reason)
    try:
        chain = plan_chain(asked.target, rule.forwardtype, snapshot)
        steps = _plan_steps(rule, chain)
    except Unreachable as error:
        return Outcome(asked, Verdict.UNREACHABLE, str(error))
    if tunnel := _find_bypassed(rule, chain):
        return Outcome(asked, Verdict.REFUSED, tunnel, steps)
    halted = [qube.name for qube in reversed(chain) if not qube.running]
    if halted:
        names = " and ".join(halted)
        reason = f"{names} is halted" if len(halted) == 1 else f"{names} are halted"
        return Outcome(asked, Verdict.HALTED, reason, steps)
    return Outcome(asked, Verdict.READY, "", steps)


def _find_bypassed(rule: ForwardRule, chain: Sequence[Qube]) -> str:
    """Say which hop's tunnel the forward would bypass unasked; nothing if none."""
    if rule.bypass or rule.forwardtype is ForwardType.INTERNAL:
        return ""
    hops = (hop for hop in chain[1:] if hop.tunnel)
    return next((f"{hop.name}: would bypass tunnel {hop.tunnel}" for hop in hops), "")


def _plan_steps(rule: ForwardRule, chain: Sequence[Qube]) -> tuple[Step, ...]:
    families = _families(rule, chain[:-1])
    return tuple(
        step
        for family in families
        for proto in rule.protos
        for step in _plan_path(rule, chain, proto, family)
    )


def _families(rule: ForwardRule, needed: Sequence[Qube]) -> list[int]:
    """Return the IP versions in which every qube that is forwarded to can be."""
    asked = (4, 6) if rule.srchost is None else (rule.srchost.version,)
    families = []
    missing = ""
    for family in asked:
        without = [qube.name for qube in needed if qube.address(family) is None]
        if not without:
            families.append(family)
        elif not missing:
            missing = f"{without[0]} has no IPv{family} address"
    if not families:
        raise Unreachable(missing)
    return families


def _plan_path(
    rule: ForwardRule, chain: Sequence[Qube], proto: Proto, family: int
) -> list[Step]:
    """Give one protocol and family of a forward, the outermost hop first."""
    src = any_of(family) if rule.srchost is None else rule.srchost
    steps = []
    for below, hop in reversed(list(pairwise(chain))):
        is_first = below is chain[0]
        entry = Entry(
            entrance=_entrance(rule, hop),
            proto=proto,
            ports=rule.srcports,
            src=src,
            to=below.address(family),
            # The outer port is kept up to the target's own netvm, so that two
            # qubes with the same inner port never meet on the way.
            toports=rule.inner_ports if is_first else rule.srcports,
            until=rule.expire if isinstance(rule.expire, int) else None,
            bypass=rule.bypass,
            mapped=rule.is_mapped,
        )
        steps.append(Step(hop.name, entry))
    if chain[0].agent:
        steps.append(Step(chain[0].name, _plan_door(rule, proto, src)))
    return steps


def _entrance(rule: ForwardRule, hop: Qube) -> Entrance:
    if rule.forwardtype is ForwardType.INTERNAL:
        return Entrance.LOCAL
    return Entrance.EXTERNAL if hop.netvm is None else Entrance.UPLINK


def _plan_door(rule: ForwardRule, proto: Proto, src: Network) -> Entry:
    return Entry(
        entrance=Entrance.SELF,
        proto=proto,
        ports=rule.inner_ports,
        src=src,
        until=rule.expire if isinstance(rule.expire, int) else None,
    )


def _claim(outcome: Outcome, claims: Claims[Asked]) -> Outcome:
    for step in outcome.steps:
        winner = claims.find_owner(step.qube, step.entry)
        if winner is not None:
            return lose_to(winner, step.qube, outcome)
    for step in outcome.steps:
        claims.take(step.qube, step.entry, outcome.asked)
    return outcome


def lose_to(winner: Asked, hop: str, outcome: Outcome) -> Outcome:
    """Return what becomes of a forward when an older one has a port that it needs."""
    ports = winner.rule.srcports.short
    reason = f"{winner.target} has port {ports} of {hop} already"
    return replace(outcome, verdict=Verdict.CONFLICT, reason=reason)


def _collect_entries(steps: Iterable[Step]) -> dict[str, frozenset[Entry]]:
    entries: dict[str, set[Entry]] = {}
    doors: dict[tuple[str, Proto, int], list[Door]] = {}
    for step in steps:
        entry = step.entry
        if entry.entrance is Entrance.SELF:
            needed = doors.setdefault((step.qube, entry.proto, entry.family), [])
            needed.append(Door(entry.ports, entry.src, entry.until))
        else:
            entries.setdefault(step.qube, set()).add(entry)
    for (qube, proto, _family), needed in doors.items():
        entries.setdefault(qube, set()).update(render_doors(proto, needed))
    return {qube: frozenset(found) for qube, found in entries.items()}


def render_doors(proto: Proto, needed: Iterable[Door]) -> list[Entry]:
    """Return the entries of a target for all that it must let in, of one family."""
    return [
        Entry(Entrance.SELF, proto, door.ports, door.src, until=door.until)
        for door in merge_doors(needed)
    ]
