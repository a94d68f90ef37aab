# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client that speaks NAT-PMP is told: RFC 6886."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from qubesforward.portmap.mapping import Key, Reason, Transport
from tests.portmap.server_world import World, natpmp_map, pcp_map

UDP, TCP = 1, 2
KEY = Key(Transport.TCP, 8080)


def _hex(answer: bytes | None) -> str:
    assert answer is not None
    return answer.hex(" ", 4)


class TestAddress:
    def test_is_that_of_the_outside(self) -> None:
        world = World(now=1000.0)
        world.now += 77.9
        # 3.2: the epoch is the seconds since the table was made.
        assert _hex(world.send(b"\0\0")) == "00800000 0000004d c0a8010a"

    def test_without_an_outside_is_a_network_failure(self) -> None:
        world = World(outside=None)
        assert _hex(world.send(b"\0\0")) == "00800003 00000000 00000000"


class TestMapping:
    def test_is_granted_with_the_port_that_was_wished_for(self) -> None:
        answer = World().send(natpmp_map(TCP, 8080, 8443, 7200))
        assert _hex(answer) == "00820000 00000000 1f9020fb 00001c20"

    def test_gets_another_port_if_that_one_is_taken(self) -> None:
        world = World()
        world.take("tcp", 8443)
        answer = world.send(natpmp_map(TCP, 8080, 8443, 7200))
        assert _hex(answer) == "00820000 00000000 1f90c350 00001c20"

    def test_is_renewed_at_its_port_whatever_is_wished_for(self) -> None:
        world = World()
        world.send(natpmp_map(TCP, 8080, 8443, 7200))
        world.now += 3600
        answer = world.send(natpmp_map(TCP, 8080, 9999, 7200))
        assert _hex(answer) == "00820000 00000e10 1f9020fb 00001c20"
        assert len(world.table.list_open()) == 1

    def test_never_lives_longer_than_was_asked(self) -> None:
        world = World()
        answer = world.send(natpmp_map(UDP, 8080, 0, 5))
        assert _hex(answer) == "00810000 00000000 1f90c350 00000005"
        answer = World(longest=600).send(natpmp_map(UDP, 8080, 0, 7200))
        assert _hex(answer) == "00810000 00000000 1f90c350 00000258"

    def test_of_both_protocols_are_two(self) -> None:
        world = World()
        world.send(natpmp_map(UDP, 8080, 8443, 7200))
        answer = world.send(natpmp_map(TCP, 8080, 8443, 7200))
        assert _hex(answer) == "00820000 00000000 1f9020fb 00001c20"
        assert len(world.table.list_open()) == 2

    def test_of_port_0_is_none(self) -> None:
        world = World()
        answer = world.send(natpmp_map(TCP, 0, 8443, 7200))
        assert _hex(answer) == "00820002 00000000 00000000 00000000"
        assert world.asked == []

    def test_without_an_outside_asks_nobody(self) -> None:
        world = World(outside=None)
        answer = world.send(natpmp_map(TCP, 8080, 8443, 7200))
        assert _hex(answer) == "00820003 00000000 1f900000 00000000"
        assert world.asked == []


@pytest.mark.parametrize(
    ("reason", "result"),
    [
        (Reason.DENIED, 2),
        (Reason.NETWORK, 3),
        (Reason.QUOTA, 4),
        (Reason.CONFLICT, 4),
    ],
)
def test_a_refusal_names_its_request_and_no_port(reason: Reason, result: int) -> None:
    world = World(decides=False)
    assert world.send(natpmp_map(UDP, 8080, 8443, 7200)) is None
    world.now += 2
    # 3.5: the internal port, and zero for what there is not.
    (answer,) = world.deny(reason)
    assert _hex(answer) == f"0081000{result} 00000002 1f900000 00000000"


