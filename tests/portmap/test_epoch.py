# SPDX-License-Identifier: GPL-2.0-or-later
"""When a router's time says that it has lost its state."""

from __future__ import annotations

import pytest

from qubesforward.portmap.epoch import Epoch

START = 1000


# RFC 6887, 8.5: a sixteenth and two seconds either way, one second back.
@pytest.mark.parametrize(
    ("client", "server", "follows"),
    [
        (0, 0, True),
        (0, -1, True),
        (0, -2, False),
        (0, 2, True),
        (0, 3, False),
        (100, 100, True),
        (100, 93, True),
        (100, 92, True),
        (100, 91, False),
        (100, 108, True),
        (100, 109, False),
        (1600, 1498, True),
        (1600, 1497, False),
        (5, -1000, False),
    ],
)
def test_time_of_pcp(client: int, server: int, follows: bool) -> None:
    epoch = Epoch()
    assert epoch.follows_in_pcp(START, 50.0)
    assert epoch.follows_in_pcp(START + server, 50.0 + client) is follows


# RFC 6886, 3.6: seven eighths of the time, less two seconds.
@pytest.mark.parametrize(
    ("client", "server", "follows"),
    [
        (0, 0, True),
        (0, -2, True),
        (0, -3, False),
        (80, 70, True),
        (80, 68, True),
        (80, 67, False),
        (80, 5000, True),
        (5, -1000, False),
    ],
)
def test_time_of_natpmp(client: int, server: int, follows: bool) -> None:
    epoch = Epoch()
    assert epoch.follows_in_natpmp(START, 50.0)
    assert epoch.follows_in_natpmp(START + server, 50.0 + client) is follows


def test_after_a_loss_the_new_time_counts() -> None:
    epoch = Epoch()
    epoch.follows_in_pcp(START, 0.0)
    assert not epoch.follows_in_pcp(3, 10.0)
    assert epoch.follows_in_pcp(13, 20.0)
