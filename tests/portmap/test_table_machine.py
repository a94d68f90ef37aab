# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of one client's mappings against what those know who follow its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from qubesforward.portmap.mapping import (
    Granted,
    Holder,
    Key,
    Network,
    Pending,
    Reason,
    Transport,
    Via,
    Wish,
)
from qubesforward.portmap.record import State
from qubesforward.portmap.table import (
    Asked,
    Limits,
    Released,
    Settled,
    Table,
    Withdrawn,
)

KEY = Key(Transport.TCP, 8080)
OTHER_KEY = Key(Transport.TCP, 8081)
NATPMP = Holder(Via.NATPMP)
IGD = Holder(Via.IGD)
FIRST = Holder(Via.PCP, b"first nonce!")
SECOND = Holder(Via.PCP, b"second nonce")
ANYONE = frozenset[Network]()
NEAR = frozenset[Network]({ip_network("198.51.100.0/24")})
FAR = frozenset[Network]({ip_network("203.0.113.0/24")})


@dataclass
class _Open:
    """What a kernel would hold: where, until when, and for whom."""

    outer: int
    end: float
    sources: frozenset[Network] = field(default_factory=frozenset)


_holders = st.sampled_from([NATPMP, IGD, FIRST, SECOND])
_keys = st.sampled_from([Key(each, port) for each in Transport for port in (1, 2, 3)])


class TableMachine(RuleBasedStateMachine):
    """A client that asks and lets go, and somebody who decides late or never.

    `questions` and `kernel` follow from the table's events alone, as they do at those
    who act on them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(Limits(mappings=4, pending=3))
        self.now = 0.0
        self.outer = 50000
        self.questions: dict[Key, Asked] = {}
        self.kernel: dict[Key, _Open] = {}

    def _listen(self) -> None:
        for event in self.table.take_events():
            if isinstance(event, Asked):
                assert event.wish.key not in self.questions
                assert event.renews == (event.wish.key in self.kernel)
                self.questions[event.wish.key] = event
            elif isinstance(event, Released | Withdrawn):
                self.questions.pop(event.key, None)
                self.kernel.pop(event.key, None)
            elif isinstance(event, Settled):
                self.questions.pop(event.key, None)

    @rule(
        holder=_holders,
        key=_keys,
        lifetime=st.sampled_from([1, 60, 3600]),
        outer=st.sampled_from([0, 50000, 50001]),
        exact=st.booleans(),
        sources=st.sampled_from([ANYONE, NEAR, FAR, NEAR | FAR]),
    )
    def ask(
        self,
        holder: Holder,
        key: Key,
        lifetime: int,
        outer: int,
        exact: bool,
        sources: frozenset[Network],
    ) -> None:
        wish = Wish(key, holder, outer, lifetime, exact and outer > 0, sources)
        reply = self.table.ask(wish, self.now)
        self._listen()
        if isinstance(reply, Granted):
            there = self.kernel[key]
            assert reply.outer == there.outer
            assert self.now + reply.lifetime < max(there.end, self.now) + 1.001
            assert reply.lifetime <= lifetime
            # Never a yes to a filter that the kernel does not hold.
            covered = there.sources >= sources if sources else not there.sources
            assert covered or not there.sources
            assert not wish.exact or reply.outer == outer
        elif isinstance(reply, Pending):
            assert key in self.questions
        else:
            assert reply.retry >= 1

    @rule(holder=_holders, key=_keys)
    def release(self, holder: Holder, key: Key) -> None:
        was_his = self.table.release(key, holder)
        self._listen()
        assert was_his or key in self.kernel or key in self.questions

    @rule(holder=_holders, transport=st.sampled_from(list(Transport)))
    def release_all(self, holder: Holder, transport: Transport) -> None:
        self.table.release_all(transport, holder)
        self._listen()

    @precondition(lambda self: self.questions)
    @rule(data=st.data(), lifetime=st.sampled_from([1, 600, 3600]))
    def grant(self, data: st.DataObject, lifetime: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.questions, key=str)))
        question = self.questions.pop(key)
        there = self.kernel.get(key)
        if there is None:
            self.outer += 1
        outer = there.outer if there else self.outer
        self.kernel[key] = _Open(outer, self.now + lifetime, question.sources)
        self.table.grant(key, outer, lifetime, self.now)
        self._listen()

    @precondition(lambda self: self.questions)
    @rule(
        data=st.data(), reason=st.sampled_from(list(Reason)), retry=st.integers(0, 90)
    )
    def deny(self, data: st.DataObject, reason: Reason, retry: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.questions, key=str)))
        self.table.deny(key, reason, retry, self.now)
        self._listen()
        assert key not in self.questions

    @rule(key=_keys)
    def withdraw(self, key: Key) -> None:
        self.table.withdraw(key)
        self._listen()
        assert self.table.find(key) is None

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.5, 30.0, 2000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.table.expire(self.now)
        self._listen()
        next_end = self.table.find_next_end()
        assert next_end is None or next_end > self.now

    @invariant()
    def the_table_says_what_the_kernel_holds(self) -> None:
        held = {key: record for key, record in self.table.list_open()}
        assert held.keys() == self.kernel.keys()
        for key, record in held.items():
            there = self.kernel[key]
            assert (record.outer, record.sources) == (there.outer, there.sources)
            assert self.table.find_outer(key.transport, record.outer) == key
            assert all(lease.end <= record.end for lease in record.leases.values())
            # Who holds a mapping has what he was granted, or more.
            granted = [one.granted for one in record.leases.values() if one.granted]
            assert granted or record.state is State.RENEWING
            for wish in granted:
                covered = wish.sources and wish.sources <= there.sources
                assert covered or not there.sources

    @invariant()
    def nothing_ends_unnoticed(self) -> None:
        found = self.table.find_next_end()
        next_end = float("inf") if found is None else found
        for _key, record in self.table.list_open():
            if record.state is State.HELD:
                assert all(next_end <= each.end for each in record.leases.values())

    @invariant()
    def everything_is_wanted_by_somebody(self) -> None:
        for key in self.kernel.keys() | self.questions.keys():
            record = self.table.find(key)
            assert record is not None
            assert record.leases
            assert len([one for one in record.leases if one.via is Via.PCP]) <= 1

    @invariant()
    def questions_are_those_that_are_open(self) -> None:
        for key, question in self.questions.items():
            record = self.table.find(key)
            assert record is not None
            assert record.state in (State.ASKED, State.RENEWING)
            assert record.asked == question.sources

    @invariant()
    def limits_hold(self) -> None:
        fresh = [one for one in self.questions.values() if not one.renews]
        assert len(fresh) <= 3
        assert len(self.kernel) + len(fresh) <= 4


TestTableMachine = TableMachine.TestCase
TestTableMachine.settings = settings(max_examples=200, stateful_step_count=40)
