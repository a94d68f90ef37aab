# SPDX-License-Identifier: GPL-2.0-or-later
"""The values of the lines between a gateway and dom0, each by its name.

Each parser takes an untrusted value and its name, and raises `InvalidRule`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import Network, parse_address, parse_network
from qubesforward.model.rule import FORWARD_PROTOS, Proto
from qubesforward.model.values import check_line, parse_choice, parse_number

MOST_SOURCES = 8
MOST_HOLDERS = 4
LONGEST_NAME = 64
"""Characters of what a program calls its mapping; longer ones are cut."""

LAST_LIFETIME = 2**32 - 1
LAST_PORT = 65535

_HOLDER = re.compile(r"natpmp|igd(:[0-9a-f]{8})?|pcp:[0-9a-f]{24}")


_SEED = re.compile(r"[0-9a-f]{64}")


def _number(last: int, first: int = 0) -> Callable[[str, str], int]:
    def parse(untrusted_value: str, name: str) -> int:
        advice = f"give a number from {first} to {last}"
        number = parse_number(untrusted_value, name, last, advice)
        if number < first:
            raise InvalidRule(f"{name}={number}: {advice}")
        return number

    return parse


def _parse_proto(untrusted_value: str, name: str) -> Proto:
    proto = parse_choice(Proto, untrusted_value, name)
    if proto not in FORWARD_PROTOS:
        raise InvalidRule(f"{name}={proto}: tcp or udp")
    return proto


def _parse_yes(untrusted_value: str, name: str) -> bool:
    if untrusted_value != "yes":
        raise InvalidRule(f"{name}: only yes can be given")
    return True


def _parse_sources(untrusted_value: str, name: str) -> tuple[Network, ...]:
    untrusted_words = untrusted_value.split(",", MOST_SOURCES)
    if len(untrusted_words) > MOST_SOURCES:
        raise InvalidRule(f"{name}: more than {MOST_SOURCES}")
    return tuple(parse_network(word, name) for word in untrusted_words)


def _parse_seed(untrusted_value: str, name: str) -> str:
    if not _SEED.fullmatch(untrusted_value):
        raise InvalidRule(f"{name}: 64 hex digits")
    return untrusted_value


def _parse_holder(untrusted_value: str, name: str) -> str:
    if not _HOLDER.fullmatch(untrusted_value):
        raise InvalidRule(f"{name}: natpmp, igd, igd:ADDRESS or pcp:NONCE")
    return untrusted_value


def parse_holders(untrusted_value: str, name: str) -> tuple[str, ...]:
    """Read who holds a mapping, one or several; raise `InvalidRule`."""
    untrusted_words = untrusted_value.split(",", MOST_HOLDERS)
    if len(untrusted_words) > MOST_HOLDERS:
        raise InvalidRule(f"{name}: more than {MOST_HOLDERS}")
    return tuple(_parse_holder(word, name) for word in untrusted_words)


def _parse_name(untrusted_value: str, name: str) -> str:
    return check_line(untrusted_value.replace("%20", " "), name, LONGEST_NAME)


parse_port = _number(LAST_PORT, 1)
PARSERS: Mapping[str, Callable[[str, str], Any]] = {
    "client": parse_address,
    "address": parse_address,
    "outside": parse_address,
    "proto": _parse_proto,
    "inner": parse_port,
    "port": parse_port,
    "outer": _number(LAST_PORT),
    "lifetime": _number(LAST_LIFETIME, 1),
    "retry": _number(LAST_LIFETIME),
    "mappings": _number(LAST_PORT),
    "holder": _parse_holder,
    "exact": _parse_yes,
    "again": _parse_yes,
    "beside": _parse_yes,
    "wanted": _parse_yes,
    "static": _parse_yes,
    "value": _parse_seed,
    "src": _parse_sources,
    "name": _parse_name,
}
