# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command of the guides does what stands below it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.following import Follower, matches
from tests.docs.pages import DOCS, PAGES, find_steps
from tests.lab.routers import router_topology
from tests.lab.running_lab import RunningLab, running_lab

FOLLOWED = [page for page in PAGES if find_steps(page)]
RUNNING = ("sys-net", "sys-firewall", "work", "personal", "untrusted")
VPN = ("sys-vpn", "media")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab beside a stock Qubes, whose router opens ports, as at most homes."""
    file = tmp_path_factory.mktemp("guide") / "topology.toml"
    file.write_text(router_topology(running=(*RUNNING, *VPN)))
    # Pages are about what is installed on Qubes.
    with running_lab(file, setting="beside") as lab:
        yield lab


@pytest.mark.lab
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_commands_do_what_is_shown(home: RunningLab, page: object) -> None:
    with Follower(home) as follower:
        for step in find_steps(next(one for one in FOLLOWED if one == page)):
            follower.follow(step)


def test_every_page_of_the_guide_is_followed() -> None:
    pages = {page for page in DOCS.glob("guide/*.md") if page.stem != "README"}
    assert pages <= set(FOLLOWED)


def test_what_differs_is_seen() -> None:
    assert matches("open until 18:30", "open  until\n07:11\n", {})
    assert matches("a\n…\nb", "a\nb", {})
    assert not matches("a\n…\nb", "a\nc", {})
    assert not matches("", "Warning", {})
    known: dict[str, str] = {}
    assert matches("1a2b3c4d work", "07ff0123 work", known)
    assert known == {"1a2b3c4d": "07ff0123"}
