# SPDX-License-Identifier: GPL-2.0-or-later
"""The server as a whole: the epoch, announcements, bounds, and any bytes at all."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qubesforward.portmap.datagram_server import Announcement, DatagramServer
from qubesforward.portmap.mapping import Key, Transport
from qubesforward.portmap.pcp_wire import encode_announce_request
from qubesforward.portmap.table import Asked, Limits, Settled, Table
from qubesforward.portmap.waiting import MOST
from tests.portmap.server_world import (
    CLIENT,
    OUTSIDE,
    World,
    natpmp_map,
    pcp_map,
)

ELSEWHERE = ip_address("192.168.1.77")


def _epoch(world: World) -> int:
    natpmp, pcp = world.send(b"\0\0"), world.send(encode_announce_request(CLIENT))
    assert natpmp is not None
    assert pcp is not None
    assert natpmp[4:8] == pcp[8:12]
    return int.from_bytes(pcp[8:12], "big")


def _announcements(world: World) -> list[tuple[float, list[Announcement]]]:
    """Let all announcements come; return them with their times since now."""
    start, found = world.now, []
    while (due := world.server.get_timer()) is not None:
        assert world.server.take_announcements(due - 0.01) == []
        found.append((due - start, world.server.take_announcements(due)))
    return found


class TestEpoch:
    def test_goes_on_while_nothing_is_lost(self) -> None:
        world = World(now=10.0)
        world.now = 25.9
        assert _epoch(world) == 15

    def test_begins_again_with_another_address(self) -> None:
        world = World()
        world.now += 100
        world.server.set_outside(ELSEWHERE, world.now)
        world.now += 3
        assert _epoch(world) == 3

    def test_goes_on_if_the_same_address_comes_back(self) -> None:
        world = World()
        for address, epoch in ((None, 50), (OUTSIDE, 100), (OUTSIDE, 150)):
            world.now += 50
            world.server.set_outside(address, world.now)
            assert _epoch(world) == epoch

    def test_begins_again_if_another_comes_after_none(self) -> None:
        world = World()
        world.now += 50
        world.server.set_outside(None, world.now)
        world.server.set_outside(ELSEWHERE, world.now)
        assert _epoch(world) == 0

    def test_begins_again_when_mappings_are_lost(self) -> None:
        world = World()
        world.now += 100
        world.server.lose_state(world.now)
        assert _epoch(world) == 0
        assert world.server.get_timer() == world.now

    def test_is_that_of_the_table_from_before_a_restart(self) -> None:
        server = DatagramServer(Table(), CLIENT, started=-1000.0)
        ((answer, _),) = server.receive_datagram(b"\0\0", 1, 5.0)
        assert int.from_bytes(answer[4:8], "big") == 1005


class TestAnnouncements:
    def test_come_ten_times_ever_more_seldom(self) -> None:
        found = _announcements(World())
        # RFC 6886, 3.2.1: a quarter of a second, doubled each time.
        pauses = [0.25 * 2**n for n in range(9)]
        assert [time for time, _ in found] == [sum(pauses[:n]) for n in range(10)]

    def test_are_of_both_protocols_and_know_the_time(self) -> None:
        world = World()
        world.now += 20
        world.server.set_outside(ELSEWHERE, world.now)
        time, (natpmp, pcp) = _announcements(world)[-1]
        epoch = int(time).to_bytes(4, "big")
        assert natpmp.data == bytes.fromhex("00800000") + epoch + ELSEWHERE.packed
        assert pcp.data == bytes.fromhex("02800000 00000000") + epoch + bytes(12)
        where = {(str(one.destination), one.port) for one in (natpmp, pcp)}
        assert where == {("224.0.0.1", 5350)}

    def test_of_ipv6_are_of_pcp_only(self) -> None:
        world = World(client=ip_address("fd09::14"), outside=ip_address("fd00::9"))
        _, (only,) = _announcements(world)[0]
        assert only.data[0] == 2
        assert (str(only.destination), only.port) == ("ff02::1", 5350)

    def test_end_when_the_outside_is_gone(self) -> None:
        world = World()
        world.server.set_outside(None, world.now)
        assert world.server.get_timer() is None
        assert world.server.take_announcements(world.now + 999) == []

    def test_begin_again_with_another_address(self) -> None:
        world = World()
        world.server.take_announcements(world.now)
        world.server.set_outside(ELSEWHERE, world.now + 0.1)
        assert world.server.get_timer() == world.now + 0.1


def test_answers_carry_the_new_address_at_once() -> None:
    world = World()
    world.send(pcp_map(8080))
    world.server.set_outside(ELSEWHERE, world.now)
    answer = world.send(pcp_map(8080))
    assert answer is not None
    assert answer[-4:] == ELSEWHERE.packed


class TestBounds:
    def test_a_flood_of_requests_keeps_a_bounded_number(self) -> None:
        table = Table(Limits(mappings=2000, pending=1000))
        server = DatagramServer(table, CLIENT, 0.0)
        server.set_outside(OUTSIDE, 0.0)
        for port in range(1, 3000):
            nonce = port.to_bytes(12, "big")
            server.receive_datagram(pcp_map(port, nonce), 1, 0.0)
            server.receive_datagram(natpmp_map(1, port, 0, 60), 1, 0.0)
        assert server.waiting == 2 * MOST
        assert len([one for one in table.take_events() if type(one) is Asked]) == 1000

    def test_many_nonces_for_one_port_keep_one_request(self) -> None:
        world = World(decides=False)
        for number in range(500):
            world.send(pcp_map(8080, number.to_bytes(12, "big")))
        assert (world.server.waiting, len(world.asked)) == (1, 1)

    def test_an_answer_that_never_comes_costs_one_question(self) -> None:
        world = World(decides=False)
        for _ in range(500):
            world.now += 1
            assert world.send(pcp_map(8080)) is None
        assert len(world.asked) == 1


@st.composite
def _near_misses(draw: st.DrawFn) -> bytes:
    """Draw a request with a few octets changed, cut, or put behind it."""
    base = draw(
        st.sampled_from(
            [
                pcp_map(8080),
                pcp_map(8080, suggested=443, exact=True),
                pcp_map(8080, filters=frozenset()),
                natpmp_map(1, 8080, 0, 60),
                encode_announce_request(CLIENT),
            ]
        )
    )
    data = bytearray(base)
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    end = draw(st.integers(0, len(data)) | st.just(len(data)))
    return bytes(data[:end]) + draw(st.binary(max_size=24))


def _may_open(data: bytes) -> bool:
    """Whether this is a whole request for a mapping, told by its first octets."""
    if data[:1] == b"\0":
        port, lifetime = data[4:6], data[8:12]
        return data[1:2] in (b"\1", b"\2") and any(port) and any(lifetime)
    if data[:2] != b"\2\1" or len(data) < 60:
        return False
    is_ours = data[8:24] == bytes(10) + b"\xff\xff" + CLIENT.packed
    return is_ours and data[36] in (6, 17) and any(data[40:42]) and any(data[4:8])


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=90) | _near_misses(), max_size=6))
def test_no_bytes_raise_or_open_what_they_do_not_ask_for(packets: list[bytes]) -> None:
    world = World()
    for data in packets:
        count = len(world.asked)
        answer = world.send(data)
        assert len(world.asked) == count or _may_open(data)
        # An answer is a response, and never much more than what was sent.
        if answer is not None:
            assert answer[1] & 0x80
            assert len(answer) <= max(24, len(data) + 3)


@given(st.data())
def test_only_valid_requests_get_a_success(data: st.DataObject) -> None:
    packet = data.draw(_near_misses())
    world = World()
    answer = world.send(packet)
    opened = [one for one in world.events if isinstance(one, Settled)]
    if answer is not None and len(answer) >= 60 and answer[3] == 0:
        is_deletion = not any(packet[4:8])
        assert opened or is_deletion


@pytest.mark.parametrize("transport", list(Transport))
def test_settling_what_nobody_waits_for_says_nothing(transport: Transport) -> None:
    world = World()
    assert world.server.settle(Key(transport, 8080), world.now) == []
