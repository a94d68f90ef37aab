# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may connect to a mapping: the FILTER option of PCP (RFC 6887, 13.3)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from qubesforward.portmap.mapping import Key, Network, Transport
from qubesforward.portmap.pcp_options import encode_option
from qubesforward.portmap.pcp_result import Result
from qubesforward.portmap.pcp_wire import (
    pack_address,
)
from tests.portmap.server_world import (
    World,
    natpmp_map,
    pcp_map,
    result_of,
)

KEY = Key(Transport.TCP, 8080)
NEAR = frozenset[Network]({ip_network("198.51.100.0/24")})
FAR = frozenset[Network]({ip_network("203.0.113.9/32")})


class TestFilter:
    def test_is_what_is_asked_for_and_comes_back(self) -> None:
        world = World()
        answer = world.send(pcp_map(8080, filters=NEAR))
        assert world.asked[0].sources == NEAR
        assert answer is not None
        assert answer[60:] == pcp_map(8080, filters=NEAR)[60:]

    def test_comes_to_those_that_are_there(self) -> None:
        world = World()
        world.send(pcp_map(8080, filters=NEAR))
        more = bytes.fromhex("03000014 00800000") + pack_address(
            ip_address("203.0.113.9")
        )
        world.send(pcp_map(8080) + more)
        assert [asked.sources for asked in world.asked] == [NEAR, NEAR | FAR]

    def test_of_prefix_0_takes_the_earlier_ones_away(self) -> None:
        world = World()
        world.send(pcp_map(8080, filters=NEAR))
        world.send(pcp_map(8080, filters=FAR))
        world.send(pcp_map(8080, filters=frozenset()))
        assert [one.sources for one in world.asked] == [NEAR, FAR, frozenset()]

    def test_stays_at_a_renewal_without_one(self) -> None:
        world = World()
        world.send(pcp_map(8080, filters=NEAR))
        world.now += 1800
        assert result_of(world.send(pcp_map(8080))) == (Result.SUCCESS, 3600)
        assert world.asked[-1].sources == NEAR

    def test_that_was_denied_is_no_success(self) -> None:
        world = World(decides=False)
        world.send(pcp_map(8080, filters=NEAR))
        world.grant()
        assert world.send(pcp_map(8080, filters=frozenset())) is None
        (denied,) = world.deny()
        assert result_of(denied) == (Result.NOT_AUTHORIZED, 1800)
        world.now += 60
        answer = world.send(pcp_map(8080, filters=frozenset()))
        assert result_of(answer) == (Result.NOT_AUTHORIZED, 1740)
        # The mapping stays as it was, and is renewed as it was.
        assert result_of(world.send(pcp_map(8080)))[0] is Result.SUCCESS
        record = world.table.find(KEY)
        assert record is not None
        assert record.sources == NEAR

    def test_does_not_slip_into_a_question_that_is_open(self) -> None:
        world = World(decides=False)
        world.send(pcp_map(8080, filters=NEAR))
        world.send(pcp_map(8080, filters=FAR))
        assert world.grant() == []
        assert [one.sources for one in world.asked] == [FAR]
        (answer,) = world.grant()
        assert result_of(answer)[0] is Result.SUCCESS

    def test_of_eight_is_possible_of_nine_not(self) -> None:
        world = World()
        eight = frozenset[Network](ip_network(f"198.51.100.{n}") for n in range(8))
        assert result_of(world.send(pcp_map(8080, filters=eight)))[0] is Result.SUCCESS
        nine = eight | FAR
        answer = world.send(pcp_map(8080, filters=nine))
        assert result_of(answer) == (Result.EXCESSIVE_REMOTE_PEERS, 1800)
        # The ninth comes to eight that are there.
        ninth = encode_option(3, b"\0\x80\0\0" + pack_address(ip_address("1.2.3.4")))
        answer = world.send(pcp_map(8080) + ninth)
        assert result_of(answer) == (Result.EXCESSIVE_REMOTE_PEERS, 1800)
        record = world.table.find(KEY)
        assert record is not None
        assert record.sources == eight

    def test_of_the_other_family_is_refused(self) -> None:
        answer = World().send(
            pcp_map(8080, filters=frozenset({ip_network("2001:db8::/32")}))
        )
        assert result_of(answer) == (Result.EXCESSIVE_REMOTE_PEERS, 1800)

    def test_of_one_protocol_is_widened_by_another_only_with_a_yes(self) -> None:
        world = World(decides=False)
        world.send(pcp_map(8080, filters=NEAR))
        world.grant()
        assert world.send(natpmp_map(2, 8080, 0, 3600)) is None
        (question,) = world.asked
        assert (question.sources, question.renews) == (frozenset(), True)
