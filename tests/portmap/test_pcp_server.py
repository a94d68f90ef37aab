# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client that speaks PCP is told: RFC 6887."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from qubesforward.portmap.mapping import Key, Network, Reason, Transport
from qubesforward.portmap.pcp_options import encode_option
from qubesforward.portmap.pcp_result import Result
from qubesforward.portmap.pcp_wire import (
    MapResponse,
    decode_response,
    encode_announce_request,
)
from qubesforward.portmap.table import Asked, Withdrawn
from qubesforward.portmap.updates import Updates
from tests.portmap.server_world import (
    CLIENT,
    FIRST,
    OUTSIDE,
    PORT,
    SECOND,
    World,
    natpmp_map,
    pcp_map,
    result_of,
)

KEY = Key(Transport.TCP, 8080)
NEAR = frozenset[Network]({ip_network("198.51.100.0/24")})
FAR = frozenset[Network]({ip_network("203.0.113.9/32")})


def _read(answer: bytes | None) -> MapResponse:
    assert answer is not None
    response = decode_response(answer)
    assert isinstance(response, MapResponse)
    return response


class TestMapping:
    def test_is_granted(self) -> None:
        world = World(now=1000.0)
        world.now += 9
        response = _read(world.send(pcp_map(8080, suggested=8443)))
        expected = MapResponse(0, 3600, 9, FIRST, 6, 8080, 8443, OUTSIDE)
        assert response == expected

    def test_of_a_taken_port_gets_another(self) -> None:
        world = World()
        world.take("tcp", 8443)
        assert _read(world.send(pcp_map(8080, suggested=8443))).external == 50000

    def test_another_suggested_address_does_no_harm(self) -> None:
        for address in ("::", "203.0.113.1", "fd00::1"):
            response = _read(World().send(pcp_map(8080, address=address)))
            assert (response.result, response.address) == (0, OUTSIDE)

    @pytest.mark.parametrize(
        ("asked", "given"), [(1, 120), (120, 120), (7200, 7200), (2**32 - 1, 86400)]
    )
    def test_lives_between_two_minutes_and_a_day(self, asked: int, given: int) -> None:
        response = _read(World().send(pcp_map(8080, lifetime=asked)))
        assert response.lifetime == given

    def test_of_an_ipv6_client_has_the_ipv6_outside(self) -> None:
        outside = ip_address("fd00::9")
        client = ip_address("fd09::14")
        world = World(client=client, outside=outside)
        response = _read(world.send(pcp_map(8080, client=client, address="::")))
        assert response.address == outside

    def test_without_an_outside_asks_nobody(self) -> None:
        world = World(outside=None)
        answer = world.send(pcp_map(8080))
        assert result_of(answer) == (Result.NETWORK_FAILURE, 30)
        assert world.asked == []

    @pytest.mark.parametrize("protocol", [1, 58, 132, 136, 255])
    @pytest.mark.parametrize("port", [0, 8080])
    def test_of_another_protocol_is_none(self, protocol: int, port: int) -> None:
        world = World()
        answer = world.send(pcp_map(port, protocol=protocol))
        assert result_of(answer) == (Result.UNSUPP_PROTOCOL, 1800)
        assert world.asked == []

    @pytest.mark.parametrize("protocol", [0, 6, 17])
    def test_of_all_ports_is_none(self, protocol: int) -> None:
        world = World()
        answer = world.send(pcp_map(0, protocol=protocol))
        assert result_of(answer) == (Result.UNSUPP_PROTOCOL, 1800)
        assert world.asked == []


