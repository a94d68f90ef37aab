# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rules of others would stop an entry's packets: a walk through their chains.

Works on what nft lists as JSON (libnftables-json(5)). Each base chain has to be got
through: what one accepts, the next may still drop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qubesforward.model.observation import Certainty
from qubesforward.nft.layout import COMMENT
from qubesforward.nft.packet import Packet, judge_equal, judge_match

_DEEPEST = 16
"""Jumps within jumps that the kernel allows (NFT_JUMP_STACK_SIZE)."""

_MOST_RULES = 20_000
"""Rules looked at on one way: chains that jump to each other may be endless work."""

_MOST_BLOCKS = 4
"""Rules of one base chain worth telling about."""

_STOPPING = ("drop", "reject")
_ENDING = ("accept", "dnat", "snat", "masquerade", "redirect", "queue", "tproxy")
_UNDERSTOOD = frozenset(
    (
        *_STOPPING,
        *_ENDING,
        *("jump", "goto", "return", "continue", "vmap", "xt"),
        *("counter", "log", "mangle", "notrack", "set", "dup"),
    )
)
"""Statements that do not make it depend on the packet whether the rest is done."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `statements` are its conditions and what it does, in order."""

    handle: int
    statements: tuple[Mapping[str, Any], ...]
    comment: str = ""


@dataclass(frozen=True, slots=True)
class BaseChain:
    """Where packets enter the chains of a table."""

    name: str
    hook: str
    policy: str


@dataclass(slots=True)
class Table:
    """A table of others with its rules by chain."""

    family: str
    name: str
    chains: dict[str, list[Rule]] = field(default_factory=dict)
    bases: list[BaseChain] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """What stops packets: the rule with this handle, or with None the policy."""

    certainty: Certainty
    chain: str
    handle: int | None


def read_tables(listed: Iterable[Mapping[str, Any]]) -> list[Table]:
    """Put together what nft lists; objects of kinds that do not matter are left out."""
    tables: dict[tuple[str, str], Table] = {}
    for item in listed:
        for kind, told in item.items():
            if kind not in ("chain", "rule"):
                continue
            where = str(told["family"]), str(told["table"])
            table = tables.setdefault(where, Table(*where))
            if kind == "chain":
                _take_chain(table, told)
            else:
                rules = table.chains.setdefault(str(told["chain"]), [])
                rules.append(_read_rule(told))
    return list(tables.values())


def _take_chain(table: Table, told: Mapping[str, Any]) -> None:
    name = str(told["name"])
    table.chains.setdefault(name, [])
    if "hook" in told:
        policy = str(told.get("policy", "accept"))
        table.bases.append(BaseChain(name, str(told["hook"]), policy))


def _read_rule(told: Mapping[str, Any]) -> Rule:
    statements = told.get("expr", ())
    return Rule(
        int(told.get("handle", 0)),
        tuple(one for one in statements if isinstance(one, Mapping)),
        str(told.get("comment", "")),
    )


def find_blocks(table: Table, hook: str, packet: Packet) -> Iterator[Found]:
    """Give what in a table's chains at a hook would stop this packet."""
    for base in table.bases:
        if base.hook == hook:
            walk = _Walk(table, packet)
            has_ended = walk.walk(base.name, certain=True)
            if has_ended is not True and base.policy == "drop":
                certain = has_ended is False
                walk.found.append(Found(_certainty(certain), base.name, None))
            yield from walk.found[:_MOST_BLOCKS]


def _certainty(certain: bool) -> Certainty:
    return Certainty.SURELY if certain else Certainty.MAYBE


class _Walk:
    """One packet on its way from a base chain on.

    Whether the way has ended somewhere is yes, no, or None: it may have.
    """

    def __init__(self, table: Table, packet: Packet) -> None:
        self.found: list[Found] = []
        self._chains = table.chains
        self._packet = packet
        self._left = _MOST_RULES

    def walk(self, chain: str, *, certain: bool, depth: int = 0) -> bool | None:
        """Walk through a chain that the packet comes to, `certain` or perhaps."""
        if depth > _DEEPEST:
            return None
        may_have_ended = may_have_left = False
        for rule in self._chains.get(chain, ()):
            self._left -= 1
            if self._left < 0:
                return None
            step = _Step(self, chain, rule, certain, depth)
            ended, leaves = step.take()
            if ended is True:
                return None if may_have_left else True
            may_have_ended = may_have_ended or ended is None
            may_have_left = may_have_left or leaves is None
            if leaves is True:
                break
            if ended is None or leaves is None:
                certain = False
        return None if may_have_ended else False

    def judge(self, rule: Rule) -> bool | None:
        """Say whether all conditions of a rule fit."""
        fits: bool | None = True
        for statement in rule.statements:
            judged = self._judge_statement(statement)
            if judged is False:
                return False
            fits = fits and judged
        return fits

    def _judge_statement(self, statement: Mapping[str, Any]) -> bool | None:
        if "match" in statement:
            return judge_match(self._packet, statement["match"])
        return True if _UNDERSTOOD & statement.keys() else None

    def verdicts(self, rule: Rule) -> Iterator[tuple[str, Any, bool | None]]:
        """Give what a rule may do with the packet: verdict, its target, whether."""
        for statement in rule.statements:
            match statement:
                case {"vmap": {"key": key, "data": {"set": list(pairs)}}}:
                    for value, told in pairs:
                        fits = judge_equal(self._packet, key, value)
                        for verdict, target in told.items():
                            yield verdict, target, fits
                case {"xt": {"type": "target", "name": "DROP" | "REJECT"}}:
                    # As iptables has it for what nft does not know itself.
                    yield "drop", None, True
                case _:
                    for verdict, target in statement.items():
                        yield verdict, target, True


@dataclass(slots=True)
class _Step:
    """One rule on the way."""

    walk: _Walk
    chain: str
    rule: Rule
    certain: bool
    depth: int

    def take(self) -> tuple[bool | None, bool | None]:
        """Return whether the way ends here, and whether it leaves this chain."""
        ended: bool | None = False
        leaves: bool | None = False
        fits = self.walk.judge(self.rule)
        if fits is False:
            return False, False
        for verdict, target, chosen in self.walk.verdicts(self.rule):
            if chosen is False:
                continue
            is_sure = fits is True and chosen is True
            one_ended, one_leaves = self._follow(verdict, target, is_sure)
            if is_sure and (one_ended is True or one_leaves is True):
                return one_ended, one_leaves
            if one_ended is not False:
                ended = None
            if one_leaves is not False:
                leaves = None
        return ended, leaves

    def _follow(
        self, verdict: str, target: Any, is_sure: bool
    ) -> tuple[bool | None, bool | None]:
        if verdict in _STOPPING:
            if self.rule.comment != COMMENT:
                certainty = _certainty(self.certain and is_sure)
                found = Found(certainty, self.chain, self.rule.handle)
                self.walk.found.append(found)
            return True, False
        if verdict in _ENDING:
            return True, False
        if verdict == "return":
            return False, True
        if verdict in ("jump", "goto") and isinstance(target, Mapping):
            ended = self.walk.walk(
                str(target.get("target")),
                certain=self.certain and is_sure,
                depth=self.depth + 1,
            )
            return ended, verdict == "goto"
        if verdict == "vmap":
            # One that is kept apart from its rule: nobody knows what is in it.
            return None, None
        return False, False
