# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of qubes, and disposables: nothing is opened that nobody asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.lab.moving import (
    EXTERNAL,
    INNER,
    OUTER,
    Moving,
    forwarding,
)
from tests.lab.standing import eventually
from tests.lab.traffic import serving

pytestmark = pytest.mark.lab


class TestCopies:
    def test_next_qube_of_a_name_and_address_inherits_nothing(
        self, moving: Moving
    ) -> None:
        make = "qvm-create --label green --prop netvm=sys-firewall shop"
        moving.do(make)
        moving.do("qvm-start shop")
        with forwarding(moving, "shop"):
            eventually(moving.sees, "shop")
            address = moving.address("shop")
            moving.do("qvm-kill shop")
            moving.do("qvm-remove -f shop")
            moving.do(make)
            assert moving.address("shop") == address
            moving.do("qvm-start shop")
            try:
                with serving(moving.lab, "shop", [INNER, OUTER]):
                    moving.wait_open()
                    assert moving.sees() is None
                    assert moving.forwards("shop") == []
            finally:
                moving.do("qvm-kill shop")
                moving.do("qvm-remove -f shop")

    def test_clone_has_no_forwards(self, moving: Moving) -> None:
        with forwarding(moving):
            moving.do("qvm-clone work copy")
            try:
                assert moving.forwards("copy") == []
            finally:
                moving.do("qvm-remove -f copy")

    def test_rename_keeps_nothing_open_under_the_old_name(self, moving: Moving) -> None:
        """As Qubes renames: a clone, and removal of the original."""
        moving.do("qvm-create --label green --prop netvm=sys-firewall shop")
        moving.do("qvm-start shop")
        with forwarding(moving, "shop"):
            eventually(moving.sees, "shop")
            moving.do("qvm-kill shop")
            moving.do("qvm-clone --with-files shop store")
            moving.do("qvm-remove -f shop")
            try:
                moving.do("qvm-start store")
                with serving(moving.lab, "store", [INNER, OUTER]):
                    moving.wait_open()
                    assert moving.states("store") == ["unconfirmed"]
                    assert moving.sees() is None
                    moving.do("qvm-firewall store confirm")
                    eventually(moving.sees, "store")
            finally:
                moving.do("qvm-kill store")
                moving.do("qvm-remove -f store")

    def test_restored_copy_waits_for_consent_and_is_the_younger(
        self, moving: Moving
    ) -> None:
        """Its name comes before the original's: that must not make it the older."""
        with forwarding(moving):
            moving.do("qvm-clone --with-files work archive")
            try:
                moving.do("qvm-start archive")
                with serving(moving.lab, "archive", [INNER]):
                    assert moving.states("archive") == ["unconfirmed"]
                    eventually(moving.sees, "work")
                    moving.do("qvm-firewall archive confirm")
                    assert moving.states("archive") == ["conflict"]
                    eventually(moving.sees, "work")
                    moving.do("qvm-forward work --close-all")
                    eventually(moving.sees, "archive")
            finally:
                moving.do("qvm-kill archive")
                moving.do("qvm-remove -f archive")


def make_disposable(moving: Moving) -> str:
    """Make and start one, as programs do."""
    asked = "qubesd-query -e dom0 admin.vm.CreateDisposable default-dvm"
    name = moving.do(asked)
    moving.do(f"qubesd-query -e dom0 admin.vm.Start {name}")
    return name


class TestDisposables:
    def test_several_at_once_and_the_next_in_line(self, moving: Moving) -> None:
        rule = f"{EXTERNAL} disposables=yes"
        moving.do(f"qvm-firewall default-dvm add {rule}")
        made: list[str] = []
        try:
            made += [make_disposable(moving) for _ in range(3)]
            one, two, three = made
            # Each serves, so who answers is who has the port.
            with (
                serving(moving.lab, one, [INNER]),
                serving(moving.lab, two, [INNER]),
                serving(moving.lab, three, [INNER]),
            ):
                eventually(moving.sees, one)
                assert moving.states(two) == ["conflict"]
                assert one in moving.forwards(three)[0]["reason"]
                moving.do(f"qvm-kill {one}")
                eventually(moving.sees, two)
                moving.do(f"qvm-kill {two}")
                eventually(moving.sees, three)
        finally:
            end_all(moving, made)
            moving.do("qvm-forward default-dvm --close-all")
        moving.wait_open()

    def test_none_without_the_word(self, moving: Moving) -> None:
        moving.do(f"qvm-firewall default-dvm add {EXTERNAL}")
        name = make_disposable(moving)
        try:
            with serving(moving.lab, name, [INNER]):
                moving.wait_open()
                assert moving.sees() is None
                assert moving.forwards(name) == []
        finally:
            end_all(moving, [name])
            moving.do("qvm-forward default-dvm --close-all")


def end_all(moving: Moving, names: Sequence[str]) -> None:
    for name in names:
        moving.lab.exec("dom0", ["qvm-kill", name])
