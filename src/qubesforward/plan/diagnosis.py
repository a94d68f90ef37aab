# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a forward does not work: from facts to findings, and to the one cause.

Pure: the facts were gathered before (`qubesforward.daemon.diagnose`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qubesforward.model.entry import Entrance
from qubesforward.model.rule import ForwardType
from qubesforward.plan.facts import (
    Answer,
    EntryFacts,
    Finding,
    ForwardFacts,
    Mark,
    QubeFacts,
    Rank,
    bad,
    good,
    join_words,
    note,
)
from qubesforward.plan.planner import Verdict
from qubesforward.plan.qube_findings import advise_tunnel, find_in_qube, find_service

_MOST_ADDRESSES = 4


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found: of the forward as a whole, and by qube, outermost first.

    `sentence` names the cause and what to do; where all is well it says so.
    """

    well: bool
    sentence: str
    general: tuple[Finding, ...]
    qubes: tuple[tuple[str, tuple[Finding, ...]], ...]


def diagnose_forward(facts: ForwardFacts) -> Diagnosis:
    """Look at everything that is known, and name the cause of what is wrong."""
    general = tuple(_find_general(facts))
    qubes = tuple(
        (one.name, tuple(_find_at(facts, index)))
        for index, one in enumerate(facts.qubes)
    )
    found = [*general, *(finding for _name, some in qubes for finding in some)]
    wrong = [finding for finding in found if finding.mark is Mark.BAD]
    if wrong:
        # Of the same rank, the one that packets meet first.
        sentence = min(wrong, key=lambda finding: finding.rank).cause
    else:
        sentence = _praise(facts)
    return Diagnosis(not wrong, sentence, general, qubes)


def _find_general(facts: ForwardFacts) -> Iterator[Finding]:
    verdict = facts.outcome.verdict
    if verdict not in (Verdict.READY, Verdict.HALTED):
        yield _find_verdict(facts)
    yield from _find_client(facts)
    if facts.outcome.asked.rule.bypass:
        yield note("it may enter beside a tunnel (bypass=yes)")
    if facts.outcome.asked.rule.forwardtype is ForwardType.INTERNAL:
        yield note("the outbound rules of the qube that connects must allow it too")


def _find_verdict(facts: ForwardFacts) -> Finding:
    outcome = facts.outcome
    rule = outcome.asked.rule
    came = "was imported" if rule.is_waiting else "came with a copy of another qube"
    cause = {
        Verdict.EXPIRED: "The time of the forward is over: open it again.",
        Verdict.UNCONFIRMED: (
            f"The forward {came} and stays inactive until"
            f" you confirm it (qvm-firewall {outcome.asked.owner} confirm)."
        ),
        Verdict.CONFLICT: (
            f"{outcome.reason}: close that forward, or choose another outer port."
        ),
        Verdict.UNREACHABLE: f"No path leads to {outcome.asked.target}:"
        f" {outcome.reason}{_advise_path(facts)}.",
        Verdict.REFUSED: f"The forward is refused ({outcome.reason}):"
        f" {advise_tunnel(outcome.reason.partition(':')[0])}.",
    }[outcome.verdict]
    return bad(Rank.FORWARD, f"{outcome.verdict}: {outcome.reason}", cause)


def _advise_path(facts: ForwardFacts) -> str:
    *hops, target = [one.qube for one in facts.qubes]
    if target.netvm is None:
        return f"; give it one (qvm-prefs {target.name} netvm NETVM)"
    without = [hop.name for hop in hops if not hop.agent]
    if without:
        return f"; install qubes-forward in the template of {without[-1]}"
    return ""


def _find_client(facts: ForwardFacts) -> Iterator[Finding]:
    source = facts.outcome.asked.rule.srchost
    who = "anyone" if source is None else str(source)
    families = {step.entry.family for step in facts.outcome.steps}
    client = facts.client
    if client is None:
        yield good(f"may connect: {who}")
    elif source is not None and client not in source:
        yield bad(
            Rank.CLIENT,
            f"may connect: {who}, and {client} may not",
            f"{client} may not connect, only {who} may: open the port for it too"
            f" (--from {client}).",
        )
    elif families and client.version not in families:
        yield bad(
            Rank.CLIENT,
            f"{client} may connect, but there is no path of IPv{client.version}",
            f"There is no IPv{client.version} all the way to"
            f" {facts.outcome.asked.target}: connect by IPv{families.pop()}.",
        )
    else:
        yield good(f"may connect: {who}, so {client} may")


def _find_at(facts: ForwardFacts, index: int) -> Iterator[Finding]:
    here = facts.qubes[index]
    is_open = facts.outcome.verdict is Verdict.READY
    is_target = index == len(facts.qubes) - 1
    below = "" if is_target else facts.qubes[index + 1].name
    yield from find_in_qube(here, below, is_open=is_open)
    if not is_open:
        return
    if index == 0:
        yield _find_address(facts)
    else:
        yield from _find_way(facts.qubes[index - 1], here)
    if is_target and here.answer is Answer.GIVEN:
        yield from find_service(here)


def _find_address(facts: ForwardFacts) -> Finding:
    name = facts.qubes[0].name
    if facts.dial:
        return good(f"is dialled at {describe_dial(facts, 'or')}")
    return bad(
        Rank.ADDRESS,
        "has no address outside that could be dialled",
        f"{name} has no address on any outside network: connect it.",
    )


def describe_dial(facts: ForwardFacts, last: str) -> str:
    """Write where to connect to, with the port."""
    ports = facts.outcome.asked.rule.srcports.short
    shown = [
        f"[{address}]:{ports}" if ":" in address else f"{address}:{ports}"
        for address in facts.dial[:_MOST_ADDRESSES]
    ]
    return join_words(shown).replace(" and ", f" {last} ")


def _find_way(above: QubeFacts, here: QubeFacts) -> Iterator[Finding]:
    """Look for packets that passed the qube above and have not come here."""
    for one in here.entries:
        before = _entry_alike(above.entries, one)
        if before is None:
            continue
        sent, come = above.traffic(before), here.traffic(one)
        if not sent or come != 0:
            continue
        maybe = [*above.blocks(before), *here.blocks(one)]
        cause = f"Packets pass {above.name} and none comes to {here.name}: "
        if maybe:
            cause += f"look at '{maybe[0].rule}' in {maybe[0].where}, which may stop it"
        else:
            cause += f"try again now, and if that stays so, restart {here.name}"
        text = (
            f"none of the {sent} packets of {one.entry.proto} over IPv"
            f"{one.entry.family} that passed {above.name} has come here"
        )
        yield bad(Rank.WAY, text, f"{cause}.")


def _entry_alike(entries: Sequence[EntryFacts], one: EntryFacts) -> EntryFacts | None:
    for other in entries:
        same_path = (other.entry.proto, other.entry.family) == (
            one.entry.proto,
            one.entry.family,
        )
        if same_path and other.entry.entrance is not Entrance.SELF:
            return other
    return None


def _praise(facts: ForwardFacts) -> str:
    first = facts.qubes[0]
    packets = sum(first.traffic(one) or 0 for one in first.entries)
    if packets:
        count = f"{packets} packet{' has' if packets == 1 else 's have'}"
        return f"All is well: {count} come through so far."
    return (
        "All is as it should be, but nobody has tried yet: connect to"
        f" {describe_dial(facts, 'or')}."
    )
