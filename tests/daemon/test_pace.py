# SPDX-License-Identifier: GPL-2.0-or-later
"""When what was granted is planned."""

from __future__ import annotations

import pytest

from qubesforward.daemon.pace import Pace

QUIET = 0.02


def test_one_is_planned_when_nothing_follows() -> None:
    pace = Pace()
    pace.note_change(100.0)
    assert pace.delay(100.0) == pytest.approx(QUIET)
    assert pace.delay(100.0 + QUIET) <= 0


def test_what_follows_is_planned_with_it() -> None:
    pace = Pace()
    pace.note_change(100.0)
    pace.note_change(100.015)
    assert pace.delay(100.025) == pytest.approx(0.01)


def test_nobody_waits_for_longer_than_a_second() -> None:
    """A qube that asks without an end must not keep others shut, or open."""
    pace = Pace()
    for tick in range(101):
        pace.note_change(100.0 + tick / 100)
    assert pace.delay(101.0) <= 0


def test_the_next_waits_for_its_own_time() -> None:
    pace = Pace()
    pace.note_change(100.0)
    pace.note_commit()
    pace.note_change(100.9)
    assert pace.delay(100.91) == pytest.approx(0.01)
