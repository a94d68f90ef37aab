# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of others that are in the way of forwards, as iptables-save writes them.

Only what comes before our own jump matters: our chains accept what they let through. A
rule is walked with what is known of an entry's packets; what it says beyond protocol,
port and target makes it one that may fit.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import pairwise

from qubesforward.iptables.rules import is_our_chain
from qubesforward.model.entry import Entry
from qubesforward.model.observation import Block, Certainty

_STOPS = frozenset(("DROP", "REJECT"))
_LEAVES = frozenset(("ACCEPT", "RETURN"))
_OF_QUBES = re.compile(r"QBS-|PR-QBS|LAB-")
"""Chains that stop packets by design, such as those with a forged source."""

_ONLY_LOADED = frozenset(("tcp", "udp", "multiport", "comment"))
"""Matches that say nothing by themselves."""

_DEEPEST = 16
"""Jumps after which no more is followed; iptables itself has no loops."""

_LAST_PORT = 65535

_FAMILIES = {4: "ip", 6: "ip6"}

Tables = Mapping[tuple[str, str], "_Chain"]
"""By table and chain."""


@dataclass(slots=True)
class _Chain:
    policy: str = "-"
    rules: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Packet:
    """The first packet of a connection of an entry at one hook."""

    proto: str
    ports: tuple[int, int]
    to: str | None


@dataclass(frozen=True, slots=True)
class _Hook:
    name: str
    chain: str
    tables: tuple[str, ...]
    packet: _Packet


def read_chains(text: str) -> Tables:
    """Read what iptables-save prints."""
    found: dict[tuple[str, str], _Chain] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name, policy, *_ = [*line[1:].split(), "-", "-"]
            found[table, name] = _Chain(policy)
        elif line.startswith("-A "):
            name, _, rule = line[3:].partition(" ")
            found.setdefault((table, name), _Chain()).rules.append(rule)
    return found


def find_foreign(tables: Tables, entry: Entry) -> Iterator[Block]:
    """Give what stops, or may stop, packets of an entry before they come to us."""
    for hook in _hooks_of(entry):
        for table in hook.tables:
            walk = _Walk(tables, table, hook, _FAMILIES[entry.family])
            yield from walk.find(hook.chain)


def _hooks_of(entry: Entry) -> Iterator[_Hook]:
    outer = _Packet(entry.proto, (entry.ports.first, entry.ports.last), None)
    yield _Hook("prerouting", "PREROUTING", ("raw", "mangle", "nat"), outer)
    if entry.is_door or entry.toports is None:
        yield _Hook("input", "INPUT", ("mangle", "filter"), outer)
    else:
        ports = (entry.toports.first, entry.toports.last)
        inner = _Packet(entry.proto, ports, str(entry.to))
        yield _Hook("forward", "FORWARD", ("mangle", "filter"), inner)


@dataclass(slots=True)
class _Walk:
    """Through one table at one hook, as its packets go."""

    tables: Tables
    table: str
    hook: _Hook
    family: str
    is_over: bool = False

    def find(self, chain: str) -> Iterator[Block]:
        yield from self._go(chain, Certainty.SURELY, 0)
        policy = self.tables.get((self.table, chain), _Chain()).policy
        if not self.is_over and policy == "DROP" and self.table != "filter":
            yield self._block(Certainty.SURELY, chain, "policy drop")

    def _go(self, chain: str, so_far: Certainty, depth: int) -> Iterator[Block]:
        for rule in self.tables.get((self.table, chain), _Chain()).rules:
            words = _split(rule)
            target = _value(words, "-j", "-g")
            fits = _judge(words, self.hook.packet)
            if is_our_chain(target):
                # From here on it is ours.
                self.is_over = True
            if self.is_over:
                return
            if fits is False or _OF_QUBES.match(target) or _is_of_links(words):
                continue
            sure = so_far if fits else Certainty.MAYBE
            if target in _STOPS:
                yield self._block(sure, chain, rule)
                self.is_over = sure is Certainty.SURELY
            elif target in _LEAVES:
                if fits:
                    self.is_over = target == "ACCEPT" and sure is Certainty.SURELY
                    return
                so_far = Certainty.MAYBE
            elif (self.table, target) in self.tables and depth < _DEEPEST:
                yield from self._go(target, sure, depth + 1)
            if self.is_over:
                return

    def _block(self, certainty: Certainty, chain: str, rule: str) -> Block:
        return Block(certainty, self.hook.name, self.family, self.table, chain, rule)


def _split(rule: str) -> list[str]:
    try:
        return shlex.split(rule)
    except ValueError:
        return rule.split()


def _value(words: Sequence[str], *names: str) -> str:
    for name, value in pairwise(words):
        if name in names:
            return value
    return ""


def _is_of_links(words: Sequence[str]) -> bool:
    """Whether it is one by which Qubes drops what has a forged source."""
    return _value(words, "-i").startswith("vif") and "-s" in words


def _judge(words: Sequence[str], packet: _Packet) -> bool | None:
    """Say whether a rule's conditions fit: yes, no, or None for what is not known."""
    known: bool | None = True
    for is_not, name, values in _group(words):
        if name in ("-j", "-g"):
            # What follows is the target's own.
            break
        fits = _judge_one(name, values, packet)
        if fits is not None and fits is is_not:
            return False
        known = None if fits is None else known
    return known


def _group(words: Sequence[str]) -> Iterator[tuple[bool, str, list[str]]]:
    """Give the options of a rule: whether negated, name, values."""
    is_not = False
    options: list[tuple[bool, str, list[str]]] = []
    for word in words:
        if word == "!":
            is_not = True
        elif word.startswith("-"):
            options.append((is_not, word, []))
            is_not = False
        elif options:
            options[-1][2].append(word)
    yield from options


def _judge_one(name: str, values: Sequence[str], packet: _Packet) -> bool | None:
    value = " ".join(values)
    if name == "--comment" or (name == "-m" and value in _ONLY_LOADED):
        return True
    if name == "-p":
        return value in (packet.proto, "all")
    if name in ("--dport", "--dports"):
        return _judge_ports(value, packet.ports)
    if name == "-d" and packet.to is not None:
        try:
            return ip_network(packet.to).subnet_of(ip_network(value))  # type: ignore[arg-type]
        except (ValueError, TypeError):
            return None
    return None


def _judge_ports(value: str, ports: tuple[int, int]) -> bool | None:
    try:
        spans = [_parse_span(part) for part in value.split(",")]
    except ValueError:
        return None
    if any(first <= ports[0] and ports[1] <= last for first, last in spans):
        return True
    if all(last < ports[0] or ports[1] < first for first, last in spans):
        return False
    return None


def _parse_span(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    return int(first or 0), int((last or _LAST_PORT) if colon else first)