class TestNonce:
    def test_the_same_renews_the_same_port(self) -> None:
        world = World()
        world.send(pcp_map(8080))
        world.now += 1800
        response = _read(world.send(pcp_map(8080, suggested=1)))
        assert (response.external, response.lifetime) == (50000, 3600)

    def test_another_is_not_authorized_as_long_as_the_mapping_lives(self) -> None:
        world = World()
        world.send(pcp_map(8080))
        world.now += 600
        request = pcp_map(8080, SECOND, suggested=7)
        answer = world.send(request)
        # 11.3; and a copy of the request, as for any error.
        assert result_of(answer) == (Result.NOT_AUTHORIZED, 3000)
        assert answer is not None
        assert answer[24:] == request[24:]

    def test_another_deletes_nothing(self) -> None:
        world = World()
        world.send(pcp_map(8080))
        answer = world.send(pcp_map(8080, SECOND, lifetime=0))
        assert result_of(answer) == (Result.NOT_AUTHORIZED, 3600)
        for protocol in (0, 6):
            answer = world.send(pcp_map(0, SECOND, protocol=protocol, lifetime=0))
            assert result_of(answer) == (Result.SUCCESS, 0)
        assert len(world.table.list_open()) == 1

    def test_another_waits_for_nothing(self) -> None:
        world = World(decides=False)
        world.send(pcp_map(8080))
        answer = world.send(pcp_map(8080, SECOND))
        assert result_of(answer) == (Result.NOT_AUTHORIZED, 30)
        (answer,) = world.grant()
        assert _read(answer).nonce == FIRST


class TestDeletion:
    def test_ends_the_mapping_and_gives_back_what_was_suggested(self) -> None:
        world = World()
        world.send(pcp_map(8080))
        request = pcp_map(8080, lifetime=0, suggested=7, address="203.0.113.1")
        response = _read(world.send(request))
        address = ip_address("203.0.113.1")
        assert response == MapResponse(0, 0, 0, FIRST, 6, 8080, 7, address)
        assert world.released == [KEY]

    @pytest.mark.parametrize("protocol", [6, 17, 132])
    def test_of_what_is_not_there_succeeds(self, protocol: int) -> None:
        world = World()
        answer = world.send(pcp_map(8080, protocol=protocol, lifetime=0))
        assert result_of(answer) == (Result.SUCCESS, 0)

    def test_of_all_is_of_those_with_the_nonce(self) -> None:
        world = World()
        for protocol in (6, 17):
            world.send(pcp_map(8080, protocol=protocol))
            world.send(pcp_map(8081, SECOND, protocol=protocol))
        world.send(pcp_map(0, protocol=17, lifetime=0))
        assert world.released == [Key(Transport.UDP, 8080)]
        world.send(pcp_map(0, protocol=0, lifetime=0))
        assert world.released == [Key(Transport.UDP, 8080), KEY]

    def test_of_what_the_user_made_is_not_authorized(self) -> None:
        world = World(is_static=True)
        world.send(pcp_map(8080, suggested=8443))
        answer = world.send(pcp_map(8080, lifetime=0))
        assert result_of(answer)[0] is Result.NOT_AUTHORIZED
        assert world.released == []
        # It is nobody's, so everybody is told of it.
        response = _read(world.send(pcp_map(8080, SECOND, suggested=1)))
        assert (response.result, response.external) == (0, 8443)

    def test_of_what_the_user_made_is_over_with_the_last_who_asked(self) -> None:
        world = World(is_static=True)
        world.send(pcp_map(8080))
        world.now += 3601
        world.table.expire(world.now)
        assert world.table.list_open() == []

    def test_takes_back_a_request_that_waits(self) -> None:
        world = World(decides=False)
        world.send(pcp_map(8080))
        world.send(pcp_map(8081))
        world.send(pcp_map(8082, SECOND))
        world.send(pcp_map(8080, lifetime=0))
        world.send(pcp_map(0, protocol=0, lifetime=0))
        assert world.server.waiting == 1
        assert world.released == [KEY, Key(Transport.TCP, 8081)]

    def test_of_what_natpmp_holds_too_leaves_it(self) -> None:
        world = World()
        world.send(pcp_map(8080))
        world.send(natpmp_map(2, 8080, 0, 7200))
        answer = world.send(pcp_map(8080, lifetime=0))
        assert result_of(answer) == (Result.SUCCESS, 0)
        assert world.released == []


