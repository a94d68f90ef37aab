# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of one client's mappings, step by step and against a simple model."""

from __future__ import annotations

from ipaddress import ip_network

from qubesforward.portmap.mapping import (
    Granted,
    Holder,
    Key,
    Network,
    Pending,
    Reason,
    Refused,
    Transport,
    Via,
    Wish,
)
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


def _wish(
    holder: Holder = NATPMP,
    key: Key = KEY,
    outer: int = 0,
    lifetime: int = 3600,
    exact: bool = False,
    sources: frozenset[Network] = ANYONE,
) -> Wish:
    return Wish(key, holder, outer, lifetime, exact, sources)


def _held(*wishes: Wish, lifetime: int = 3600) -> Table:
    """Make a table in which these wishes were granted, each at once, at time 0."""
    table = Table()
    for wish in wishes:
        table.ask(wish, 0.0)
        for event in table.take_events():
            assert isinstance(event, Asked)
            table.grant(event.wish.key, 443, lifetime, 0.0)
        table.take_events()
        table.ask(wish, 0.0)
    assert table.take_events() == []
    return table


class TestAsking:
    def test_asks_once_for_all_holders(self) -> None:
        table = Table()
        for holder in (NATPMP, FIRST, IGD, FIRST):
            assert table.ask(_wish(holder), 0.0) == Pending()
        assert table.take_events() == [Asked(_wish(NATPMP), ANYONE, renews=False)]
        table.grant(KEY, 443, 3600, 1.0)
        assert table.take_events() == [Settled(KEY)]
        assert table.ask(_wish(IGD), 1.0) == Granted(443, 3600)

    def test_a_cut_lifetime_is_not_asked_for_again_at_once(self) -> None:
        table = _held(_wish(), lifetime=600)
        assert table.ask(_wish(), 0.5) == Granted(443, 600)
        assert table.ask(_wish(), 300.0) == Pending()
        (asked,) = table.take_events()
        assert asked == Asked(_wish(), ANYONE, renews=True)

    def test_a_shorter_wish_shortens_that_holders_lease(self) -> None:
        table = _held(_wish(NATPMP), _wish(IGD))
        assert table.ask(_wish(NATPMP, lifetime=60), 10.0) == Granted(443, 60)
        table.expire(70.0)
        assert table.take_events() == []
        record = table.find(KEY)
        assert record is not None
        assert list(record.leases) == [IGD]

    def test_a_port_of_another_key_is_a_conflict_for_exact_wishes(self) -> None:
        table = _held(_wish(outer=443))
        wish = _wish(FIRST, OTHER_KEY, outer=443, exact=True)
        assert table.ask(wish, 1.0) == Refused(Reason.CONFLICT, 30)
        assert table.ask(_wish(FIRST, OTHER_KEY, outer=443), 1.0) == Pending()

    def test_a_much_longer_lifetime_is_asked_for_at_once(self) -> None:
        """It got the minute that it had, for a second after that was granted."""
        table = Table()
        table.ask(_wish(lifetime=60), 0.0)
        table.grant(KEY, 443, 60, 0.0)
        table.take_events()
        assert table.ask(_wish(lifetime=3600), 0.1) == Pending()
        (asked,) = table.take_events()
        assert asked == Asked(_wish(lifetime=3600), ANYONE, renews=True)
        table.grant(KEY, 443, 3600, 0.1)
        assert table.ask(_wish(lifetime=3600), 0.1) == Granted(443, 3600)

    def test_a_lifetime_that_was_cut_is_not_asked_for_again_at_once(self) -> None:
        table = Table()
        table.ask(_wish(lifetime=3600), 0.0)
        table.grant(KEY, 443, 60, 0.0)
        table.take_events()
        for wanted in (3600, 3601, 7199):
            assert table.ask(_wish(lifetime=wanted), 0.1) == Granted(443, 60)
        assert table.take_events() == []
        assert table.ask(_wish(lifetime=3600), 1.5) == Pending()

    def test_ever_longer_lifetimes_are_few_questions(self) -> None:
        table = Table()
        questions = 0
        for lifetime in range(1, 5000):
            table.ask(_wish(lifetime=lifetime), 0.0)
            questions += len([e for e in table.take_events() if isinstance(e, Asked)])
            table.grant(KEY, 443, lifetime, 0.0)
            table.take_events()
        assert questions < 16

    def test_another_port_of_an_open_mapping_is_a_conflict(self) -> None:
        table = _held(_wish(outer=443))
        exact = _wish(FIRST, outer=444, exact=True)
        assert table.ask(exact, 1.0) == Refused(Reason.CONFLICT, 30)
        # While it is renewed, too.
        table.ask(_wish(lifetime=7200), 5.0)
        assert table.ask(exact, 5.0) == Refused(Reason.CONFLICT, 30)

    def test_limits_are_of_mappings_and_of_questions(self) -> None:
        table = Table(Limits(mappings=3, pending=2))
        keys = [Key(Transport.UDP, port) for port in range(1, 5)]
        for key in keys[:2]:
            assert table.ask(_wish(key=key), 0.0) == Pending()
        assert table.ask(_wish(key=keys[2]), 0.0) == Refused(Reason.QUOTA, 30)
        for key in keys[:2]:
            table.grant(key, key.inner, 3600, 0.0)
        assert table.ask(_wish(key=keys[2]), 0.0) == Pending()
        assert table.ask(_wish(key=keys[3]), 0.0) == Refused(Reason.QUOTA, 30)


