# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts in, the one cause out. Each case is the sound path with one thing changed."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.hosts import any_of, parse_network
from qubesforward.model.observation import (
    Block,
    Certainty,
    Listener,
    Observation,
    Traffic,
)
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import ForwardRule, ForwardType, Proto
from qubesforward.plan.diagnosis import diagnose_forward
from qubesforward.plan.facts import (
    Answer,
    EntryFacts,
    ForwardFacts,
    Mark,
    QubeFacts,
    Stand,
)
from qubesforward.plan.planner import Asked, Outcome, Step, Verdict
from qubesforward.plan.snapshot import Qube

OUTER, INNER = PortRange(443, 443), PortRange(8443, 8443)
RULE = ForwardRule(
    ForwardType.EXTERNAL, srcports=OUTER, dstports=INNER, proto=Proto.TCP
)
QUBES = {
    "sys-net": Qube("sys-net", ip=ip_address("10.137.0.5")),  # type: ignore[arg-type]
    "sys-firewall": Qube("sys-firewall", netvm="sys-net"),
    "work": Qube(
        "work",
        netvm="sys-firewall",
        ip=ip_address("10.137.0.20"),  # type: ignore[arg-type]
        ip6=ip_address("fd09::20"),  # type: ignore[arg-type]
    ),
}
TO = {4: ip_address("10.137.0.20"), 6: ip_address("fd09::20")}
BLOCK = Block(Certainty.SURELY, "forward", "ip", "qubes", "custom-forward", "drop")


def entry_at(name: str, family: int, proto: Proto = Proto.TCP) -> Entry:
    if name == "work":
        return Entry(Entrance.SELF, proto, INNER, any_of(family))
    inner = INNER if name == "sys-firewall" else OUTER
    entrance = Entrance.UPLINK if name == "sys-firewall" else Entrance.EXTERNAL
    return Entry(entrance, proto, OUTER, any_of(family), TO[family], inner)


def sound(*protos: Proto, packets: int = 0) -> ForwardFacts:
    """Facts of a forward with which all is well."""
    protos = protos or (Proto.TCP,)
    qubes = []
    for name, qube in QUBES.items():
        entries = [
            EntryFacts(entry_at(name, family, proto), (f"{family}{proto}{name}",))
            for family in (4, 6)
            for proto in protos
        ]
        held = {one.ids[0]: Traffic(packets, 60 * packets) for one in entries}
        anyone = [Listener(ip_address("::"), 8443)]
        listeners = {i: anyone for i in held} if name == "work" else {}
        seen = Observation(held, listeners)
        qubes.append(QubeFacts(qube, Answer.GIVEN, tuple(entries), seen))
    steps = tuple(Step(q.name, one.entry) for q in qubes for one in q.entries)
    outcome = Outcome(Asked("work", RULE, "work"), Verdict.READY, "", steps)
    return ForwardFacts(outcome, tuple(qubes), ("192.168.1.10", "2001:db8:1::10"))


Change = Callable[[ForwardFacts], ForwardFacts]


def at(name: str, change: Callable[[QubeFacts], QubeFacts]) -> Change:
    return lambda facts: replace(
        facts,
        qubes=tuple(change(one) if one.name == name else one for one in facts.qubes),
    )


def qube(name: str, **fields: bool) -> Change:
    return at(name, lambda one: replace(one, qube=replace(one.qube, **fields)))  # type: ignore[arg-type]


def answer(name: str, given: Answer) -> Change:
    return at(name, lambda one: replace(one, answer=given, seen=Observation()))


def stand(name: str, stand: Stand, reason: str) -> Change:
    def change(one: QubeFacts) -> QubeFacts:
        entries = [replace(e, stand=stand, reason=reason) for e in one.entries]
        return replace(one, entries=tuple(entries))

    return at(name, change)


def listening(*addresses: str) -> Change:
    """Have services at these addresses, each at the door of its family."""
    found = [Listener(ip_address(address), 8443) for address in addresses]

    def change(one: QubeFacts) -> QubeFacts:
        listeners = {
            e.ids[0]: [x for x in found if x.address.version == e.entry.family]
            for e in one.entries
        }
        return replace(one, seen=replace(one.seen, listeners=listeners))

    return at("work", change)


