# SPDX-License-Identifier: GPL-2.0-or-later
"""What is rendered, in real tables of both kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.iptables.layout import Place, plan_chains
from qubesforward.iptables.outbound import Outbound, plan_outbound
from qubesforward.iptables.restore import (
    Part,
    Present,
    parse_save,
    render_removal,
    render_restore,
    sum_counters,
)
from qubesforward.iptables.severed import severed_rule, still_severed
from qubesforward.model.entry import Entry
from qubesforward.nft.elements_wire import Counter
from qubesforward.nft.outbound_match import Match
from tests.agent.iptables_world import KINDS, install, load_base, run
from tests.agent.outbound_world import Space
from tests.nft.entries import entry

A, B, C = "1000000a", "1000000b", "1000000c"
NAMES = {4: "iptables", 6: "ip6tables"}
PLACE = Place("eth0", ("tun0",), astray=frozenset((4, 6)), judge="")
SOURCES = {4: ip_address("10.137.0.20"), 6: ip_address("fd09::14")}
ALL = Match(accept=True)


@dataclass
class Tables:
    """The tables of a namespace with the base rules of old."""

    space: Space
    environment: dict[str, str]
    folder: Path

    def look(self, family: int) -> Present:
        save = f"{NAMES[family]}-save --counters"
        return parse_save(run(self.space, self.environment, save))

    def save(self, family: int) -> str:
        shown = run(self.space, self.environment, f"{NAMES[family]}-save")
        return "".join(line for line in shown.splitlines(True) if line[0] != "#")

    def restore(self, family: int, text: str) -> None:
        file = self.folder / "rules"
        file.write_text(text)
        command = f"{NAMES[family]}-restore --noflush --counters {file}"
        run(self.space, self.environment, command)

    def write(self, family: int, entries: Mapping[str, Entry]) -> str:
        chains = plan_chains(family, PLACE, entries)
        present = self.look(family)
        text = render_restore(Part.FORWARDS, chains, present, present.counted)
        self.restore(family, text)
        return text

    def remove(self, family: int) -> None:
        # Chains of forwards may refer to those of outbound rules.
        for part in (Part.FORWARDS, Part.OUTBOUND):
            self.restore(family, render_removal(part, self.look(family)))

    def write_outbound(self, family: int, outbound: Outbound) -> None:
        chains = plan_outbound(family, outbound)
        text = render_restore(Part.OUTBOUND, chains, self.look(family), {})
        self.restore(family, text)


@pytest.fixture(scope="module", params=KINDS)
def tables(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tables]:
    programs = tmp_path_factory.mktemp("bin")
    environment = install(programs, request.param)
    with ExitStack() as stack:
        space = Space(stack)
        load_base(space, environment)
        yield Tables(space, environment, tmp_path_factory.mktemp("rules"))


_port = st.integers(1, 65535)
_ranges = st.tuples(_port, _port).map(lambda two: tuple(sorted(two)))
_sources = {
    4: ("0.0.0.0/0", "10.0.0.0/8", "10.1.2.0/25", "192.168.1.7/32"),
    6: ("::/0", "fd00::/8", "2001:db8:1::/64", "fd77::2/128"),
}


@st.composite
def _entries(draw: st.DrawFn, family: int) -> dict[str, Entry]:
    found = {}
    for number in range(draw(st.integers(0, 4))):
        first, last = draw(_ranges)
        ports = f"{first}-{last}"
        words = [
            f"in={draw(st.sampled_from(('external', 'uplink', 'local', 'self')))}",
            f"proto={draw(st.sampled_from(('tcp', 'udp')))}",
            f"ports={ports}",
            f"src={draw(st.sampled_from(_sources[family]))}",
        ]
        if draw(st.booleans()):
            words.append(f"until={draw(st.integers(1, 2**33))}")
        if words[0] != "in=self":
            moved = min(first + draw(st.integers(0, 9)), 65535 - (last - first))
            inner = draw(
                st.sampled_from((f"{moved}", f"{moved}-{moved + last - first}"))
            )
            words += [f"toports={inner}", *draw(st.sampled_from(([], ["bypass=yes"])))]
        try:
            found[f"1000000{number}"] = entry(" ".join(words))
        except InvalidRule:
            continue
    return found


@pytest.mark.parametrize("family", [4, 6])
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_whatever_the_entries_are_they_are_taken_and_found_again(
    tables: Tables, family: int, data: st.DataObject
) -> None:
    entries = data.draw(_entries(family))
    tables.write(family, entries)
    present = tables.look(family)
    assert set(sum_counters(present.counted)) == entries.keys()
    jumps = [
        rule
        for (_table, chain), rules in present.rules.items()
        if not chain.startswith("QBS-")
        for rule in rules
    ]
    assert len(jumps) == len(set(jumps)) == 7
    again = tables.write(family, entries)
    assert "-I " not in again
    assert tables.look(family).look_of(Part.FORWARDS) == present.look_of(Part.FORWARDS)


@pytest.mark.parametrize("family", [4, 6])
def test_removal_leaves_the_tables_as_they_were(tables: Tables, family: int) -> None:
    tables.remove(family)
    before = tables.save(family)
    source = SOURCES[family]
    tables.write(family, {A: entry("src=::/0" if family == 6 else "")})
    tables.write_outbound(family, Outbound({source: [ALL]}, {family: [source]}))
    assert tables.save(family) != before
    tables.remove(family)
    after = tables.save(family)
    # A table that was not there before is empty now.
    assert set(before.splitlines()) <= set(after.splitlines())
    assert "QBS-FWD" not in after
    assert "qubes-forward" not in after
    assert ":QBS-S" not in after


def test_each_part_leaves_the_other_alone(tables: Tables) -> None:
    source = SOURCES[4]
    tables.write(4, {A: entry("")})
    forwards = tables.look(4).look_of(Part.FORWARDS)
    tables.write_outbound(4, Outbound({source: [ALL]}))
    assert tables.look(4).look_of(Part.FORWARDS) == forwards
    outbound = tables.look(4).look_of(Part.OUTBOUND)
    tables.write(4, {B: entry("")})
    assert tables.look(4).look_of(Part.OUTBOUND) == outbound
    tables.write_outbound(4, Outbound())
    assert "QBS-S4" not in tables.save(4)


def test_counters_are_kept_when_chains_are_written_anew(tables: Tables) -> None:
    tables.write(4, {A: entry("")})
    key = ("QBS-FWD-PASSING", A)
    chains = plan_chains(4, PLACE, {A: entry("")})
    counted = {key: Counter(5, 300)}
    tables.restore(4, render_restore(Part.FORWARDS, chains, tables.look(4), counted))
    tables.write(4, {A: entry(""), B: entry("ports=80")})
    assert tables.look(4).counted[key] == Counter(5, 300)


def test_severed_connections_are_found_again_until_their_time_is_over(
    tables: Tables,
) -> None:
    target, client = (ip_address("10.137.0.5"), 80), (ip_address("10.0.0.7"), 5555)
    rules = [severed_rule("tcp", target, client, until) for until in (1000, 2000)]
    chains = plan_chains(4, PLACE, {}, rules)
    tables.restore(4, render_restore(Part.FORWARDS, chains, tables.look(4), {}))
    found = tables.look(4).severed
    assert len(found) == 2
    assert still_severed(found, 1500) == found[1:]
    assert still_severed(found, 2000) == []
