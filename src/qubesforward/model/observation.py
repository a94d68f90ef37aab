# SPDX-License-Identifier: GPL-2.0-or-later
"""What an agent sees when dom0 asks it to look at entries closely, and its text.

One line for each thing seen, words separated by single spaces, printable ASCII::

    entry ID PACKETS BYTES       the kernel holds the entry; what passed by it
    entry ID missing             the kernel does not hold it
    listen ID ADDRESS PORT       a socket waits for what an in=self entry lets in
    block ID surely|maybe HOOK FAMILY TABLE CHAIN RULE
                                 a rule of others that would stop its packets
    problem TEXT                 why some of this could not be looked at

RULE, the rule's own text, and TEXT are the only ones that may hold spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import Address, parse_address
from qubesforward.model.ports import PortRange, parse_ports
from qubesforward.model.values import parse_choice, parse_number

MOST_VALUES = 16
"""QubesDB values that one observation may take."""

LONGEST_VALUE = 3072
LONGEST_LINE = 400
"""Characters; longer texts are cut by who writes them, refused by who reads."""

_LONGEST_TEXT = 160
_LONGEST_NAME = 40
_LAST_COUNT = 2**63 - 1

_ID = re.compile(r"[0-9a-f]{8}")
_PRINTABLE = re.compile(r"[ -~]*")


class Certainty(StrEnum):
    """How far a rule was understood: some of its conditions may not hold."""

    SURELY = "surely"
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True)
class Block:
    """A rule, or the policy of a chain, that stops packets of an entry.

    `hook` is where (``forward``, ``input``); `family`, `table` and `chain` are as
    nft names them.
    """

    certainty: Certainty
    hook: str
    family: str
    table: str
    chain: str
    rule: str

    @property
    def where(self) -> str:
        """The chain as nft takes it: ``ip qubes custom-forward``."""
        return f"{self.family} {self.table} {self.chain}"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has passed by an entry since the kernel has it."""

    packets: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that waits for a service's clients; ``0.0.0.0`` and ``::`` are any."""

    address: Address
    port: int


@dataclass(frozen=True, slots=True)
class Observation:
    """All that was seen, by the ID of the entry.

    `held` is None for an entry that the kernel does not hold. `problem` is empty
    unless part of the rest could not be looked at.
    """

    held: Mapping[str, Traffic | None] = field(default_factory=dict)
    listeners: Mapping[str, Sequence[Listener]] = field(default_factory=dict)
    blocks: Mapping[str, Sequence[Block]] = field(default_factory=dict)
    problem: str = ""


def format_observation(seen: Observation) -> Iterator[str]:
    """Write the lines of an observation; names and texts are made to fit."""
    if seen.problem:
        yield f"problem {_fit(seen.problem, _LONGEST_TEXT)}"
    for entry_id, traffic in seen.held.items():
        told = "missing" if traffic is None else f"{traffic.packets} {traffic.bytes}"
        yield f"entry {entry_id} {told}"
    for entry_id, listeners in seen.listeners.items():
        for one in listeners:
            yield f"listen {entry_id} {one.address} {one.port}"
    for entry_id, blocks in seen.blocks.items():
        for block in blocks:
            names = (block.hook, block.family, block.table, block.chain)
            where = " ".join(_fit(name, _LONGEST_NAME, "_") for name in names)
            rule = _fit(block.rule, _LONGEST_TEXT)
            yield f"block {entry_id} {block.certainty} {where} {rule}"


def _fit(text: str, longest: int, space: str = " ") -> str:
    joined = space.join(text.split())
    return "".join(c if " " <= c <= "~" else "?" for c in joined)[:longest] or "?"


def parse_observation(untrusted_values: Iterable[bytes]) -> Observation:
    """Read the values that an agent wrote; raise `InvalidRule` for anything else."""
    parser = _Parser()
    for number, untrusted_value in enumerate(untrusted_values):
        if number >= MOST_VALUES or len(untrusted_value) > LONGEST_VALUE:
            raise InvalidRule("observation: too long")
        for untrusted_line in untrusted_value.split(b"\n"):
            parser.take(untrusted_line)
    return parser.seen


class _Parser:
    def __init__(self) -> None:
        self._held: dict[str, Traffic | None] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._blocks: dict[str, list[Block]] = {}
        self._problem = ""

    @property
    def seen(self) -> Observation:
        return Observation(self._held, self._listeners, self._blocks, self._problem)

    def take(self, untrusted_line: bytes) -> None:
        untrusted_text = untrusted_line[: LONGEST_LINE + 1].decode("ascii", "replace")
        if len(untrusted_text) > LONGEST_LINE or not _PRINTABLE.fullmatch(
            untrusted_text
        ):
            raise _malformed(untrusted_text)
        kind, _, untrusted_rest = untrusted_text.partition(" ")
        if kind == "problem":
            self._problem = untrusted_rest[:_LONGEST_TEXT]
            return
        take = {
            "entry": self._take_entry,
            "listen": self._take_listener,
            "block": self._take_block,
        }.get(kind)
        untrusted_id, _, untrusted_rest = untrusted_rest.partition(" ")
        if take is None or not _ID.fullmatch(untrusted_id):
            raise _malformed(untrusted_text)
        take(untrusted_id, untrusted_rest)

    def _take_entry(self, entry_id: str, untrusted_rest: str) -> None:
        if untrusted_rest == "missing":
            self._held[entry_id] = None
            return
        packets, size = _split(untrusted_rest, 2)
        self._held[entry_id] = Traffic(_count(packets), _count(size))

    def _take_listener(self, entry_id: str, untrusted_rest: str) -> None:
        address, port = _split(untrusted_rest, 2)
        ports: PortRange = parse_ports(port, "port")
        if len(ports) != 1:
            raise _malformed(untrusted_rest)
        found = Listener(parse_address(address), ports.first)
        self._listeners.setdefault(entry_id, []).append(found)

    def _take_block(self, entry_id: str, untrusted_rest: str) -> None:
        certainty, hook, family, table, chain, rule = _split(untrusted_rest, 6)
        found = Block(
            parse_choice(Certainty, certainty, "certainty"),
            hook[:_LONGEST_NAME],
            family[:_LONGEST_NAME],
            table[:_LONGEST_NAME],
            chain[:_LONGEST_NAME],
            rule[:_LONGEST_TEXT],
        )
        self._blocks.setdefault(entry_id, []).append(found)


def _split(untrusted_text: str, words: int) -> list[str]:
    found = untrusted_text.split(" ", words - 1)
    if len(found) != words or not all(found):
        raise _malformed(untrusted_text)
    return found


def _count(untrusted_text: str) -> int:
    return parse_number(untrusted_text, "count", _LAST_COUNT, "not a count")


def _malformed(untrusted_text: str) -> InvalidRule:
    return InvalidRule(f"observation: {untrusted_text[:40]!a} says nothing")