class TestPreferFailure:
    def test_gets_the_port_or_an_error(self) -> None:
        world = World()
        world.take("tcp", 443)
        answer = world.send(pcp_map(8080, suggested=443, exact=True))
        assert result_of(answer) == (Result.CANNOT_PROVIDE_EXTERNAL, 30)
        answer = world.send(pcp_map(8080, suggested=444, exact=True))
        assert _read(answer).external == 444
        assert answer is not None
        assert answer[60:] == encode_option(2, b"")

    def test_of_a_mapping_at_another_port_is_an_error(self) -> None:
        world = World()
        world.send(pcp_map(8080, suggested=443))
        answer = world.send(pcp_map(8080, suggested=444, exact=True))
        assert result_of(answer) == (Result.CANNOT_PROVIDE_EXTERNAL, 30)
        answer = world.send(pcp_map(8081, suggested=443, exact=True))
        assert result_of(answer) == (Result.CANNOT_PROVIDE_EXTERNAL, 30)

    @pytest.mark.parametrize(
        ("address", "result"),
        [
            ("0.0.0.0", Result.SUCCESS),
            ("::", Result.SUCCESS),
            (str(OUTSIDE), Result.SUCCESS),
            ("203.0.113.1", Result.CANNOT_PROVIDE_EXTERNAL),
            ("fd00::1", Result.CANNOT_PROVIDE_EXTERNAL),
        ],
    )
    def test_holds_for_the_address_too(self, address: str, result: Result) -> None:
        request = pcp_map(8080, suggested=443, exact=True, address=address)
        assert result_of(World().send(request))[0] is result

    def test_a_conflict_of_another_is_no_lack_of_ports(self) -> None:
        # 7.4: CANNOT_PROVIDE_EXTERNAL is for PREFER_FAILURE only.
        world = World(decides=False)
        world.send(pcp_map(8080, suggested=443))
        (answer,) = world.deny(Reason.CONFLICT, 30)
        assert result_of(answer) == (Result.NO_RESOURCES, 30)


@pytest.mark.parametrize(
    ("reason", "retry", "expected"),
    [
        (Reason.DENIED, 1800, (Result.NOT_AUTHORIZED, 1800)),
        (Reason.QUOTA, 30, (Result.USER_EX_QUOTA, 30)),
        (Reason.NETWORK, 30, (Result.NETWORK_FAILURE, 30)),
    ],
)
def test_a_refusal_lasts(
    reason: Reason, retry: int, expected: tuple[Result, int]
) -> None:
    world = World(decides=False)
    assert world.send(pcp_map(8080)) is None
    (denied,) = world.deny(reason, retry)
    assert result_of(denied) == expected
    world.now += 10
    answer = world.send(pcp_map(8080))
    assert result_of(answer) == (expected[0], retry - 10)
    assert world.asked == []
    world.now += retry
    assert world.send(pcp_map(8080)) is None
    assert len(world.asked) == 1


def test_too_many_mappings_are_beyond_the_quota() -> None:
    world = World()
    for port in range(64):
        assert result_of(world.send(pcp_map(1 + port)))[0] is Result.SUCCESS
    answer = world.send(pcp_map(8080))
    assert result_of(answer) == (Result.USER_EX_QUOTA, 30)


def test_an_announcement_is_answered_with_the_epoch() -> None:
    world = World(now=50.0)
    world.now = 57.5
    answer = world.send(encode_announce_request(CLIENT))
    assert answer == bytes.fromhex("0280 0000 00000000 00000007") + bytes(12)


