# SPDX-License-Identifier: GPL-2.0-or-later
"""``qvm-forward VM --picture FILE``."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from qubesforward.cli.exits import DONE, REFUSED, USAGE
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon


def test_the_ways_of_all_forwards_are_drawn(
    forward: Run, daemon: FakeDaemon, tmp_path: Path
) -> None:
    forward("work", "443:8443")
    forward("work", "53/udp", "--internal")
    file = tmp_path / "ways.svg"
    ran = forward("work", "--picture", str(file))
    assert (ran.status, ran.err) == (DONE, "")
    texts = ["".join(each.itertext()) for each in ElementTree.parse(file).iter()]
    assert texts.count("sys-net") == 1
    assert texts.count("sys-firewall") == 2
    assert "Other qubes" in texts


def test_only_ports_that_are_named_are_drawn(
    forward: Run, daemon: FakeDaemon, tmp_path: Path
) -> None:
    forward("work", "443")
    forward("work", "80")
    before = len(daemon.forwards["work"])
    file = tmp_path / "one.svg"
    assert forward("work", "--picture", str(file), "80").status == DONE
    texts = ["".join(each.itertext()) for each in ElementTree.parse(file).iter()]
    assert "80" in texts
    assert "443" not in texts
    # A picture opens nothing.
    assert len(daemon.forwards["work"]) == before


def test_what_cannot_be_drawn_is_said(
    forward: Run, daemon: FakeDaemon, tmp_path: Path
) -> None:
    file = str(tmp_path / "x.svg")
    nothing = forward("work", "--picture", file)
    assert nothing.status == REFUSED
    assert "nothing to draw" in nothing.err
    forward("work", "443")
    assert forward("work", "--picture", str(tmp_path / "x.png")).status == USAGE
    assert forward("--picture", file).status == USAGE
    nowhere = forward("work", "--picture", str(tmp_path / "no" / "x.svg"))
    assert nowhere.status == REFUSED
    assert "No such file" in nowhere.err
