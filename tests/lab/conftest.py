# SPDX-License-Identifier: GPL-2.0-or-later
"""Labs for tests that send packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.lab.moving import Moving, moving_lab
from tests.lab.running_lab import RunningLab, running_lab

MakeLab = Callable[[str], AbstractContextManager[RunningLab]]


@pytest.fixture(scope="session")
def lab() -> Iterator[RunningLab]:
    """The default lab, shared by all: whoever changes it changes it back."""
    with running_lab() as one:
        yield one


@pytest.fixture(scope="session")
def moving() -> Iterator[Moving]:
    """A lab whose qubes are stopped, moved and renumbered; all is changed back."""
    with moving_lab() as one:
        yield one


@pytest.fixture
def make_lab(tmp_path: Path) -> MakeLab:
    """Return what makes a lab out of the text of a topology file."""

    def make(topology: str) -> AbstractContextManager[RunningLab]:
        file = tmp_path / "topology.toml"
        file.write_text(topology)
        return running_lab(file)

    return make