class TestNonces:
    def test_another_nonce_is_refused_for_as_long_as_it_lives(self) -> None:
        table = _held(_wish(FIRST))
        assert table.ask(_wish(SECOND), 600.0) == Refused(Reason.NOT_YOURS, 3000)
        assert not table.release(KEY, SECOND)
        assert table.ask(_wish(FIRST), 0.5) == Granted(443, 3600)

    def test_other_protocols_have_none(self) -> None:
        table = _held(_wish(FIRST), _wish(NATPMP))
        assert table.release(KEY, FIRST)
        assert table.ask(_wish(SECOND), 0.0) == Granted(443, 3600)


class TestDenial:
    def test_lasts_and_is_then_forgotten(self) -> None:
        table = Table()
        table.ask(_wish(), 0.0)
        table.deny(KEY, Reason.DENIED, 60, 0.0)
        assert table.ask(_wish(IGD), 59.5) == Refused(Reason.DENIED, 1)
        assert table.ask(_wish(IGD), 60.0) == Pending()

    def test_without_an_end_asks_no_question_again_and_again(self) -> None:
        table = Table()
        table.ask(_wish(), 0.0)
        table.deny(KEY, Reason.DENIED, 0, 0.0)
        assert table.ask(_wish(), 0.0) == Refused(Reason.DENIED, 1)

    def test_of_one_port_is_of_no_other(self) -> None:
        table = Table()
        table.ask(_wish(FIRST, outer=443, exact=True), 0.0)
        table.deny(KEY, Reason.CONFLICT, 30, 0.0)
        again = table.ask(_wish(FIRST, outer=443, exact=True), 1.0)
        assert again == Refused(Reason.CONFLICT, 29)
        assert table.ask(_wish(FIRST, outer=444, exact=True), 1.0) == Pending()

    def test_of_any_port_is_of_all(self) -> None:
        table = Table()
        table.ask(_wish(outer=443), 0.0)
        table.deny(KEY, Reason.CONFLICT, 30, 0.0)
        assert table.ask(_wish(outer=443), 0.0) == Refused(Reason.CONFLICT, 30)

    def test_of_a_longer_lifetime_leaves_the_rest(self) -> None:
        table = _held(_wish())
        table.ask(_wish(), 1800.0)
        table.deny(KEY, Reason.DENIED, 600, 1800.0)
        assert table.ask(_wish(), 1800.0) == Granted(443, 1800)
        assert table.ask(_wish(), 2399.0) == Granted(443, 1201)
        assert table.ask(_wish(), 2400.0) == Pending()


