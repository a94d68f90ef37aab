# SPDX-License-Identifier: GPL-2.0-or-later
"""Which outer ports programs get, and when."""

from __future__ import annotations

import pytest

from qubesforward.daemon.outer_ports import Outers, choose_outer
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import Proto

WORK, OTHER = "uuid of work", "uuid of another"


class Clock:
    """Seconds, set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outers(clock: Clock) -> Outers:
    return Outers(clock)


class TestTaken:
    def test_by_anybody_is_free_for_nobody(self, outers: Outers) -> None:
        outers.take(OTHER, Proto.UDP, 6000)
        assert not outers.is_free_for(WORK, Proto.UDP, 6000, 5000)
        assert not outers.is_free_for(OTHER, Proto.UDP, 6000, 5000)

    @pytest.mark.parametrize(
        ("mine", "its"), [(Proto.TCP, Proto.UDP), (Proto.UDP, Proto.TCP)]
    )
    def test_with_one_protocol_is_kept_with_the_other(
        self, outers: Outers, mine: Proto, its: Proto
    ) -> None:
        outers.take(WORK, mine, 6000)
        assert outers.is_free_for(WORK, its, 6000, 5000)
        assert not outers.is_free_for(OTHER, its, 6000, 5000)

    def test_in_two_blocks_is_taken_until_both_have_ended(
        self, outers: Outers, clock: Clock
    ) -> None:
        outers.take(WORK, Proto.UDP, 6000)
        outers.take(OTHER, Proto.UDP, 6000)
        outers.let_go(WORK, Proto.UDP, 6000, 6000)
        clock.now += 1000
        assert not outers.is_free_for(WORK, Proto.UDP, 6000, 6000)


class TestLetGo:
    def test_is_given_to_nobody_else_for_two_minutes(
        self, outers: Outers, clock: Clock
    ) -> None:
        outers.take(WORK, Proto.TCP, 6000)
        outers.let_go(WORK, Proto.TCP, 6000, 5000)
        assert not outers.is_free_for(OTHER, Proto.TCP, 6000, 5000)
        # Another program of the same qube might hear what was for the first.
        assert not outers.is_free_for(WORK, Proto.TCP, 6000, 5001)
        clock.now += 119
        assert not outers.is_free_for(OTHER, Proto.TCP, 6000, 5000)
        clock.now += 1
        assert outers.is_free_for(OTHER, Proto.TCP, 6000, 5000)

    def test_can_be_had_again_by_who_had_it(self, outers: Outers) -> None:
        outers.take(WORK, Proto.TCP, 6000)
        outers.let_go(WORK, Proto.TCP, 6000, 5000)
        assert outers.is_free_for(WORK, Proto.TCP, 6000, 5000)

    def test_rests_no_longer_though_the_clock_was_set_back(
        self, outers: Outers, clock: Clock
    ) -> None:
        outers.take(WORK, Proto.TCP, 6000)
        outers.let_go(WORK, Proto.TCP, 6000, 5000)
        clock.now -= 100_000
        assert outers.is_free_for(OTHER, Proto.TCP, 6000, 5000)


@pytest.mark.parametrize("port", [5350, 5351])
def test_ports_of_the_protocols_themselves_are_nobodys(
    outers: Outers, port: int
) -> None:
    assert not outers.is_free_for(WORK, Proto.UDP, port, port)
    assert outers.is_free_for(WORK, Proto.TCP, port, port)


@pytest.mark.parametrize(
    ("wished", "exact", "chosen"),
    [(6000, False, 6000), (0, False, 5000), (80, False, 5000), (80, True, None)],
)
def test_the_wished_port_comes_before_the_inner_one(
    wished: int, exact: bool, chosen: int | None
) -> None:
    found = choose_outer(
        wished, 5000, PortRange(1024, 65535), lambda _: True, lambda _: 0, exact=exact
    )
    assert found == chosen


def test_what_is_left_is_drawn() -> None:
    draws = iter([1, 2, 3])
    found = choose_outer(
        6000,
        5000,
        PortRange(7000, 7009),
        lambda port: port == 7003,
        lambda _: next(draws),
        exact=False,
    )
    assert found == 7003
