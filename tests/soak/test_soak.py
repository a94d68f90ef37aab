# SPDX-License-Identifier: GPL-2.0-or-later
"""A short soak, with a seed of its own each time; `make soak` is the long one."""

import os
import secrets

import pytest

from tests.soak.run import soak

pytestmark = pytest.mark.lab

SECONDS = 15.0


def test_random_operations_leave_nothing_wrong() -> None:
    seed = int(os.environ.get("SEED") or secrets.randbits(31))
    print(f"SEED={seed}")
    figures = soak(150, seed, SECONDS)
    print(figures.render())
    assert figures.looks > 0
    assert figures.leaks == []