class TestSources:
    def test_wider_ones_are_a_question(self) -> None:
        table = _held(_wish(FIRST, sources=NEAR))
        wider = _wish(FIRST, sources=NEAR | FAR)
        assert table.ask(wider, 1.0) == Pending()
        assert table.take_events() == [Asked(wider, NEAR | FAR, renews=True)]

    def test_denied_ones_are_refused_and_nothing_changes(self) -> None:
        table = _held(_wish(FIRST, sources=NEAR))
        table.ask(_wish(NATPMP), 10.0)
        table.deny(KEY, Reason.DENIED, 600, 10.0)
        assert table.ask(_wish(NATPMP), 10.0) == Refused(Reason.DENIED, 600)
        assert table.ask(_wish(NATPMP), 310.0) == Refused(Reason.DENIED, 300)
        kept = table.ask(_wish(FIRST, sources=NEAR), 310.0)
        assert kept == Granted(443, 3290)
        record = table.find(KEY)
        assert record is not None
        assert list(record.leases) == [FIRST]

    def test_other_ones_do_not_slip_into_a_question(self) -> None:
        table = Table()
        table.ask(_wish(FIRST, sources=NEAR), 0.0)
        assert table.ask(_wish(FIRST, sources=FAR), 0.0) == Pending()
        table.grant(KEY, 443, 3600, 0.0)
        record = table.find(KEY)
        assert record is not None
        assert record.sources == NEAR
        assert table.ask(_wish(FIRST, sources=FAR), 0.0) == Pending()
        assert record.asked == FAR

    def test_a_mapping_whose_only_holder_left_during_a_denied_question_ends(
        self,
    ) -> None:
        table = _held(_wish(FIRST, sources=NEAR))
        table.ask(_wish(NATPMP), 10.0)
        table.release(KEY, FIRST)
        table.take_events()
        table.deny(KEY, Reason.DENIED, 600, 10.0)
        assert Released(KEY) in table.take_events()
        assert table.find(KEY) is None


class TestEnds:
    def test_the_last_holder_releases(self) -> None:
        table = _held(_wish(NATPMP), _wish(FIRST))
        table.release(KEY, NATPMP)
        assert table.take_events() == []
        table.release(KEY, FIRST)
        assert table.take_events() == [Released(KEY)]
        assert table.release(KEY, FIRST)

    def test_a_grant_that_comes_too_late_is_released(self) -> None:
        table = Table()
        table.ask(_wish(), 0.0)
        table.release(KEY, NATPMP)
        table.take_events()
        table.grant(KEY, 443, 3600, 1.0)
        assert table.take_events() == [Released(KEY)]

    def test_all_of_a_holder_and_transport(self) -> None:
        udp = Key(Transport.UDP, 8080)
        table = _held(_wish(NATPMP), _wish(NATPMP, udp), _wish(IGD, OTHER_KEY))
        table.release_all(Transport.TCP, NATPMP)
        assert table.take_events() == [Released(KEY)]
        assert {key for key, _ in table.list_open()} == {udp, OTHER_KEY}

    def test_withdrawn_ones_name_their_holders(self) -> None:
        table = _held(_wish(NATPMP), _wish(FIRST))
        table.withdraw(KEY)
        assert table.take_events() == [Withdrawn(KEY, 443, (NATPMP, FIRST))]

    def test_a_withdrawn_question_settles(self) -> None:
        table = Table()
        table.ask(_wish(), 0.0)
        table.take_events()
        table.withdraw(KEY)
        assert table.take_events() == [Settled(KEY)]

    def test_expiry_is_when_find_next_end_says(self) -> None:
        table = _held(_wish(NATPMP, lifetime=60), _wish(IGD, lifetime=120))
        # The second wish was for more, and was granted.
        assert table.find_next_end() == 60.0
        table.expire(60.0)
        assert table.find_next_end() == 120.0
        table.expire(120.0)
        assert table.take_events() == [Released(KEY)]
        assert table.find_next_end() is None

    def test_a_restored_mapping_is_renewed_at_its_port(self) -> None:
        table = Table()
        table.restore(KEY, 443, 600, [FIRST], 0.0, NEAR)
        wish = _wish(FIRST, lifetime=600, sources=NEAR)
        assert table.ask(wish, 0.0) == Granted(443, 600)
        assert table.ask(_wish(SECOND), 0.0) == Refused(Reason.NOT_YOURS, 600)
        assert table.find_outer(Transport.TCP, 443) == KEY

    def test_questions_are_put_again(self) -> None:
        table = _held(_wish())
        table.ask(_wish(key=OTHER_KEY), 0.0)
        table.ask(_wish(lifetime=7200), 10.0)
        asked = table.take_events()
        table.ask_again()
        assert sorted(map(str, table.take_events())) == sorted(map(str, asked))
