# SPDX-License-Identifier: GPL-2.0-or-later
"""Lengths and moments of time as typed, and as shown."""

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.cli.durations import (
    LONGEST,
    format_day,
    format_duration,
    format_moment,
    parse_duration,
    parse_moment,
)
from qubesforward.errors import InvalidRule

NOON = int(datetime.fromisoformat("2026-11-23T12:00:00+01:00").timestamp())


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    """Clock times are local: fix a zone that has summer time."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("30m", 1800),
        ("30min", 1800),
        ("90s", 90),
        ("1d12h", 129600),
        ("1w", 604800),
        ("1h30m10s", 5410),
        ("+300", 300),
    ],
)
def test_reads_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2", "Give a unit"),
        ("", "length of time"),
        ("2 h", "length of time"),
        ("h", "length of time"),
        ("-2h", "length of time"),
        ("2H", "length of time"),
        ("1.5h", "length of time"),
        ("\u0662h", "length of time"),
        ("2h\n", "length of time"),
        ("0s", "no time at all"),
        ("+0", "no time at all"),
        ("+-1", "length of time"),
        ("11000d", "10 years"),
        ("999999999w", "10 years"),
        ("9" * 5000 + "s", "length of time"),
    ],
)
def test_refuses_durations_and_says_why(text: str, why: str) -> None:
    with pytest.raises(InvalidRule, match=why):
        parse_duration(text)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("18:30", "2026-11-23T18:30:00+01:00"),
        ("8:05", "2026-11-24T08:05:00+01:00"),
        ("12:00", "2026-11-24T12:00:00+01:00"),
        ("2026-12-24", "2026-12-24T00:00:00+01:00"),
        ("2026-12-24 18:30", "2026-12-24T18:30:00+01:00"),
        ("2026-12-24T18:30:15", "2026-12-24T18:30:15+01:00"),
        ("2027-07-01 09:00", "2027-07-01T09:00:00+02:00"),
        ("+90", "2026-11-23T12:01:30+01:00"),
        (str(NOON + 5), "2026-11-23T12:00:05+01:00"),
    ],
)
def test_reads_moments_in_local_time(text: str, moment: str) -> None:
    assert parse_moment(text, NOON) == at(moment)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("24:00", "give a time"),
        ("18:60", "give a time"),
        ("18.30", "give a time"),
        ("2026-13-01", "give a time"),
        ("2026-12-24 18:30 ", "give a time"),
        ("2026-12-24\t18:30", "give a time"),
        ("tomorrow", "give a time"),
        ("0000-01-01", "give a time"),
        ("2h", "did you mean --for 2h"),
        ("2026-11-22", "over already"),
        ("2026-11-23 12:00", "over already"),
        ("5", "over already"),
        ("9999-01-01", "10 years"),
        ("999999999999", "10 years"),
    ],
)
def test_refuses_moments_and_says_why(text: str, why: str) -> None:
    with pytest.raises(InvalidRule, match=why):
        parse_moment(text, NOON)


def test_clock_time_that_is_over_today_is_tomorrow_also_when_summer_time_ends() -> None:
    saturday = at("2026-10-24T20:00:00+02:00")
    assert parse_moment("18:30", saturday) == at("2026-10-25T18:30:00+01:00")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (45, "45 s"),
        (60, "1 min"),
        (7199, "1 h 59 min"),
        (7200, "2 h"),
        (3601, "1 h"),
        (129600, "1 d 12 h"),
        (86400 * 400, "400 d"),
    ],
)
def test_writes_durations_in_two_units(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


def test_writes_moments_no_longer_than_needed() -> None:
    assert format_moment(NOON + 30, NOON) == "12:00:30"
    assert format_moment(NOON + 7200, NOON) == "14:00"
    assert format_moment(NOON + 86400, NOON) == "tomorrow 12:00"
    assert format_moment(NOON + 10 * 86400, NOON) == "Thu 2026-12-03 12:00"


def test_writes_moments_for_tables_in_ten_characters() -> None:
    assert format_day(NOON + 7200, NOON) == "14:00"
    assert format_day(NOON + 86400, NOON) == "Tue 12:00"
    assert format_day(NOON + 10 * 86400, NOON) == "2026-12-03"


@given(st.text())
def test_any_text_is_a_duration_or_the_one_error(text: str) -> None:
    with contextlib.suppress(InvalidRule):
        assert 0 < parse_duration(text) <= LONGEST


@given(st.text() | st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"))
def test_any_text_is_a_moment_to_come_or_the_one_error(text: str) -> None:
    with contextlib.suppress(InvalidRule):
        assert NOON < parse_moment(text, NOON) <= NOON + LONGEST


@given(st.integers(1, LONGEST))
def test_what_is_written_is_read_again_but_for_what_was_left_out(seconds: int) -> None:
    text = format_duration(seconds).replace(" ", "")
    assert seconds - 86400 < parse_duration(text) <= seconds