def traffic(name: str, packets: int) -> Change:
    def change(one: QubeFacts) -> QubeFacts:
        held = dict.fromkeys(one.seen.held, Traffic(packets))
        return replace(one, seen=replace(one.seen, held=held))

    return at(name, change)


def missing(name: str) -> Change:
    return at(
        name,
        lambda one: replace(
            one, seen=replace(one.seen, held=dict.fromkeys(one.seen.held))
        ),
    )


def block(name: str, certainty: Certainty = Certainty.SURELY) -> Change:
    def change(one: QubeFacts) -> QubeFacts:
        blocks = {one.entries[0].ids[0]: [replace(BLOCK, certainty=certainty)]}
        return replace(one, seen=replace(one.seen, blocks=blocks))

    return at(name, change)


def verdict(verdict: Verdict, reason: str = "") -> Change:
    return lambda facts: replace(
        facts, outcome=replace(facts.outcome, verdict=verdict, reason=reason)
    )


def ruled(srchost: str, client: str = "") -> Change:
    def change(facts: ForwardFacts) -> ForwardFacts:
        rule = replace(RULE, srchost=parse_network(srchost))
        asked = replace(facts.outcome.asked, rule=rule)
        outcome = replace(facts.outcome, asked=asked)
        found = ip_address(client) if client else None
        return replace(facts, outcome=outcome, client=found)

    return change


def no_dial(facts: ForwardFacts) -> ForwardFacts:
    return replace(facts, dial=())


def both(*changes: Change) -> Change:
    def change(facts: ForwardFacts) -> ForwardFacts:
        for one in changes:
            facts = one(facts)
        return facts

    return change


def no_agent_in_hop(facts: ForwardFacts) -> ForwardFacts:
    outcome = replace(
        facts.outcome,
        verdict=Verdict.UNREACHABLE,
        reason="sys-net has no forwarding agent",
        steps=(),
    )
    return qube("sys-net", agent=False)(replace(facts, outcome=outcome))


BAD: list[tuple[Change, str]] = [
    (qube("work", running=False), "work is halted: start it (qvm-start work)."),
    (qube("sys-net", paused=True), "sys-net is paused: let it go on"),
    (answer("sys-net", Answer.STOPPED), "The agent in sys-net was stopped"),
    (answer("sys-net", Answer.SILENT), "The agent in sys-net does not answer"),
    (answer("sys-net", Answer.USELESS), "in sys-net answers makes no sense"),
    (answer("sys-net", Answer.UNASKED), "The QubesDB of sys-net does not answer"),
    (
        stand("sys-firewall", Stand.REFUSED, "would bypass tunnel tun0"),
        "it would bypass tunnel tun0: open it again with --bypass-tunnel",
    ),
    (
        stand("sys-firewall", Stand.REFUSED, "no custom-forward chain in table ip q"),
        "The base rules of Qubes are missing in sys-firewall",
    ),
    (
        stand("work", Stand.REFUSED, "kernel: no memory"),
        "work refuses the forward: kernel: no memory.",
    ),
    (
        stand("work", Stand.PENDING, "not published yet"),
        "work has not taken the forward yet (not published yet)",
    ),
    (missing("work"), "The kernel of work lacks what its agent acknowledged"),
    (block("sys-net"), "A rule in sys-net drops the packets, 'drop' in ip qubes"),
    (listening(), "Nothing listens on tcp port 8443 of work"),
    (listening("127.0.0.1"), "listens on 127.0.0.1 only, where nobody"),
    (listening("127.0.0.1", "::1"), "on 127.0.0.1 and ::1 only"),
    (listening("172.17.0.1"), "listens on 172.17.0.1 only, where nobody"),
    (listening("fd09::20"), "listens for IPv6 only, on fd09::20"),
    (no_dial, "sys-net has no address on any outside network"),
    (ruled("192.168.1.20", "192.168.1.21"), "192.168.1.21 may not connect, only"),
    (
        both(traffic("sys-net", 5), traffic("sys-firewall", 5)),
        "Packets pass sys-firewall and none comes to work: try again now",
    ),
    (
        both(traffic("sys-net", 5), block("sys-net", Certainty.MAYBE)),
        "look at 'drop' in ip qubes custom-forward, which may stop it.",
    ),
    (verdict(Verdict.EXPIRED), "The time of the forward is over"),
    (verdict(Verdict.UNCONFIRMED), "(qvm-firewall work confirm)"),
    (verdict(Verdict.CONFLICT, "shop has it"), "shop has it: close that forward"),
    (no_agent_in_hop, "install qubes-forward in the template of sys-net."),
    (
        both(verdict(Verdict.UNREACHABLE, "work has no netvm"), lambda f: replace(
            f, qubes=(replace(f.qubes[-1], qube=Qube("work")),)
        )),
        "No path leads to work: work has no netvm; give it one (qvm-prefs work netvm",
    ),
    # What explains the others is the cause.
    (both(listening(), answer("sys-net", Answer.SILENT)), "The agent in sys-net"),
    (both(block("work"), block("sys-net")), "A rule in sys-net"),
    (both(ruled("192.168.1.20", "192.168.1.21"), listening()), "Nothing listens"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "cause"), BAD)
