# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.built import build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all packages."""
    out = tmp_path_factory.mktemp("packages")
    build(out)
    return out
