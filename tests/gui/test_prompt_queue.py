# SPDX-License-Identifier: GPL-2.0-or-later
"""Which question is shown when, and when it may be answered."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from qubesforward.cli.request import Request
from qubesforward.gui.prompt_queue import ARMING, PromptQueue


def request(key: str, **more: object) -> Request:
    made = Request(key, "work", 5000, {"udp": 0}, ("pcp",), "", 1_790_000_060)
    return replace(made, **more)  # type: ignore[arg-type]


def shown(queue: PromptQueue) -> str:
    asked = queue.shown()
    return "" if asked is None else asked.request.id


def test_the_oldest_is_shown_and_others_wait() -> None:
    queue = PromptQueue()
    queue.show_requests([request("a"), request("b"), request("c")], 10)
    asked = queue.shown()
    assert asked is not None
    assert (asked.request.id, asked.waiting) == ("a", 2)


def test_it_is_armed_only_when_it_was_seen_for_a_moment() -> None:
    queue = PromptQueue()
    assert not queue.is_armed(1000)
    queue.show_requests([request("a")], 10)
    assert not queue.is_armed(10 + ARMING - 0.01)
    assert queue.is_armed(10 + ARMING)


def test_every_question_is_armed_by_itself() -> None:
    queue = PromptQueue()
    queue.show_requests([request("a"), request("b")], 10)
    queue.answer("a", 20)
    assert shown(queue) == "b"
    assert not queue.is_armed(20.5)


def test_one_that_ends_elsewhere_disarms_the_next() -> None:
    queue = PromptQueue()
    queue.show_requests([request("a"), request("b")], 10)
    queue.show_requests([request("b")], 20)
    assert shown(queue) == "b"
    assert not queue.is_armed(20.5)


def test_news_of_others_leave_it_armed() -> None:
    queue = PromptQueue()
    queue.show_requests([request("a")], 10)
    queue.show_requests([request("a"), request("b")], 20)
    queue.show_requests([request("a", vias=("pcp", "igd"))], 20)
    assert queue.is_armed(20)


def test_asking_for_more_disarms_it() -> None:
    queue = PromptQueue()
    queue.show_requests([request("a")], 10)
    queue.show_requests([request("a", protos={"tcp": 0, "udp": 0})], 20)
    assert shown(queue) == "a"
    assert not queue.is_armed(20.5)


def test_what_was_answered_is_not_shown_again_while_the_answer_is_on_its_way() -> None:
    queue = PromptQueue()
    queue.show_requests([request("a")], 10)
    queue.answer("a", 12)
    queue.show_requests([request("a")], 13)
    assert shown(queue) == ""
    # Only when it did not arrive.
    queue.take_back("a")
    queue.show_requests([request("a")], 14)
    assert shown(queue) == "a"
    assert not queue.is_armed(14.5)


@given(
    st.lists(
        st.one_of(
            st.lists(st.sampled_from("abcd"), unique=True),
            st.sampled_from("abcd"),
        ),
        max_size=20,
    )
)
def test_what_is_shown_is_open_and_was_never_armed_before_its_time(
    steps: list[list[str] | str],
) -> None:
    queue, now, seen, before = PromptQueue(), 0.0, {}, ""
    for step in steps:
        now += 0.4
        if isinstance(step, list):
            queue.show_requests([request(key) for key in step], now)
            assert shown(queue) in ("", *step)
        else:
            queue.answer(step, now)
            assert shown(queue) != step
        if shown(queue) != before:
            seen[shown(queue)] = now
            before = shown(queue)
        if queue.is_armed(now):
            assert now - seen[before] >= ARMING
