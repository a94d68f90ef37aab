# SPDX-License-Identifier: GPL-2.0-or-later
"""What is and is not as it should be in one qube of a forward's path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qubesforward.model.entry import Entrance
from qubesforward.model.observation import Certainty
from qubesforward.plan.facts import (
    Answer,
    EntryFacts,
    Finding,
    Mark,
    QubeFacts,
    Rank,
    Stand,
    bad,
    good,
    join_words,
    note,
)
from qubesforward.plan.snapshot import TUNNEL_FEATURE

UNIT = "qubes-forward-agent"


def find_in_qube(facts: QubeFacts, below: str, *, is_open: bool) -> Iterator[Finding]:
    """Look at one qube; `below` is the next one towards the target, if any.

    Where the forward is not meant to be open, entries are not looked at.
    """
    yield from _find_life(facts)
    is_alive = facts.qube.running and not facts.qube.paused
    if not is_open or not is_alive:
        return
    yield from _find_entries(facts, below)
    # Without an answer nothing was seen.
    yield from _find_blocks(facts)
    if facts.seen.problem:
        yield note(f"not everything could be looked at: {facts.seen.problem}")


def _find_life(facts: QubeFacts) -> Iterator[Finding]:
    name = facts.name
    if not facts.qube.running:
        yield bad(
            Rank.HALTED, "is halted", f"{name} is halted: start it (qvm-start {name})."
        )
    elif facts.qube.paused:
        cause = f"{name} is paused: let it go on (qvm-unpause {name})."
        yield bad(Rank.HALTED, "is paused", cause)
    else:
        yield good("runs")
        yield _find_agent(facts)


def _find_agent(facts: QubeFacts) -> Finding:
    name, rank = facts.name, Rank.AGENT
    if not facts.qube.agent:
        return note(
            "has no forwarding agent: nobody opens its own firewall for the forward,"
            " or can tell what listens there"
        )
    match facts.answer:
        case Answer.GIVEN:
            return good("its agent answers")
        case Answer.STOPPED:
            cause = f"The agent in {name} was stopped: start it there (systemctl start"
            return bad(rank, "its agent was stopped", f"{cause} {UNIT}).")
        case Answer.USELESS:
            text = "its agent answers, but said nothing useful"
            cause = (
                f"What the agent in {name} answers makes no sense: find out what is"
                " wrong with that qube, and restart it."
            )
            return bad(rank, text, cause)
        case Answer.UNASKED:
            cause = f"The QubesDB of {name} does not answer: restart {name}."
            return bad(rank, "its QubesDB does not answer", cause)
    cause = (
        f"The agent in {name} does not answer, it was killed or hangs: restart it"
        f" there (systemctl restart {UNIT})."
    )
    return bad(rank, "its agent does not answer", cause)


def describe_entries(entries: Sequence[EntryFacts]) -> str:
    """Write ``443/tcp`` or ``443/tcp+udp (IPv4 only)``."""
    protos = join_words(one.entry.proto for one in entries).replace(" and ", "+")
    families = {one.entry.family for one in entries}
    only = "" if len(families) > 1 else f" (IPv{families.pop()})"
    return f"{entries[0].entry.ports.short}/{protos}{only}"


def _find_entries(facts: QubeFacts, below: str) -> Iterator[Finding]:
    """Tell of all entries, those of which the same is to be told together."""
    groups: dict[tuple[Stand, str, bool], list[EntryFacts]] = {}
    for one in facts.entries:
        key = (one.stand, one.reason, facts.is_missing(one))
        groups.setdefault(key, []).append(one)
    for (stand, reason, is_missing), group in groups.items():
        if stand is Stand.REFUSED:
            yield _find_refusal(facts, group, reason)
        elif stand is Stand.PENDING:
            cause = f"{facts.name} has not taken the forward yet ({reason}): wait a"
            yield bad(
                Rank.ENTRY,
                f"has not taken {describe_entries(group)} yet: {reason}",
                f"{cause} moment and try again.",
            )
        elif is_missing:
            yield bad(
                Rank.ENTRY,
                f"acknowledged {describe_entries(group)}, but its kernel lacks it",
                f"The kernel of {facts.name} lacks what its agent acknowledged: restart"
                f" the agent there (systemctl restart {UNIT}).",
            )
        else:
            yield good(_describe_active(facts, group, below))


def _find_refusal(
    facts: QubeFacts, group: Sequence[EntryFacts], reason: str
) -> Finding:
    name = facts.name
    cause = f"{name} refuses the forward: {reason}."
    # Texts of the agent: nft/refusals.py.
    if reason.startswith("would bypass tunnel"):
        cause = (
            f"{name} refuses the forward because it {reason}: {advise_tunnel(name)}."
        )
    elif reason.startswith("no custom-"):
        cause = (
            f"The base rules of Qubes are missing in {name} ({reason}): load them"
            " again, or restart that qube."
        )
    text = f"refuses {describe_entries(group)}: {reason}"
    return bad(Rank.ENTRY, text, cause)


def advise_tunnel(name: str) -> str:
    """Say what to do about a forward that would bypass the tunnel of a hop."""
    return (
        "open it again with --bypass-tunnel if it may do that, or with --internal for"
        f" those at the other end of the tunnel; if {name} has no tunnel any more, say"
        f" so (qvm-features --unset {name} {TUNNEL_FEATURE}) and restart it"
    )


def _describe_active(facts: QubeFacts, group: Sequence[EntryFacts], below: str) -> str:
    entry = group[0].entry
    what = describe_entries(group)
    told = [facts.traffic(one) for one in group]
    known = [packets for packets in told if packets is not None]
    count = f", {_count(sum(known))} so far" if known else ""
    if entry.entrance is Entrance.SELF or entry.toports is None:
        return f"lets {what} in{count}"
    return f"passes {what} on to port {entry.toports.short} of {below}{count}"


def _count(packets: int) -> str:
    return f"{packets} packet{'' if packets == 1 else 's'}"


def _find_blocks(facts: QubeFacts) -> Iterator[Finding]:
    groups: dict[tuple[Certainty, str, str], list[EntryFacts]] = {}
    for one in facts.entries:
        for block in facts.blocks(one):
            key = (block.certainty, block.where, block.rule)
            groups.setdefault(key, []).append(one)
    for (certainty, where, rule), group in groups.items():
        what = f"{describe_entries(group)}: '{rule}' in {where}"
        if certainty is Certainty.MAYBE:
            yield note(f"a rule of others may stop {what}")
            continue
        yield bad(
            Rank.BLOCK,
            f"a rule of others stops {what}",
            f"A rule in {facts.name} drops the packets, '{rule}' in {where}: take it"
            " away or narrow it.",
        )


def find_service(facts: QubeFacts) -> Iterator[Finding]:
    """Look at what listens in the target, for the doors that are open."""
    doors: dict[str, list[EntryFacts]] = {}
    for one in facts.entries:
        if one.entry.entrance is Entrance.SELF and one.stand is Stand.ACTIVE:
            doors.setdefault(one.entry.proto, []).append(one)
    judged = [_judge_service(facts, group) for group in doors.values()]
    # A forward of both protocols is all right with a service of one.
    serves = any(finding.mark is not Mark.BAD for finding in judged)
    for finding in judged:
        is_spare = serves and finding.mark is Mark.BAD
        yield note(finding.text) if is_spare else finding


def _judge_service(facts: QubeFacts, doors: Sequence[EntryFacts]) -> Finding:
    name, entry = facts.name, doors[0].entry
    port = f"{entry.proto} port {entry.ports.short}"
    served = {one.entry.family for one in doors if _is_served(facts, one)}
    addresses = join_words(
        str(each.address) for one in doors for each in facts.listeners(one)
    )
    if 4 in served or (served and len(doors) == len(served)):
        text = f"a service listens on {port} of {addresses}"
        if len(served) == len(doors):
            return good(text)
        return note(f"{text}: who comes by IPv6 finds nothing")
    own = join_words(_own_addresses(facts, doors))
    if served:
        cause = (
            f"The service in {name} listens for IPv6 only, on {addresses}: have it"
            f" listen on {own or '0.0.0.0'} or 0.0.0.0 too."
        )
        text = f"the service on {port} listens for IPv6 only ({addresses})"
    elif addresses:
        cause = (
            f"The service in {name} listens on {addresses} only, where nobody else"
            f" reaches it: have it listen on {own}, or on all addresses."
        )
        text = f"the service on {port} listens on {addresses} only"
    else:
        cause = f"Nothing listens on {port} of {name}: start the service there."
        text = f"nothing listens on {port}"
    return bad(Rank.SERVICE, text, cause)


def _own_addresses(facts: QubeFacts, doors: Iterable[EntryFacts]) -> Iterator[str]:
    for one in doors:
        address = facts.qube.address(one.entry.family)
        if address is not None:
            yield str(address)


def _is_served(facts: QubeFacts, door: EntryFacts) -> bool:
    own = facts.qube.address(door.entry.family)
    return any(
        each.address.is_unspecified or each.address == own
        for each in facts.listeners(door)
    )
