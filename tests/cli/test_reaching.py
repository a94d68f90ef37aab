# SPDX-License-Identifier: GPL-2.0-or-later
"""What the listings say of mappings, and of how far they reach."""

from __future__ import annotations

from typing import Any

import pytest

from qubesforward.model.rule import Reach
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

CASES = [
    ("internet", "44.1.1.1:7777", "It reaches the internet, as 44.1.1.1:7777."),
    ("lan", "", "The router has not answered yet."),
    (
        "carrier",
        "100.64.0.9:7777",
        "The internet does not reach it: the router is itself behind a carrier's NAT,"
        " as 100.64.0.9:7777.",
    ),
    ("silent", "", "The internet does not reach it: no router there answers such"),
    ("refused", "", "The internet does not reach it: the router says no."),
]


@pytest.mark.parametrize(("extent", "edge", "told"), CASES)
def test_how_far_a_mapping_reaches(
    forward: Run, daemon: FakeDaemon, extent: str, edge: str, told: str
) -> None:
    daemon.portmap.told = {"extent": extent, "edge": edge, "via": ["igd", "pcp"]}
    daemon.portmap.open("work", 7777, reach=Reach.INTERNET, name="Some game")
    title, text = forward("work").out.splitlines()
    assert title == "7777/udp  external  for a program  active"
    assert told in text
    assert (
        " A program of work asked for it by UPnP or PCP, and calls it"
        ' "Some game" (its own words); it ends then unless that program renews it.'
    ) in text
    assert "Comment" not in text
    open_to = {
        "internet": "of sys-net, and on the internet, can reach",
        "lan": "of sys-net, and on the internet if its router agrees, can reach",
    }
    assert open_to.get(extent, "of sys-net can reach") in text


@pytest.mark.parametrize(
    ("extent", "edge", "cell"),
    [
        ("internet", "44.1.1.1:7777", "internet: 44.1.1.1:7777"),
        ("lan", "", "LAN so far"),
        ("carrier", "100.64.0.9:7777", "LAN (carrier's NAT)"),
        ("silent", "", "LAN (no router)"),
        ("refused", "", "LAN (router says no)"),
    ],
)
def test_the_table_of_the_computer_has_it_too(
    forward: Run, daemon: FakeDaemon, extent: str, edge: str, cell: str
) -> None:
    forward("work", "443", "--comment", "web")
    daemon.portmap.told = {"extent": extent, "edge": edge}
    daemon.portmap.open("work", 7777, reach=Reach.INTERNET, name="Some game")
    head, *rows = forward().out.splitlines()
    own, mapped = sorted(rows)
    assert head.split()[-4:] == ["STATE", "FOR", "REACHES", "COMMENT"]
    assert own.split()[-4:] == ["active", "you", "-", "web"]
    assert mapped.endswith('  "Some game"')
    assert f"  active  a program  {cell}  " in mapped


def test_a_mapping_of_the_lan_needs_no_word_on_the_internet(
    forward: Run, daemon: FakeDaemon
) -> None:
    daemon.portmap.open("work", 7777)
    told = forward("work").out
    assert "internet" not in told
    assert "A program of work asked for it; it ends then unless" in told
    assert "REACHES" not in forward().out


def test_the_stock_tool_marks_what_programs_have(
    firewall: Run, daemon: FakeDaemon
) -> None:
    daemon.portmap.open("work", 7777, name="Some game")
    row = firewall("work").out.splitlines()[-1]
    assert row.startswith("-   external      udp       7777")
    assert row.endswith('  program  "Some game"')


def test_a_user_is_told_of_the_router_as_well(
    forward: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = daemon._describe

    def describe_beyond(outcome: Any) -> dict[str, Any]:
        return describe(outcome) | {"extent": "internet", "edge": "44.1.1.1:443"}

    monkeypatch.setattr(daemon, "_describe", describe_beyond)
    ran = forward("work", "443", "--reach", "internet")
    assert "every host on the networks of sys-net, and on the internet, may" in ran.err
    told = forward("work").out
    assert "It reaches the internet, as 44.1.1.1:443." in told
    assert "asked for it" not in told