def test_the_cause_is_named(change: Change, cause: str) -> None:
    found = diagnose_forward(change(sound()))
    assert not found.well
    assert cause in found.sentence
    assert found.sentence.count("\n") == 0
    assert found.sentence.endswith(".")


def test_every_bad_finding_has_a_sentence() -> None:
    for change, _cause in BAD:
        told = diagnose_forward(change(sound()))
        found = [*told.general, *(each for _name, some in told.qubes for each in some)]
        wrong = [each for each in found if each.mark is Mark.BAD]
        assert wrong
        assert all(each.cause for each in wrong)


WELL: list[tuple[Change, str]] = [
    (traffic("", 0), ""),
    (listening("0.0.0.0"), "of 0.0.0.0: who comes by IPv6 finds nothing"),
    (listening("10.137.0.20", "fd09::20"), "of 10.137.0.20 and fd09::20"),
    (block("sys-net", Certainty.MAYBE), "a rule of others may stop 443/tcp (IPv4)"),
    (ruled("192.168.1.0/24", "192.168.1.21"), "so 192.168.1.21 may"),
]


@pytest.mark.parametrize(("change", "told"), WELL)
def test_what_is_not_wrong_is_no_cause(change: Change, told: str) -> None:
    found = diagnose_forward(change(sound()))
    texts = [each.text for each in found.general]
    texts += [each.text for _name, some in found.qubes for each in some]
    assert found.well
    assert found.sentence == (
        "All is as it should be, but nobody has tried yet: connect to"
        " 192.168.1.10:443 or [2001:db8:1::10]:443."
    )
    assert any(told in text for text in texts)


def test_packets_show_that_all_is_well() -> None:
    found = diagnose_forward(sound(packets=3))
    assert (found.well, found.sentence) == (
        True,
        "All is well: 6 packets have come through so far.",
    )


def test_a_forward_of_both_protocols_needs_a_service_of_one() -> None:
    facts = sound(Proto.TCP, Proto.UDP)
    work = facts.qubes[-1]
    tcp = {i: each for i, each in work.seen.listeners.items() if "tcp" in i}
    only_tcp = at("work", lambda q: replace(q, seen=replace(q.seen, listeners=tcp)))
    found = diagnose_forward(only_tcp(facts))
    assert found.well
    marks = {each.text: each.mark for each in found.qubes[-1][1]}
    assert marks["nothing listens on udp port 8443"] is Mark.NOTE
    none = at("work", lambda q: replace(q, seen=replace(q.seen, listeners={})))
    assert not diagnose_forward(none(facts)).well


def test_nothing_is_said_of_entries_that_are_not_to_be_there() -> None:
    found = diagnose_forward(verdict(Verdict.CONFLICT, "shop has it")(sound()))
    assert dict(found.qubes)["sys-net"][-1].text == "its agent answers"


def test_a_target_without_an_agent_is_no_fault() -> None:
    facts = qube("work", agent=False)(answer("work", Answer.UNASKED)(sound()))
    bare = at("work", lambda one: replace(one, entries=()))(facts)
    found = diagnose_forward(bare)
    assert found.well
    assert "has no forwarding agent" in found.qubes[-1][1][-1].text
