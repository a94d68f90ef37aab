# SPDX-License-Identifier: GPL-2.0-or-later
"""One client: limits, rates, what dom0 is asked, and when something is due."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from qubesforward.gateway.served import NETWORK_RETRY, Served
from qubesforward.model.rule import Proto
from qubesforward.portmap.mapping import Key, Transport
from qubesforward.portmap.pcp_result import Result
from qubesforward.portmap.waiting import Datagram
from qubesforward.qubes.mapping_wire import (
    Client,
    Denial,
    Denied,
    FromGateway,
    Gone,
    GrantedMap,
    Held,
    Map,
    Unmap,
)
from tests.portmap.server_world import natpmp_map, pcp_map, result_of

WORK = ip_address("10.137.0.20")
EDGE = ip_address("203.0.113.9")
UDP = Proto.UDP
START = 1000.0


class Rig:
    """A client, dom0 that hears, and a clock that tests turn."""

    def __init__(self, mappings: int = 64) -> None:
        self.now = START
        self.said: list[FromGateway] = []
        self.sent: list[Datagram] = []
        self.armed: list[float] = []
        self.is_connected = True
        client = Client(WORK, mappings, EDGE)
        self.served = Served(
            client, self._say, self.sent.extend, self.armed.append, self.now
        )

    def _say(self, message: FromGateway) -> bool:
        if self.is_connected:
            self.said.append(message)
        return self.is_connected

    def ask(self, data: bytes, port: int = 40000) -> list[bytes]:
        answers = self.served.receive_datagram(data, port, self.now)
        return [answer for answer, _ in answers]

    def wish(self, inner: int = 5000, lifetime: int = 600) -> list[bytes]:
        return self.ask(natpmp_map(1, inner, inner, lifetime))

    def take(self, message: Any) -> None:
        self.served.take(message, self.now)

    def grant(self, inner: int = 5000, lifetime: int = 600) -> None:
        self.take(GrantedMap(WORK, UDP, inner, inner, lifetime))

    def holds(self, inner: int = 5000) -> bool:
        record = self.served.table.find(Key(Transport.UDP, inner))
        return record is not None and record.is_open


class TestAsking:
    def test_dom0_is_asked_once_and_the_answer_goes_out(self) -> None:
        rig = Rig()
        for _ in range(3):
            assert rig.wish() == []
        assert rig.said == [Map(WORK, UDP, 5000, 5000, 600, "natpmp")]
        rig.grant()
        ((answer, port),) = rig.sent
        assert (answer[:4], port) == (bytes((0, 129, 0, 0)), 40000)
        assert rig.holds()

    def test_without_dom0_nothing_opens(self) -> None:
        rig = Rig()
        rig.is_connected = False
        rig.wish()
        ((answer, _),) = rig.sent
        assert answer[2:4] == b"\0\3"  # RFC 6886, 3.5: network failure
        assert not rig.holds()
        rig.is_connected = True
        rig.now += NETWORK_RETRY + 1
        rig.wish()
        assert len(rig.said) == 1

    def test_what_was_granted_to_nobody_is_given_back(self) -> None:
        rig = Rig()
        rig.grant()
        assert rig.said == [Unmap(WORK, UDP, 5000)]
        assert not rig.holds()

    def test_deleted_it_is_given_back(self) -> None:
        rig = Rig()
        rig.wish()
        rig.grant()
        rig.wish(lifetime=0)
        assert rig.said[-1] == Unmap(WORK, UDP, 5000)

    @pytest.mark.parametrize("reason", list(Denial))
    def test_denied_it_is_not_there(self, reason: Denial) -> None:
        rig = Rig()
        rig.wish()
        rig.take(Denied(WORK, UDP, 5000, reason, 60))
        assert len(rig.sent) == 1
        assert not rig.holds()
        rig.wish()
        assert len(rig.said) == 1

    @pytest.mark.parametrize("protocol", [0, 132, 255])
    def test_protocols_without_ports_are_never_asked_for(self, protocol: int) -> None:
        rig = Rig()
        (answer,) = rig.ask(pcp_map(5000, protocol=protocol))
        assert result_of(answer)[0] in (
            Result.UNSUPP_PROTOCOL,
            Result.MALFORMED_REQUEST,
        )
        assert rig.said == []


class TestLimits:
    def test_no_more_mappings_than_dom0_says(self) -> None:
        rig = Rig(mappings=2)
        answers = [rig.wish(inner) for inner in (5000, 5001, 5002)]
        assert answers[:2] == [[], []]
        assert answers[2][0][2:4] == b"\0\4"  # RFC 6886, 3.5: out of resources
        assert len(rig.said) == 2

    def test_a_smaller_number_counts_at_once(self) -> None:
        rig = Rig()
        rig.wish(5000)
        rig.served.update(Client(WORK, 1, EDGE), rig.now)
        assert rig.wish(5001)[0][2:4] == b"\0\4"

    def test_questions_are_few(self) -> None:
        rig = Rig(mappings=4096)
        for inner in range(1024, 3000):
            rig.wish(inner)
        assert len(rig.said) == 64

    def test_a_flood_is_cut_and_passes(self) -> None:
        rig = Rig()
        answered = sum(len(rig.ask(b"\0\0")) for _ in range(20_000))
        assert 0 < answered <= 10_000
        rig.now += 1
        assert len(rig.ask(b"\0\0")) == 1


class TestReconnecting:
    def test_all_that_is_held_is_asked_for_and_no_longer_than_it_is(self) -> None:
        rig = Rig()
        rig.wish()
        rig.grant(lifetime=600)
        rig.said.clear()
        rig.now += 100
        rig.served.check_all(rig.now)
        assert rig.said == [Map(WORK, UDP, 5000, 5000, 500, "natpmp", again=True)]
        rig.take(Denied(WORK, UDP, 5000, Denial.DENIED, 60))
        assert not rig.holds()

    def test_open_questions_are_put_again(self) -> None:
        rig = Rig()
        rig.wish()
        rig.said.clear()
        rig.served.check_all(rig.now)
        rig.served.pump(rig.now)
        assert len(rig.said) == 1

    def test_what_was_held_before_is_taken_in(self) -> None:
        rig = Rig()
        rig.take(Held(WORK, UDP, 5000, 7777, 600, ("natpmp",)))
        answer = rig.wish()[0]
        assert int.from_bytes(answer[10:12], "big") == 7777

    def test_what_the_program_was_told_is_gone_is_not(self) -> None:
        rig = Rig()
        rig.served.is_told()
        rig.take(Held(WORK, UDP, 5000, 7777, 600, ("natpmp",)))
        assert rig.said == [Unmap(WORK, UDP, 5000)]
        assert not rig.holds()

    def test_gone_is_gone(self) -> None:
        rig = Rig()
        rig.wish()
        rig.grant()
        rig.take(Gone(WORK, UDP, 5000))
        assert not rig.holds()


class TestTime:
    """It is woken when something is due, and by nothing else."""

    def after_announcements(self) -> Rig:
        rig = Rig()
        for _ in range(10):
            rig.now = rig.armed[-1]
            rig.armed.clear()
            assert rig.served.tick(rig.now)
        return rig

    def test_announcements_are_ten_and_then_it_sleeps(self) -> None:
        assert self.after_announcements().armed == []

    def test_a_mapping_ends_when_it_says(self) -> None:
        rig = self.after_announcements()
        rig.wish()
        rig.grant(lifetime=600)
        end = min(rig.armed)
        assert end == rig.now + 600
        rig.armed.clear()
        rig.now = end
        assert rig.served.tick(end) == []
        assert rig.said[-1] == Unmap(WORK, UDP, 5000)
        assert rig.armed == []

    def test_a_client_that_asks_for_less_is_woken_for_earlier(self) -> None:
        rig = self.after_announcements()
        rig.wish()
        rig.grant(lifetime=600)
        rig.armed.clear()
        rig.wish(lifetime=10)
        assert min(rig.armed) == rig.now + 10
