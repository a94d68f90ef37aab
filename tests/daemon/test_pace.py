# SPDX-License-Identifier: GPL-2.0-or-later
"""When what was granted is planned."""

from __future__ import annotations

import pytest

from qubesforward.daemon.pace import Pace

SOON = 0.01


def test_first_is_planned_at_once() -> None:
    assert Pace().delay(100.0) == SOON


def test_long_plans_are_made_seldom() -> None:
    pace = Pace()
    pace.note_commit(100.0)
    pace.note_pass(100.0625)
    assert pace.delay(100.0625) == pytest.approx(0.625)
    assert pace.delay(100.5) == pytest.approx(0.1875)
    assert pace.delay(101.0) == SOON


def test_never_a_second_later() -> None:
    pace = Pace()
    pace.note_commit(100.0)
    pace.note_pass(130.0)
    assert pace.delay(130.0) == 1.0


def test_passes_of_other_causes_do_not_count() -> None:
    """A qube that was switched off and on was told of its port a second late."""
    pace = Pace()
    pace.note_commit(100.0)
    pace.note_pass(100.001)
    pace.note_pass(100.5)
    assert pace.delay(100.5) == SOON
