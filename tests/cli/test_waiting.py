# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for the hops, with a clock of its own."""

from qubesforward.cli.status import (
    ForwardStatus,
    HopState,
    HopStatus,
    PathStep,
    QubeStatus,
    State,
    Status,
)
from qubesforward.cli.waiting import (
    PATIENCE,
    find_forwards,
    find_silent,
    is_answered,
    wait_until,
)
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import ForwardRule, ForwardType

RULE = ForwardRule(ForwardType.EXTERNAL, PortRange(443, 443))
OTHER = ForwardRule(ForwardType.EXTERNAL, PortRange(80, 80))


def make_status(state: State, hop_state: HopState = HopState.OK) -> Status:
    step = PathStep("sys-net", "external", "tcp", "", "", "", "", state, "", 0, 0)
    forward = ForwardStatus("", RULE, "", state, "", (), (), None, 0, 0, (step,))
    qube = QubeStatus("work", False, "", (forward,), ())
    return Status((qube,), (HopStatus("sys-net", hop_state, "", ()),))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def wait(clock: Clock, active_after: float) -> Status:
    def ask() -> Status:
        clock.asked += 1
        is_active = clock.now - 100 >= active_after
        return make_status(State.ACTIVE if is_active else State.PENDING)

    return wait_until(
        lambda status: is_answered(status, "work", [RULE]), ask, clock, clock.pause
    )


def test_an_answer_that_is_there_costs_no_time() -> None:
    clock = Clock()
    assert wait(clock, 0).qubes[0].forwards[0].state is State.ACTIVE
    assert (clock.now, clock.asked) == (100.0, 1)


def test_a_quick_answer_is_seen_quickly() -> None:
    clock = Clock()
    wait(clock, 0.012)
    assert clock.now - 100 < 0.03


def test_gives_up_in_time_and_tells_how_it_stands() -> None:
    clock = Clock()
    assert wait(clock, 1000).qubes[0].forwards[0].state is State.PENDING
    assert PATIENCE <= clock.now - 100 < PATIENCE + 0.2
    assert clock.asked < 60


def test_a_halted_hop_is_not_waited_for() -> None:
    assert is_answered(make_status(State.PENDING, HopState.HALTED), "work", [RULE])
    assert not is_answered(make_status(State.PENDING), "work", [RULE])


def test_a_final_state_is_an_answer_whatever_it_is() -> None:
    for state in State:
        told = make_status(state)
        assert is_answered(told, "work", [RULE]) == (state is not State.PENDING)


def test_what_is_not_listed_yet_is_waited_for() -> None:
    told = make_status(State.ACTIVE)
    assert not is_answered(told, "work", [RULE, OTHER])
    assert not is_answered(told, "personal", [RULE])
    assert find_forwards(told, "work", [OTHER, RULE]) == [*told.qubes[0].forwards]


def test_silent_hops_are_those_that_run_and_were_asked_about() -> None:
    silent = make_status(State.PENDING, HopState.SILENT)
    assert find_silent(silent, {"sys-net"}) == ["sys-net"]
    assert find_silent(silent, {"work"}) == []
    assert find_silent(make_status(State.PENDING, HopState.HALTED), {"sys-net"}) == []
