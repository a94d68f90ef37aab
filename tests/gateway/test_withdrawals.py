# SPDX-License-Identifier: GPL-2.0-or-later
"""When a router counts as having closed something."""

from __future__ import annotations

import pytest

from qubesforward.gateway.withdrawals import By, Withdrawals
from qubesforward.portmap.mapping import Key, Transport

KEY = Key(Transport.TCP, 80)
BOTH = (By.DATAGRAMS, By.IGD)


@pytest.mark.parametrize(
    ("ends", "is_closed"),
    [
        ([(By.DATAGRAMS, True), (By.IGD, True)], True),
        ([(By.DATAGRAMS, True), (By.IGD, False)], True),
        ([(By.DATAGRAMS, False), (By.IGD, True)], True),
        ([(By.DATAGRAMS, False), (By.IGD, False)], False),
    ],
)
def test_it_has_when_every_way_has_ended_and_one_said_so(
    ends: list[tuple[By, bool]], is_closed: bool
) -> None:
    withdrawals = Withdrawals()
    withdrawals.begin(KEY, 8080, BOTH)
    (first, said), (second, says) = ends
    assert not withdrawals.finish(KEY, first, is_confirmed=said)
    # Said twice, it is not the other way's word.
    assert not withdrawals.finish(KEY, first, is_confirmed=True)
    assert list(withdrawals) == [(KEY, 8080)]
    assert withdrawals.finish(KEY, second, is_confirmed=says) is is_closed
    assert not withdrawals


def test_one_that_is_asked_later_stays_until_then() -> None:
    withdrawals = Withdrawals()
    withdrawals.begin(KEY, 80, ())
    assert not withdrawals.finish(KEY, By.IGD, is_confirmed=True)
    assert list(withdrawals) == [(KEY, 80)]


def test_what_is_wanted_again_is_none() -> None:
    withdrawals = Withdrawals()
    withdrawals.begin(KEY, 80, BOTH)
    withdrawals.drop(KEY)
    assert not withdrawals.finish(KEY, By.IGD, is_confirmed=True)
    assert not withdrawals