# Header: version, R and opcode, reserved, result; lifetime; epoch; reserved. {} is the
# rest of the request as it came.
_LONG = "00000708 00000000"
_IP = "00000000000000000000ffff 0a890014"
_FIELDS = FIRST.hex() + "06000000 1f9001bb" + bytes(16).hex()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("02", None),
        ("02 81 0000 00000e10" + _IP + _FIELDS, None),
        ("02 01 0000 00000e10", None),
        ("02 01 0000 00000e10" + _IP[:-2], None),
        # Section 9: this server's version, in an answer of 24 octets at least.
        ("01 01", "02 81 0001" + _LONG + 12 * "00"),
        ("01 01 0000 00000e10 aabbcc", "02 81 0001" + _LONG + 12 * "00"),
        ("03 05 0000 00000e10" + _IP, "02 85 0001" + _LONG + _IP[8:]),
        (
            "ff 7f 0000 00000e10" + _IP + "ab",
            "02 ff 0001" + _LONG + _IP[8:] + "ab000000",
        ),
        # MALFORMED_REQUEST: too short for MAP, no multiple of four.
        ("02 01 0000 00000e10" + _IP, "02 81 0003" + _LONG + _IP[8:]),
        (
            "02 01 0000 00000e10" + _IP + _FIELDS + "ab",
            "02 81 0003" + _LONG + _IP[8:] + _FIELDS + "ab000000",
        ),
        # UNSUPP_OPCODE: PEER, AUTHENTICATION.
        (
            "02 02 0000 00000e10" + _IP + _FIELDS + 20 * "ab",
            "02 82 0004" + _LONG + _IP[8:] + _FIELDS + 20 * "ab",
        ),
        ("02 03 0000 00000e10" + _IP, "02 83 0004" + _LONG + _IP[8:]),
        # ADDRESS_MISMATCH.
        (
            "02 01 0000 00000e10" + _IP[:-1] + "5" + _FIELDS,
            "02 81 000c" + _LONG + 12 * "00" + _FIELDS,
        ),
        # UNSUPP_OPTION: THIRD_PARTY.
        (
            "02 01 0000 00000e10" + _IP + _FIELDS + "01000010" + _IP,
            "02 81 0005" + _LONG + 12 * "00" + _FIELDS + "01000010" + _IP,
        ),
        # MALFORMED_OPTION.
        (
            "02 01 0000 00000e10" + _IP + _FIELDS + "02000008 00000000",
            "02 81 0006" + _LONG + _IP[8:] + _FIELDS + "02000008 00000000",
        ),
    ],
)
def test_malformed_packets(request_: str, expected: str | None) -> None:
    world = World()
    answer = world.send(bytes.fromhex(request_))
    assert answer == (None if expected is None else bytes.fromhex(expected))
    assert world.asked == []


def test_an_unknown_optional_option_is_left_out_of_the_answer() -> None:
    unknown = encode_option(0x90, b"whatever")
    answer = World().send(pcp_map(8080) + unknown)
    assert result_of(answer)[0] is Result.SUCCESS
    assert answer is not None
    assert len(answer) == 60


class TestWithdrawal:
    def test_is_told_to_who_held_it(self) -> None:
        world = World()
        world.send(pcp_map(8080, suggested=443))
        ((update, port),) = world.withdraw(KEY)
        # Where its request was answered, and not where announcements go.
        assert port == PORT
        fields = (FIRST, 6, 8080, 443, OUTSIDE)
        assert decode_response(update) == MapResponse(2, 1800, 0, *fields)

    def test_is_told_three_times_with_the_time_of_each(self) -> None:
        world = World()
        world.send(pcp_map(8080, suggested=443), port=4444)
        assert len(world.withdraw(KEY)) == 1
        start, told = world.now, []
        for _ in range(50):
            due = world.server.get_timer()
            if due is None:
                break
            world.server.take_announcements(due)
            told += [(due - start, port) for _, port in world.server.take_updates(due)]
        assert told == [(0.25, 4444), (0.75, 4444)]

    def test_is_not_told_again_to_who_asks_again(self) -> None:
        world = World()
        world.send(pcp_map(8080, suggested=443))
        world.withdraw(KEY)
        world.send(pcp_map(8080, suggested=443))
        assert world.server.take_updates(world.now + 10) == []

    def test_of_very_many_is_told_of_a_bounded_number(self) -> None:
        updates = Updates()
        for port in range(1, 3000):
            updates.put(Withdrawn(Key(Transport.TCP, port), port, ()), 0.0)
        assert len(updates) == 1024
        assert len(updates.take(1.0)) == 1024

    def test_is_not_told_in_natpmp(self) -> None:
        world = World()
        world.send(natpmp_map(2, 8080, 0, 7200))
        assert world.withdraw(KEY) == []


def test_one_question_for_all_protocols_of_one_port() -> None:
    world = World(decides=False)
    world.send(pcp_map(8080, suggested=443))
    world.send(natpmp_map(2, 8080, 443, 7200))
    assert len([one for one in world.events if isinstance(one, Asked)]) == 1
    answers = world.grant(443)
    assert sorted(answer[0] for answer in answers) == [0, 2]
