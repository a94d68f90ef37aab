# SPDX-License-Identifier: GPL-2.0-or-later
"""What is logged of a forward as it comes and goes; no clock, no sockets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.daemon.audit_event import Happening
from qubesforward.daemon.exposures import (
    DOUBT_SECONDS,
    Known,
    News,
    Phase,
    Seen,
    Sight,
    compare_sights,
)

PATH = ("sys-net", "sys-firewall")
SPOTS = frozenset({("sys-net", 3, "0000000a"), ("sys-firewall", 4, "0000000b")})
OTHERS = frozenset({("sys-net", 3, "0000000c")})
OPEN = Seen(Sight.OPEN, path=PATH, spots=SPOTS)
SILENT = Seen(Sight.UNSETTLED, "sys-net has not answered", blame="sys-net", path=PATH)
SHUT = Seen(Sight.SHUT, "removed")
NO = Seen(Sight.REFUSED, "sys-net: no", blame="sys-net", path=PATH)
RECALLED = Known(Phase.OPEN, path=PATH, spots=None)


def told(known: Known, *sights: tuple[float, Seen]) -> list[tuple[Happening, str]]:
    """Return the events of a forward that is seen at these times."""
    return [(each.kind, each.reason) for each in logged(known, *sights)]


def logged(known: Known, *sights: tuple[float, Seen]) -> list[News]:
    found = []
    for now, seen in sights:
        known, news = compare_sights(known, seen, now)
        found += news
    return found


def test_a_forward_that_is_seen_to_open_and_shut_is_logged_once_each() -> None:
    assert told(Known(), (0, SILENT), (1, OPEN), (2, OPEN), (3, SHUT), (4, SHUT)) == [
        (Happening.OPENED, ""),
        (Happening.CLOSED, "removed"),
    ]


def test_what_was_there_before_us_is_found_and_not_opened() -> None:
    assert told(Known(), (0, replace(OPEN, inherited=True))) == [(Happening.FOUND, "")]


def test_nothing_is_closed_before_every_hop_says_so() -> None:
    lingering = replace(SHUT, lingering="sys-net")
    assert told(Known(), (0, OPEN), (1, lingering), (2, lingering), (2.5, SHUT)) == [
        (Happening.OPENED, ""),
        (Happening.CLOSED, "removed"),
    ]


def test_a_hop_that_keeps_silent_about_closing_is_told_of_once() -> None:
    lingering = replace(SHUT, lingering="sys-net")
    late = 1 + DOUBT_SECONDS
    assert told(
        Known(), (0, OPEN), (1, lingering), (late, lingering), (late + 9, lingering)
    ) == [
        (Happening.OPENED, ""),
        (Happening.UNSURE, "sys-net has not said that it closed it"),
    ]


def test_an_extension_that_takes_a_moment_is_no_event() -> None:
    assert told(Known(), (0, OPEN), (1, SILENT), (1.1, OPEN), (5, SILENT)) == [
        (Happening.OPENED, "")
    ]


def test_a_lost_hop_makes_unsure_and_its_return_sure_again() -> None:
    assert told(Known(), (0, OPEN), (1, SILENT), (4, SILENT), (5, OPEN)) == [
        (Happening.OPENED, ""),
        (Happening.UNSURE, "sys-net has not answered"),
        (Happening.FOUND, ""),
    ]


def test_another_path_is_closed_and_opened() -> None:
    moved = Seen(Sight.OPEN, path=("sys-net",), spots=OTHERS)
    waiting = replace(moved, lingering="sys-firewall")
    assert told(Known(), (0, OPEN), (1, waiting), (1.2, moved)) == [
        (Happening.OPENED, ""),
        (Happening.CLOSED, "it leads through sys-net now"),
        (Happening.OPENED, ""),
    ]


def test_other_entries_on_the_same_path_are_closed_and_opened() -> None:
    kinds = [k for k, _ in told(Known(), (0, OPEN), (1, replace(OPEN, spots=OTHERS)))]
    assert kinds == [Happening.OPENED, Happening.CLOSED, Happening.OPENED]


def test_a_refusal_is_told_once_for_each_reason() -> None:
    other = replace(NO, reason="sys-net: never")
    assert told(Known(), (0, NO), (1, NO), (2, SILENT), (3, NO), (4, other)) == [
        (Happening.REFUSED, "sys-net: no"),
        (Happening.REFUSED, "sys-net: never"),
    ]


def test_a_refusal_of_what_was_open_is_its_closing() -> None:
    assert told(Known(), (0, OPEN), (1, NO), (2, NO), (3, OPEN)) == [
        (Happening.OPENED, ""),
        (Happening.CLOSED, "sys-net: no"),
        (Happening.OPENED, ""),
    ]


def test_what_hops_cause_by_their_word_is_charged_to_them_and_nothing_else() -> None:
    news = logged(Known(), (0, OPEN), (1, NO), (2, OPEN), (3, SILENT), (6, SILENT))
    news += logged(Known(), (0, NO))
    assert [each.blame for each in news] == ["", *["sys-net"] * 4]
    lingering = replace(SHUT, lingering="sys-net")
    news = logged(Known(), (0, OPEN), (1, lingering), (9, lingering), (10, SHUT))
    assert [(each.kind, each.blame) for each in news] == [
        (Happening.OPENED, ""),
        (Happening.UNSURE, "sys-net"),
        (Happening.CLOSED, ""),
    ]


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (replace(OPEN, inherited=True), [(Happening.FOUND, "")]),
        (
            OPEN,
            [
                (Happening.CLOSED, "it was closed while qubes-forwardd did not run"),
                (Happening.OPENED, ""),
            ],
        ),
        (SHUT, [(Happening.CLOSED, "removed")]),
        (SILENT, []),
    ],
)
def test_what_an_earlier_run_left_open(
    seen: Seen, wanted: list[tuple[Happening, str]]
) -> None:
    assert told(RECALLED, (0, seen), (1, seen)) == wanted


SIGHTS = st.builds(
    Seen,
    sight=st.sampled_from(Sight),
    reason=st.sampled_from(["", "a", "b"]),
    blame=st.sampled_from(["", "sys-net"]),
    path=st.just(PATH),
    spots=st.sampled_from([SPOTS, OTHERS]),
    inherited=st.booleans(),
    lingering=st.sampled_from(["", "sys-net"]),
)


@given(st.lists(st.tuples(st.floats(0, 3), SIGHTS)))
def test_openings_and_closings_alternate(sights: list[tuple[float, Seen]]) -> None:
    now, is_open, known = 0.0, False, Known()
    for wait, seen in sights:
        now += wait
        known, news = compare_sights(known, seen, now)
        for each in news:
            if each.kind is Happening.CLOSED:
                assert is_open
                assert not seen.lingering
                is_open = False
            elif each.kind is Happening.OPENED:
                assert not is_open
                is_open = True
            elif each.kind is Happening.FOUND:
                is_open = True
        assert is_open == (known.phase is not Phase.SHUT)
        if seen.sight is Sight.OPEN and not seen.lingering:
            assert is_open
