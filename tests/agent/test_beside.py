# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent beside Qubes' own, which has outbound rules: it leaves them alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qubesforward.qubes.setting import Setting
from tests.agent.forward_world import FILTER, Agent, wait_until
from tests.agent.outbound_world import Space

QUBE = "10.137.0.20"
STOCK = f"""
table ip qubes-firewall {{
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname != "vif*" accept
    ip saddr {QUBE} jump qbs-10-137-0-20
  }}
  chain qbs-10-137-0-20 {{
    accept
  }}
}}
"""
DOOR = "in=self proto=tcp ports=80-80 src=0.0.0.0/0"


@pytest.fixture
def hop(tmp_path: Path) -> Iterator[Agent]:
    with ExitStack() as stack:
        space = Space(stack)
        space.nft(FILTER)
        space.nft(STOCK)
        yield Agent(stack, space, tmp_path, setting=Setting.BESIDE)


def stock_table(hop: Agent) -> str:
    return hop.space.run("nft list table ip qubes-firewall")


def test_the_table_of_the_stock_agent_is_left_as_it_is(hop: Agent) -> None:
    before = stock_table(hop)
    for path, value in (("/policy", "drop"), ("/0000", "action=drop"), ("", "")):
        hop.write(f"/qubes-firewall/{QUBE}{path}", value)
    hop.order({"1000000a": DOOR})
    assert stock_table(hop) == before
    assert hop.read("/qubes-firewall-handled/") == ""

    hop.space.run("nft delete table inet qubes-forward")
    ours = "nft list tables | grep -q 'inet qubes-forward$' && echo there; true"
    assert wait_until(lambda: hop.space.run(ours) == "there\n")
    hop.kill()
    hop.start()
    hop.order({})
    assert stock_table(hop) == before


def test_a_table_that_is_gone_is_the_stock_agents_to_make(hop: Agent) -> None:
    hop.order({"1000000a": DOOR})
    hop.space.run("nft delete table ip qubes-firewall")
    hop.order({"1000000a": None})
    hop.order({"1000000a": DOOR})
    assert "qubes-firewall" not in hop.space.run("nft list tables")
