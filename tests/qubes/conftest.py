# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.qubes.running import short_directory


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory
