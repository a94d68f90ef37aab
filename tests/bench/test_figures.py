# SPDX-License-Identifier: GPL-2.0-or-later
"""What is made of measured values."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.figures import Figure, Record, Sheet, divide, fit_growth, load_record
from bench.numbers import format_number, format_spread
from bench.targets import TARGETS, Target


def figure(*values: float, side: str = "ours", size: int | None = 1) -> Figure:
    return Figure("time", side, size, "ms", values)


def test_middle_and_spread_are_percentiles() -> None:
    one = figure(*range(1, 102))
    assert one.middle == 51
    assert one.spread == (11, 91)
    assert figure(7).spread == (7, 7)


def test_ratios_are_of_runs_that_followed_one_another() -> None:
    # A machine that is ten times slower in the second run changes nothing.
    assert divide(figure(2, 20), figure(1, 10)) == (2, 2)


@pytest.mark.parametrize(
    ("cost", "exponent", "is_above"),
    [
        (lambda _n: 5.0, 0.0, False),
        (lambda n: 2.0 * n, 1.0, False),
        (lambda n: n * math.log(n + 1), 1.2, False),
        (lambda n: 0.1 * n * n, 2.0, True),
        (lambda n: n**1.5, 1.5, True),
        (lambda n: 1000 + 0.001 * n * n, 0.6, True),
    ],
)
def test_growth_is_an_exponent(cost: object, exponent: float, is_above: bool) -> None:
    assert callable(cost)
    growth = fit_growth({n: cost(n) for n in (10, 100, 1_000, 10_000)})
    assert growth is not None
    assert growth.whole == pytest.approx(exponent, abs=0.15)
    assert growth.is_above_n_log_n is is_above


def test_growth_needs_three_sizes() -> None:
    assert fit_growth({1: 1.0, 10: 2.0}) is None
    assert fit_growth({1: 1.0, 10: 0.0, 100: 2.0}) is None


def test_sheet_gathers_runs() -> None:
    sheet = Sheet()
    for value in (1.0, 2.0):
        sheet.note("time", "ours", value, "ms", 10)
        sheet.note("time", "theirs", 3 * value, "ms", 10)
    ours, theirs = sheet.figures()
    assert ours == Figure("time", "ours", 10, "ms", (1.0, 2.0))
    assert theirs.values == (3.0, 6.0)


def test_a_part_that_was_not_run_has_no_record(tmp_path: Path) -> None:
    assert load_record("open", tmp_path) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1.5, "1.5"),
        (12.34, "12.3"),
        (123456.7, "123,457"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert format_number(value) == text


def test_a_value_without_a_spread_stands_alone() -> None:
    assert format_spread(2, 2, 2) == "2"
    assert format_spread(2, 1, 3) == "2 (1 to 3)"


def test_targets_are_found_where_they_were_measured() -> None:
    record = Record(
        "open",
        "",
        0,
        "",
        (
            Figure("every hop acknowledged", "qubes-forward", 2, "ms", (5.0, 7.0)),
            Figure(
                "every hop acknowledged", "documented commands", 2, "ms", (25.0, 21.0)
            ),
        ),
    )
    found = [target.find({"open": record}) for target in TARGETS[:2]]
    assert found == [6.0, 4.0]
    assert [t.is_met(f) for t, f in zip(TARGETS, found, strict=False) if f] == [
        True
    ] * 2
    assert all(target.find({}) is None for target in TARGETS)


def test_a_target_may_be_a_least_or_a_most() -> None:
    least = Target("", 0.97, "", lambda _records: None, is_least=True)
    assert (least.is_met(0.98), least.is_met(0.9), least.text) == (
        True,
        False,
        "≥ 0.97",
    )
    most = Target("", 5, " ms", lambda _records: None)
    assert (most.is_met(5), most.is_met(5.1), most.text) == (True, False, "≤ 5 ms")
