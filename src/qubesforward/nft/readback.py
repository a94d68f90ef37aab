# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says is there: rules of ours, in our table and in Qubes' chains.

Layouts: linux/netfilter/nf_tables.h; user data of a rule as libnftnl writes it.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass

from qubesforward.errors import MalformedMessage
from qubesforward.nft.elements_wire import NFGENMSG, NFNL_SUBSYS_NFTABLES
from qubesforward.nft.layout import COMMENT, RULES_PER_CHAIN
from qubesforward.nft.netlink_wire import decode_attributes, decode_text, encode_text

_SUBSYS = NFNL_SUBSYS_NFTABLES << 8
GETTABLE = _SUBSYS | 1
GETCHAIN = _SUBSYS | 4
GETRULE = _SUBSYS | 7
NEWGEN = _SUBSYS | 15
GETGEN = _SUBSYS | 16

# NFTA_TABLE_*, NFTA_CHAIN_*, NFTA_RULE_*; all objects have their table's name first.
_TABLE = 1
_TABLE_FLAGS = 2
_CHAIN_NAME = 3
_RULE_CHAIN = 2
_RULE_HANDLE = 3
_RULE_EXPRESSIONS = 4
_RULE_USERDATA = 7
_GEN_ID = 1

_USERDATA_COMMENT = 0
"""NFTNL_UDATA_RULE_COMMENT"""


@dataclass(frozen=True, slots=True)
class PresentRule:
    """A rule: its chain, what it does as opaque bytes, and its comment."""

    chain: str
    handle: int
    expressions: bytes
    comment: str


def encode_table_name(table: str) -> bytes:
    """Encode the attribute that names a table, to ask for it or its rules."""
    return encode_text(_TABLE, table)


def encode_chain_name(table: str, chain: str) -> bytes:
    """Encode the attributes that name a chain, to ask for it."""
    return encode_text(_TABLE, table) + encode_text(_CHAIN_NAME, chain)


def encode_rules_of(table: str, chain: str) -> bytes:
    """Encode the attributes that name a chain, to ask for its rules."""
    return encode_text(_TABLE, table) + encode_text(_RULE_CHAIN, chain)


def decode_rule(payload: bytes) -> PresentRule:
    """Read one answer to GETRULE; raise `MalformedMessage`."""
    found = decode_attributes(payload, len(NFGENMSG))
    return PresentRule(
        decode_text(found.get(_RULE_CHAIN, b"")),
        int.from_bytes(found.get(_RULE_HANDLE, b""), "big"),
        found.get(_RULE_EXPRESSIONS, b""),
        _decode_comment(found.get(_RULE_USERDATA, b"")),
    )


def _decode_comment(userdata: bytes) -> str:
    """Find the comment among the type, length, value triples of user data."""
    offset = 0
    while offset + 2 <= len(userdata):
        kind, length = userdata[offset], userdata[offset + 1]
        if kind == _USERDATA_COMMENT:
            return decode_text(userdata[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return ""


def decode_table_flags(payload: bytes) -> int:
    """Read the flags in an answer to GETTABLE; not zero means: dormant."""
    flags = decode_attributes(payload, len(NFGENMSG)).get(_TABLE_FLAGS, b"")
    return int.from_bytes(flags, "big")


def decode_generation(payload: bytes) -> int:
    """Read an answer to GETGEN, or what NEWGEN tells; raise `MalformedMessage`."""
    generation = decode_attributes(payload, len(NFGENMSG)).get(_GEN_ID)
    if generation is None:
        raise MalformedMessage("netlink: a generation without its number")
    return int.from_bytes(generation, "big")


def decode_table_name(payload: bytes) -> str:
    """Read which table a notice is about, empty if about none."""
    return decode_text(decode_attributes(payload, len(NFGENMSG)).get(_TABLE, b""))


def has_all_rules(rules: Iterable[PresentRule]) -> bool:
    """Whether our table has as many rules in each chain as the layout, and no more."""
    return Tally(rule.chain for rule in rules) == Tally(RULES_PER_CHAIN)


def fingerprint(rules: Iterable[PresentRule]) -> tuple[tuple[str, bytes], ...]:
    """Return what changes when any rule of these is changed, added or lost."""
    return tuple((rule.chain, rule.expressions) for rule in rules)


def handles_of_ours(rules: Iterable[PresentRule]) -> tuple[int, ...]:
    """Return the handles of the rules that our comment makes ours."""
    return tuple(rule.handle for rule in rules if rule.comment == COMMENT)
