# SPDX-License-Identifier: GPL-2.0-or-later
"""The client of a LAN's router, against our own server and against routers by hand."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubesforward.portmap.client_events import (
    EdgeChanged,
    MappingClosed,
    MappingLost,
    MappingOpened,
    MappingRefused,
    NoAnswer,
)
from qubesforward.portmap.datagram_client import DatagramClient
from qubesforward.portmap.head_start import HEAD_START
from qubesforward.portmap.mapping import Via
from qubesforward.portmap.pcp_result import Result
from qubesforward.portmap.pcp_wire import (
    encode_error,
)
from tests.portmap.router_world import (
    EDGE,
    KEY,
    OTHER,
    Network,
    of_both,
    opened,
    silent,
)
from tests.portmap.server_world import FIRST, OUTSIDE, SECOND, natpmp_map

ELSEWHERE = ip_address("192.168.1.77")
FOREIGN = ip_address("203.0.113.66")


def _times(network: Network) -> list[float]:
    return [round(time, 6) for time, _ in network.take_sent()]


class TestOpening:
    def test_by_pcp(self) -> None:
        network = of_both()
        network.start()
        opening = MappingOpened(KEY, 443, 3600, OUTSIDE)
        assert network.take_events() == [EdgeChanged(OUTSIDE), opening]
        assert network.client.via is Via.PCP
        ((_, request),) = network.sent
        assert request[:2] == b"\2\1"

    def test_by_natpmp_where_pcp_is_not_spoken(self) -> None:
        network = of_both(speaks="natpmp")
        network.start()
        assert network.client.via is Via.NATPMP
        assert network.take_events() == [
            EdgeChanged(OUTSIDE),
            MappingOpened(KEY, 443, 3600, OUTSIDE),
        ]
        assert [data for _, data in network.sent[1:]] == [
            b"\0\0",
            natpmp_map(2, 8080, 443, 3600),
        ]

    def test_at_another_port_than_was_liked(self) -> None:
        network = of_both()
        assert network.world
        network.world.take("tcp", 443)
        network.start()
        assert network.take_events()[-1] == MappingOpened(KEY, 50000, 3600, OUTSIDE)

    def test_of_several_in_natpmp_is_one_after_another(self) -> None:
        network = Network(lambda data, now: [])
        network.client.start(KEY, 443, 3600, FIRST, 0.0)
        network.client.start(OTHER, 444, 3600, SECOND, 0.0)
        network.run(0)
        network.take_sent()
        # It has said that it speaks NAT-PMP, and says nothing more.
        network.deliver(bytes.fromhex("00000001 00000007"))
        network.run(0.9)
        assert {data for _, data in network.take_sent()} == {b"\0\0"}
        network.deliver(bytes.fromhex("00800000 00000007 cb007109"))
        network.run(0)
        ((_, first),) = network.take_sent()
        assert first == natpmp_map(2, 8080, 443, 3600)
        network.deliver(bytes.fromhex("00820000 00000007 1f9001bb 00000e10"))
        network.run(0)
        ((_, second),) = network.take_sent()
        assert second == natpmp_map(1, 8081, 444, 3600)


class TestResending:
    def test_in_pcp_is_as_the_rfc_says(self) -> None:
        network = Network()
        network.client.has_answered = True
        network.start()
        network.run(8000)
        times = _times(network)
        pauses = [after - before for before, after in pairwise(times)]
        # RFC 6887, 8.1.1: 3 seconds and a tenth, doubled, 1024 and a tenth at most.
        assert 2.7 <= pauses[0] <= 3.3
        for before, after in pairwise(pauses):
            expected = min(2 * before, 1024)
            assert 0.9 * expected - 0.01 <= after <= 1.1 * expected + 0.01
        assert len(pauses) > 10
        assert max(pauses) > 900

    def test_in_natpmp_is_as_the_rfc_says(self) -> None:
        network = Network()
        network.start()
        network.deliver(bytes.fromhex("00000001 00000007"))
        network.deliver(bytes.fromhex("00800000 00000007 cb007109"))
        network.take_sent()
        network.run(127)
        # RFC 6886, 3.1: 250 ms, doubled, nine times in all.
        assert _times(network) == [0.25 * 2**n - 0.25 for n in range(9)]

    def test_a_silent_router_is_asked_by_turns(self) -> None:
        network = Network()
        network.start()
        network.run(30)
        assert network.take_events() == [NoAnswer()]
        sent = network.take_sent()
        assert [data[0] for time, data in sent if time < HEAD_START] == [2]
        assert [data[0] for _, data in sent].count(2) == 2
        # Until PCP has had its time, NAT-PMP is asked nothing that opens anything.
        early = {data for time, data in sent if time < 8 and data[0] == 0}
        assert early == {b"\0\0"}
        assert {data[0] for time, data in sent if time > 10} == {0}
        network.run(600)
        assert 2 in {data[0] for _, data in network.take_sent()}
        # Told once, and asked ever more seldom.
        assert network.take_events() == []
        network.run(7200)
        assert 0 < len(network.take_sent()) < 200

    def test_a_router_that_wakes_up_is_found(self) -> None:
        network = of_both()
        router, network.router = network.router, silent
        assert network.world
        network.world.server.take_announcements(0.0)
        network.start()
        network.run(3600)
        network.take_events()
        network.router = router
        network.run(1200)
        assert MappingOpened(KEY, 443, 3600, OUTSIDE) in network.take_events()

    def test_an_ipv6_router_is_asked_by_pcp_only(self) -> None:
        network = Network(own=ip_address("fd09::2"), address=ip_address("fd09::1"))
        network.start()
        network.run(3600)
        assert {data[0] for _, data in network.sent} == {2}
        assert network.take_events() == [NoAnswer()]


class TestHeadStart:
    """NAT-PMP is tried before PCP has been given up, and PCP is preferred."""

    def test_a_router_that_drops_pcp_is_asked_soon(self) -> None:
        """It cost nine seconds; no program waits for that long."""
        network = of_both(speaks="old")
        network.start()
        network.run(HEAD_START)
        assert network.take_events()[-1] == MappingOpened(KEY, 443, 3600, OUTSIDE)
        assert network.client.via is Via.NATPMP

    def test_is_over_at_once_if_natpmp_was_heard_before(self) -> None:
        network = of_both(speaks="old")
        network.start()
        network.deliver(bytes.fromhex("00800000 00000000 cb007109"))
        network.run(HEAD_START - 0.1)
        assert network.client.via is Via.PCP
        network.run(0.1)
        assert MappingOpened(KEY, 443, 3600, OUTSIDE) in network.take_events()

    def test_an_answer_in_pcp_wins_if_it_comes_later(self) -> None:
        network = Network()
        network.start()
        network.run(HEAD_START)
        network.deliver(bytes.fromhex("00800000 00000000 cb007109"))
        network.run(0)
        assert network.take_sent()[-1][1][0] == 0
        network.deliver(opened())
        assert MappingOpened(KEY, 443, 3600, EDGE) in network.take_events()
        network.take_sent()
        network.run(3600)
        assert {data[0] for _, data in network.take_sent()} == {2}

    def test_nothing_in_natpmp_is_sent_where_pcp_answers(self) -> None:
        network = of_both()
        network.start()
        network.run(10)
        assert {data[0] for _, data in network.sent} == {2}


class TestRenewal:
    def test_comes_halfway_and_keeps_the_port(self) -> None:
        network = of_both()
        network.start()
        network.take_sent()
        network.run(3600 * 5 / 8 + 1)
        ((time, request),) = network.take_sent()
        assert 1800 <= time <= 2250
        # The suggested port and address are those that it has.
        assert request[42:44] == (443).to_bytes(2, "big")
        assert request[-4:] == OUTSIDE.packed

    def test_without_an_answer_comes_again_and_never_too_often(self) -> None:
        network = Network()
        network.start()
        network.deliver(opened(lifetime=600))
        network.take_sent()
        network.run(599)
        times = _times(network)
        # RFC 6887, 11.2.1: 1/2 to 5/8, 3/4 to 13/16, 7/8 to 29/32, …
        for count, time in enumerate(times):
            start = 600 * (1 - 0.5 ** (count + 1))
            assert start <= time <= start + 600 * 0.5 ** (count + 3)
        assert len(times) > 4
        assert all(b - a >= 4 for a, b in pairwise(times))
        network.take_events()
        network.run(1)
        assert network.take_events() == [MappingLost(KEY)]
        assert len(network.take_sent()) == 1

    def test_of_a_mapping_for_years_comes_within_a_day(self) -> None:
        network = Network()
        network.start()
        network.deliver(opened(lifetime=2**31))
        assert network.take_events()[-1] == MappingOpened(KEY, 443, 86400, EDGE)
        network.take_sent()
        network.run(86400)
        assert network.take_sent()

    @pytest.mark.parametrize("speaks", ["both", "natpmp"])
    def test_goes_on_for_days_with_a_third_of_all_packets_lost(
        self, speaks: str
    ) -> None:
        network = of_both(loss=30, speaks=speaks)
        network.start()
        network.run(100)
        for _ in range(100):
            network.run(3600)
            assert network.world
            assert [key for key, _ in network.world.table.list_open()] == [KEY]

    def test_in_natpmp_asks_for_the_address_too(self) -> None:
        network = of_both(speaks="natpmp")
        network.start()
        network.take_sent()
        network.run(3600 * 5 / 8 + 1)
        assert b"\0\0" in [data for _, data in network.take_sent()]


class TestRefusal:
    def test_is_told_and_asked_again_when_its_lifetime_is_over(self) -> None:
        network = of_both()
        assert network.world
        network.world.server.set_outside(None, 0.0)
        network.start()
        refused = MappingRefused(KEY, Via.PCP, Result.NETWORK_FAILURE, 30)
        assert network.take_events() == [refused]
        network.take_sent()
        network.run(29.9)
        assert network.take_sent() == []
        network.world.server.set_outside(OUTSIDE, 30.0)
        network.run(1)
        assert MappingOpened(KEY, 443, 3600, OUTSIDE) in network.take_events()

    def test_in_natpmp_is_for_a_while(self) -> None:
        network = Network()
        network.start()
        network.deliver(bytes.fromhex("00000001 00000007"))
        network.deliver(bytes.fromhex("00820002 00000007 1f900000 00000000"))
        assert network.take_events() == [MappingRefused(KEY, Via.NATPMP, 2, 1800)]

    def test_with_a_code_that_nobody_knows_is_one(self) -> None:
        # RFC 6886, 3.5.
        network = Network()
        network.start()
        network.deliver(bytes.fromhex("00000001 00000007"))
        network.deliver(bytes.fromhex("00820063 00000007 1f900000 00000000"))
        assert network.take_events() == [MappingRefused(KEY, Via.NATPMP, 99, 1800)]

    def test_of_a_renewal_ends_the_mapping_unless_it_passes(self) -> None:
        network = Network()
        network.start()
        request = network.take_sent()[0][1]
        network.deliver(opened())
        network.take_events()
        failing = encode_error(request, Result.NO_RESOURCES, 30, 0, is_parsed=True)
        network.deliver(failing)
        assert network.take_events() == []
        denied = encode_error(request, Result.NOT_AUTHORIZED, 600, 0, is_parsed=True)
        network.deliver(denied)
        refused = MappingRefused(KEY, Via.PCP, Result.NOT_AUTHORIZED, 600)
        assert network.take_events() == [MappingLost(KEY), refused]

    def test_for_years_is_for_a_day(self) -> None:
        network = Network()
        network.start()
        request = network.take_sent()[0][1]
        error = encode_error(
            request, Result.UNSUPP_PROTOCOL, 2**32 - 1, 0, is_parsed=True
        )
        network.deliver(error)
        (refused,) = network.take_events()
        assert isinstance(refused, MappingRefused)
        assert refused.retry == 86400


class TestClosing:
    def test_deletes_and_tells(self) -> None:
        network = of_both()
        network.start()
        network.take_events()
        network.client.stop(KEY, network.now)
        network.run(0)
        assert network.take_events() == [MappingClosed(KEY, is_confirmed=True)]
        assert network.world
        assert network.world.table.list_open() == []
        # RFC 6887, 15.1: lifetime, suggested port and address are zero.
        request = network.sent[-1][1]
        assert request[4:8] == bytes(4)
        assert request[42:] == bytes(12) + b"\xff\xff" + bytes(4)

    def test_in_natpmp_has_no_port(self) -> None:
        network = of_both(speaks="natpmp")
        network.start()
        network.client.stop(KEY, network.now)
        network.run(0)
        assert network.sent[-1][1] == natpmp_map(2, 8080, 0, 0)
        assert network.take_events()[-1] == MappingClosed(KEY, is_confirmed=True)

    def test_without_an_answer_ends_at_last(self) -> None:
        network = Network()
        network.start()
        network.deliver(opened())
        network.client.stop(KEY, network.now)
        network.run(60)
        assert network.take_events()[-1] == MappingClosed(KEY, is_confirmed=False)
        assert network.client.get_timer() is None

    def test_of_what_was_never_asked_for_needs_no_packet(self) -> None:
        network = Network()
        network.client.start(KEY, 443, 3600, FIRST, 0.0)
        network.client.stop(KEY, 0.0)
        network.run(10)
        assert network.sent == []
        assert network.take_events() == [MappingClosed(KEY, is_confirmed=True)]

    def test_of_what_was_refused_needs_no_packet(self) -> None:
        network = of_both()
        assert network.world
        network.world.server.set_outside(None, 0.0)
        network.start()
        network.client.stop(KEY, 1.0)
        assert network.client.next_event() == MappingClosed(KEY, is_confirmed=True)
        assert network.client.get_timer() is None

    @pytest.mark.parametrize("speaks", ["both", "natpmp", "old", "pcp"])
    def test_of_what_an_earlier_run_opened(self, speaks: str) -> None:
        network = of_both(speaks=speaks)
        network.start()
        network.run(1)
        assert network.world
        assert network.world.table.list_open()
        network.client = DatagramClient(network.address, network.own, lambda: 0.5)
        network.client.withdraw(KEY, FIRST, network.now)
        network.run(10)
        assert network.take_events()[-1] == MappingClosed(KEY, is_confirmed=True)
        assert network.world.table.list_open() == []

    def test_of_what_another_nonce_opened_is_not_confirmed(self) -> None:
        network = of_both()
        network.start()
        network.client = DatagramClient(network.address, network.own, lambda: 0.5)
        network.client.withdraw(KEY, SECOND, network.now)
        network.run(0)
        assert network.take_events()[-1] == MappingClosed(KEY, is_confirmed=False)

    def test_takes_no_yes_to_the_request_before_for_an_answer(self) -> None:
        network = Network()
        network.start()
        network.client.stop(KEY, network.now)
        network.run(0)
        network.deliver(opened())
        assert network.take_events() == []


@settings(max_examples=60, deadline=None)
@given(
    loss=st.integers(0, 25),
    seed=st.integers(0, 2**16),
    speaks=st.sampled_from(["both", "natpmp", "old", "pcp"]),
)
def test_whatever_is_lost_it_opens_in_the_end_and_closes(
    loss: int, seed: int, speaks: str
) -> None:
    network = of_both(loss, seed, speaks)
    network.start()
    network.client.start(OTHER, 444, 3600, SECOND, 0.0)
    network.run(3 * 3600)
    opening = {one.key for one in network.events if isinstance(one, MappingOpened)}
    assert opening == {KEY, OTHER}
    for key in (KEY, OTHER):
        network.client.stop(key, network.now)
    network.run(4 * 3600)
    closed = {one.key for one in network.events if isinstance(one, MappingClosed)}
    assert closed == {KEY, OTHER}
    assert network.client.get_timer() is None
    # What the router was not told of has ended by itself.
    assert network.world
    assert network.world.table.list_open() == []
