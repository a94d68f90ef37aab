# SPDX-License-Identifier: GPL-2.0-or-later
"""Labs for tests that send packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.lab.moving import Moving, moving_lab
from tests.lab.running_lab import SETTING, SETTINGS, RunningLab, running_lab

MakeLab = Callable[[str], AbstractContextManager[RunningLab]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests of the default lab in both settings where that is asked for."""
    if metafunc.definition.get_closest_marker("both_settings"):
        wanted = (SETTING,) if SETTING else SETTINGS
        metafunc.parametrize("lab", wanted, indirect=True, scope="session")


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("integrated_only")
    if marker is not None and SETTING == "beside":
        pytest.skip(marker.args[0])


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    """The default lab, shared by all: whoever changes it changes it back."""
    with running_lab(setting=getattr(request, "param", SETTING or SETTINGS[0])) as one:
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
