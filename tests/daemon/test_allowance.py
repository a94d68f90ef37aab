# SPDX-License-Identifier: GPL-2.0-or-later
"""How much of the log one qube can fill."""

from qubesforward.daemon.allowance import Allowance


def test_a_qube_that_took_all_gets_one_more_at_a_time() -> None:
    allowance = Allowance(burst=3, seconds_each=10)
    for now in (0.0, 0.1, 0.2):
        assert allowance.count("sys-net", now)
        allowance.take("sys-net", now)
    assert allowance.count("sys-net", 9) == 0
    assert allowance.count("sys-firewall", 9) == 3
    assert allowance.count("sys-net", 10.5) == 1
    assert allowance.count("sys-net", 1000) == 3


def test_a_clock_that_is_set_back_gives_nothing() -> None:
    allowance = Allowance(burst=1, seconds_each=10)
    allowance.take("sys-net", 100)
    assert allowance.count("sys-net", 0) == 0
    assert allowance.count("sys-net", 5) == 0
