# SPDX-License-Identifier: GPL-2.0-or-later
"""What iptables-restore is given, and what iptables-save says is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from qubesforward.iptables.layout import (
    FORWARDS_HOOKS,
    OUTBOUND,
    STOCK_OUTBOUND,
    Chains,
)
from qubesforward.iptables.outbound import ABOVE, BELOW, OUTBOUND_HOOKS
from qubesforward.iptables.rules import (
    COMMENT,
    PREFIX,
    SOURCE_PREFIX,
    Rule,
    is_our_chain,
)
from qubesforward.nft.elements_wire import Counter

_RULE = re.compile(r"(?:\[([0-9]+):([0-9]+)\] )?-A (\S+) ?(.*)")
_COUNTS_FOR = re.compile(rf'--comment "?{COMMENT}:([0-9a-f]{{8}})\b')
_OUR_JUMP = re.compile(rf'-m comment --comment "?{COMMENT}"? -j (\S+)')

_NOTHING = Counter(0, 0)

Counted = dict[tuple[str, str], Counter]
"""Chain and entry's ID → what the rule for it there counted."""


class Part(Enum):
    """What is written by itself: the other part's chains and jumps are left alone."""

    FORWARDS = "forwards"
    OUTBOUND = "outbound rules"

    @property
    def hooks(self) -> Mapping[str, Mapping[str, str]]:
        """The jumps of this part: by table, from which chain to which."""
        return FORWARDS_HOOKS if self is Part.FORWARDS else OUTBOUND_HOOKS

    def has_chain(self, name: str) -> bool:
        """Whether one of our chains belongs to this part."""
        is_outbound = name in (OUTBOUND, BELOW, ABOVE) or name.startswith(SOURCE_PREFIX)
        return is_outbound == (self is Part.OUTBOUND)


@dataclass(slots=True)
class Present:
    """What one family's tables hold, as far as it concerns us.

    `rules`: those of our chains and our jumps in the kernel's own, by table and chain.
    `severed` are those of the chain for cut connections, without their verdict;
    `has_stock_chain`: the rules of Qubes are here; `has_stock_outbound`: and what its
    own agent makes of outbound rules.
    """

    rules: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    counted: Counted = field(default_factory=dict)
    severed: list[str] = field(default_factory=list)
    has_stock_chain: bool = False
    has_stock_outbound: bool = False

    def chains(self, table: str) -> set[str]:
        """Return the names of our chains in a table."""
        return {name for one, name in self.rules if one == table and is_our_chain(name)}

    def look_of(self, part: Part) -> object:
        """Return what differs if anything was changed of which a part consists."""
        own = {
            where: rules
            for where, rules in self.rules.items()
            if is_our_chain(where[1]) and part.has_chain(where[1])
        }
        jumps = {
            (where, rule)
            for where, rules in self.rules.items()
            if not is_our_chain(where[1])
            for rule in rules
            if part.has_chain(rule.rpartition(" ")[2])
        }
        # What else has outbound rules decides on what packets of forwards have to pass.
        return own, jumps, part is Part.FORWARDS and self.has_stock_outbound


def parse_save(text: str) -> Present:
    """Read what iptables-save prints, with or without counters."""
    found = Present()
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name = line[1:].partition(" ")[0]
            if is_our_chain(name):
                found.rules.setdefault((table, name), [])
            found.has_stock_chain |= name == STOCK_OUTBOUND
        elif rule := _RULE.fullmatch(line):
            packets, size, chain, words = rule.groups()
            counter = Counter(int(packets or 0), int(size or 0))
            _take_rule(found, (table, chain), words, counter)
    return found


def _take_rule(
    found: Present, where: tuple[str, str], words: str, counter: Counter
) -> None:
    table, chain = where
    if is_our_chain(chain):
        found.rules.setdefault(where, []).append(words)
        if counts := _COUNTS_FOR.search(words):
            found.counted[chain, counts[1]] = counter
        if chain == f"{PREFIX}SEVERED":
            found.severed.append(words.removesuffix(" -j DROP"))
    elif _OUR_JUMP.fullmatch(words):
        found.rules.setdefault(where, []).append(words)
    elif (table, chain) == ("filter", STOCK_OUTBOUND):
        found.has_stock_outbound = True


def render_restore(
    part: Part, chains: Chains, present: Present, counted: Counted
) -> str:
    """Make the chains of a part hold these rules and no others, and be jumped to.

    For ``iptables-restore --noflush --counters``. Counters of rules begin with what is
    `counted`.
    """
    lines: list[str] = []
    for table, hooks in part.hooks.items():
        wanted = chains[table]
        known = {name for name in present.chains(table) if part.has_chain(name)}
        stale = sorted(known - wanted.keys())
        lines.append(f"*{table}")
        lines += [f":{name} - [0:0]" for name in (*wanted, *stale)]
        for name, rules in wanted.items():
            lines += (_render_rule(name, rule, counted) for rule in rules)
        for chain, ours in hooks.items():
            lines += _render_jump(chain, ours, present.rules.get((table, chain), []))
        lines += [f"-X {name}" for name in stale]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def render_removal(part: Part, present: Present) -> str:
    """Take all of a part away; empty if there is nothing."""
    lines: list[str] = []
    for table in part.hooks:
        names = sorted(filter(part.has_chain, present.chains(table)))
        jumps = [
            f"-D {chain} {rule}"
            for (one, chain), rules in present.rules.items()
            if one == table and not is_our_chain(chain)
            for rule in rules
            if part.has_chain(rule.rpartition(" ")[2])
        ]
        if names or jumps:
            lines += [f"*{table}", *(f":{name} - [0:0]" for name in names), *jumps]
            lines += [*(f"-X {name}" for name in names), "COMMIT"]
    return "".join(f"{line}\n" for line in lines)


def _render_rule(chain: str, rule: Rule, counted: Counted) -> str:
    counter = counted.get((chain, rule.counts_for), _NOTHING)
    return f"[{counter.packets}:{counter.bytes}] -A {chain} {rule.text}"


def _render_jump(chain: str, ours: str, present: list[str]) -> Iterator[str]:
    """Let a chain of the kernel's own jump to one of ours once, if it does not."""
    there = [
        rule
        for rule in present
        if (jump := _OUR_JUMP.fullmatch(rule)) and jump[1] == ours
    ]
    if len(there) != 1:
        yield from (f"-D {chain} {rule}" for rule in there)
        yield f"-I {chain} -m comment --comment {COMMENT} -j {ours}"


def sum_counters(counted: Mapping[tuple[str, str], Counter]) -> dict[str, Counter]:
    """Add up what all rules of each entry counted."""
    sums: dict[str, Counter] = {}
    for (_chain, entry_id), one in counted.items():
        before = sums.get(entry_id, _NOTHING)
        both = Counter(before.packets + one.packets, before.bytes + one.bytes)
        sums[entry_id] = both
    return sums
