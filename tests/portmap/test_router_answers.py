# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client of the router believes, and what it does then."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubesforward.portmap.client_events import (
    EdgeChanged,
    MappingOpened,
)
from qubesforward.portmap.mapping import Via
from qubesforward.portmap.pcp_wire import (
    encode_announcement,
)
from tests.portmap.router_world import (
    EDGE,
    KEY,
    OTHER,
    ROUTER,
    Network,
    of_both,
    opened,
    silent,
)
from tests.portmap.server_world import OUTSIDE, SECOND

ELSEWHERE = ip_address("192.168.1.77")
FOREIGN = ip_address("203.0.113.66")


class TestState:
    def test_lost_with_another_address_is_made_again(self) -> None:
        network = of_both()
        network.start()
        network.run(1000)
        network.take_events()
        network.take_sent()
        assert network.world
        # A router that has forgotten it says nothing of it.
        network.world.table.withdraw(KEY)
        network.world.table.take_events()
        network.world.server.set_outside(ELSEWHERE, network.now)
        network.run(5)
        assert network.take_events()[:2] == [
            EdgeChanged(ELSEWHERE),
            MappingOpened(KEY, 443, 3600, ELSEWHERE),
        ]

    def test_lost_is_seen_by_the_epoch_of_any_answer(self) -> None:
        network = Network()
        network.start()
        network.deliver(opened(epoch=5000))
        network.run(100)
        network.take_sent()
        network.deliver(encode_announcement(5100))
        network.run(5)
        assert network.take_sent() == []
        network.deliver(encode_announcement(3))
        network.run(5)
        # At a random time, so that not all clients come at once.
        ((time, _),) = network.take_sent()
        assert 105 <= time <= 110

    def test_a_mapping_that_changed_is_taken_in(self) -> None:
        # RFC 6887, 14.2: an update, which nobody asked for.
        network = Network()
        network.start()
        network.deliver(opened())
        network.take_events()
        network.deliver(opened(outer=444, lifetime=600))
        assert network.take_events() == [MappingOpened(KEY, 444, 600, EDGE)]

    def test_the_edge_of_natpmp_changes_by_announcement(self) -> None:
        network = of_both(speaks="natpmp")
        network.start()
        network.take_events()
        network.deliver(bytes.fromhex("00800000 00000000 cb007109"))
        assert network.take_events() == [EdgeChanged(EDGE)]
        network.deliver(bytes.fromhex("00800003 00000000 00000000"))
        assert network.take_events() == [EdgeChanged(None)]


class TestStrangers:
    @pytest.mark.parametrize(
        ("source", "port"), [(FOREIGN, 5351), (ROUTER, 5350), (ROUTER, 53)]
    )
    def test_who_is_not_the_router_is_not_believed(
        self, source: object, port: int
    ) -> None:
        network = Network()
        network.start()
        network.client.receive_datagram(opened(), source, port, 0.0)  # type: ignore[arg-type]
        assert network.client.next_event() is None

    def test_another_nonce_is_not_believed(self) -> None:
        network = Network()
        network.start()
        network.deliver(opened(nonce=SECOND))
        assert network.take_events() == []

    def test_another_mapping_is_not_believed(self) -> None:
        network = Network()
        network.start(OTHER)
        network.deliver(opened())
        assert network.take_events() == []

    def test_the_answer_to_a_deletion_from_before_opens_nothing(self) -> None:
        network = Network()
        network.start()
        network.deliver(opened(lifetime=0))
        assert network.take_events() == []

    @settings(max_examples=200)
    @given(
        st.lists(
            st.binary(max_size=80)
            | st.binary(min_size=58, max_size=58).map(lambda rest: b"\2\x81" + rest)
            | st.binary(min_size=14, max_size=14).map(lambda rest: b"\0\x82" + rest),
            max_size=8,
        )
    )
    def test_no_bytes_raise(self, packets: list[bytes]) -> None:
        network = Network()
        network.start()
        for data in packets:
            network.deliver(data)
            network.run(1)
            timer = network.client.get_timer()
            assert timer is None or timer > network.now


class TestVersions:
    def test_a_router_of_pcp_only_is_asked_by_pcp(self) -> None:
        network = of_both(speaks="pcp")
        router, network.router = network.router, silent
        network.start()
        network.run(15)
        assert network.take_sent()[-1][1][0] == 0
        network.router = router
        network.run(10)
        assert network.client.via is Via.PCP
        assert MappingOpened(KEY, 443, 3600, OUTSIDE) in network.take_events()

    def test_a_router_of_pcp_version_1_is_asked_by_natpmp(self) -> None:
        network = Network()
        network.start()
        network.deliver(b"\1\x81\0\1" + bytes(20))
        assert network.client.via is Via.NATPMP

    def test_the_second_refusal_of_a_version_changes_nothing(self) -> None:
        network = of_both(speaks="natpmp")
        network.start()
        network.deliver(bytes.fromhex("00000001 00000000"))
        assert network.client.via is Via.NATPMP
        assert len(network.take_events()) == 2