class TestPending:
    def test_is_silent_until_somebody_decides(self) -> None:
        world = World(decides=False)
        for _ in range(3):
            assert world.send(natpmp_map(TCP, 8080, 8443, 7200)) is None
        assert len(world.asked) == 1
        (answer,) = world.grant(8443, 7200)
        assert _hex(answer) == "00820000 00000000 1f9020fb 00001c20"

    def test_answers_the_newest_request_only(self) -> None:
        world = World(decides=False)
        world.send(natpmp_map(TCP, 8080, 8443, 7200), port=1111)
        world.send(natpmp_map(TCP, 8080, 8443, 60), port=2222)
        world.table.grant(KEY, 8443, 7200, world.now)
        ((answer, port),) = world.server.settle(KEY, world.now)
        assert (port, _hex(answer)[-8:]) == (2222, "0000003c")

    def test_answers_the_clients_retry(self) -> None:
        world = World(decides=False)
        world.send(natpmp_map(TCP, 8080, 8443, 7200))
        world.table.grant(KEY, 8443, 7200, world.now)
        answer = world.send(natpmp_map(TCP, 8080, 8443, 7200))
        assert _hex(answer) == "00820000 00000000 1f9020fb 00001c20"

    def test_deleted_is_not_answered_later(self) -> None:
        world = World(decides=False)
        world.send(natpmp_map(TCP, 8080, 8443, 7200))
        world.send(natpmp_map(UDP, 8080, 8443, 7200))
        world.send(natpmp_map(TCP, 8080, 0, 0))
        world.send(natpmp_map(UDP, 0, 0, 0))
        assert world.released == [KEY, Key(Transport.UDP, 8080)]
        assert world.server.waiting == 0


class TestDeletion:
    def test_ends_the_mapping(self) -> None:
        world = World()
        world.send(natpmp_map(TCP, 8080, 8443, 7200))
        # 3.4: success, the internal port, no external port and no lifetime.
        answer = world.send(natpmp_map(TCP, 8080, 8443, 0))
        assert _hex(answer) == "00820000 00000000 1f900000 00000000"
        assert world.released == [KEY]

    def test_of_what_is_not_there_succeeds_alike(self) -> None:
        world = World()
        world.send(natpmp_map(TCP, 8080, 8443, 7200))
        first = world.send(natpmp_map(TCP, 8080, 0, 0))
        assert world.send(natpmp_map(TCP, 8080, 0, 0)) == first

    def test_of_all_is_of_one_protocol(self) -> None:
        world = World()
        for port in (8080, 8081):
            world.send(natpmp_map(TCP, port, 0, 7200))
            world.send(natpmp_map(UDP, port, 0, 7200))
        answer = world.send(natpmp_map(UDP, 0, 0, 0))
        assert _hex(answer) == "00810000 00000000 00000000 00000000"
        left = {key.transport for key, _ in world.table.list_open()}
        assert left == {Transport.TCP}

    @pytest.mark.parametrize("port", [8080, 0])
    def test_of_what_the_user_made_is_not_authorized(self, port: int) -> None:
        world = World(is_static=True)
        world.send(natpmp_map(TCP, 8080, 8443, 7200))
        answer = world.send(natpmp_map(TCP, port, 0, 0))
        assert _hex(answer) == f"00820002 00000000 {port:04x}0000 00000000"
        assert world.released == []
        again = world.send(natpmp_map(TCP, 8080, 0, 7200))
        assert _hex(again) == "00820000 00000000 1f9020fb 00001c20"

    def test_works_without_an_outside(self) -> None:
        world = World()
        world.send(natpmp_map(TCP, 8080, 8443, 7200))
        world.server.set_outside(None, world.now)
        answer = world.send(natpmp_map(TCP, 8080, 0, 0))
        assert _hex(answer) == "00820000 00000000 1f900000 00000000"

    def test_leaves_what_another_protocol_holds(self) -> None:
        world = World()
        world.send(natpmp_map(TCP, 8080, 8443, 7200))
        world.send(pcp_map(8080))
        world.send(natpmp_map(TCP, 0, 0, 0))
        assert [key for key, _ in world.table.list_open()] == [KEY]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", None),
        ("00", None),
        ("00 80", None),
        ("00 81 0000 1388 1770 00001c20", None),
        ("00 01 0000 1388 1770 00001c", None),
        ("00 03", "00 83 0005 00000000"),
        ("00 7f 0102 03040506 0708", "00 ff 0005 00000000 0708"),
    ],
)
def test_malformed_packets(data: str, expected: str | None) -> None:
    world = World()
    answer = world.send(bytes.fromhex(data))
    assert answer == (None if expected is None else bytes.fromhex(expected))
    assert world.asked == []


def test_an_ipv6_client_is_told_to_speak_pcp() -> None:
    world = World(client=ip_address("fd09::14"), outside=ip_address("fd00::9"))
    answer = world.send(natpmp_map(TCP, 8080, 8443, 7200))
    assert answer is not None
    assert answer[:8] == bytes.fromhex("02 82 00 01 00000708")
    assert world.asked == []
