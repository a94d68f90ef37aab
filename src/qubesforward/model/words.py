# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules as they are typed on the command line of ``qvm-firewall``.

Words with an ``=`` are elements by name. The others are elements by place: they fill,
one after the other, the places whose elements are not given by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qubesforward.errors import InvalidRule
from qubesforward.model.elements import SYNONYMS, collect_elements, parse_elements
from qubesforward.model.rule import Action, OutboundRule, Rule
from qubesforward.model.values import LAST_SECOND, parse_number

MOST_WORDS = 64
"""Far more than there are elements."""

_OUTBOUND_PLACES = ("action", "dsthost", "proto", "dstports", "icmptype")
_FORWARD_PLACES = ("action", "forwardtype", "proto", "srcports", "dstports", "srchost")
# Which of the two last places of an outbound rule a protocol has no use for.
_UNUSED = {"tcp": "icmptype", "udp": "icmptype", "icmp": "dstports"}


def parse_words(words: Sequence[str], now: int) -> Rule:
    """Read the words of one rule; `now` is seconds since 1970, for ``expire=+N``.

    By place: ``accept|drop [DSTHOST [PROTO [DSTPORTS|ICMPTYPE]]]`` or
    ``forward TYPE PROTO SRCPORTS [DSTPORTS [SRCHOST]]``. Raises `InvalidRule`.
    """
    if not words:
        raise InvalidRule(f"no rule given; it starts with one of {', '.join(Action)}")
    if len(words) > MOST_WORDS:
        raise InvalidRule(f"rule of {len(words)} words; at most {MOST_WORDS} fit")
    named = [_split(word) for word in words if "=" in word]
    placed = [word for word in words if "=" not in word]
    pairs = [*named, *_place(placed, dict(named))]
    rule = parse_elements(
        collect_elements((name, _resolve(name, value, now)) for name, value in pairs)
    )
    if isinstance(rule, OutboundRule) and _is_anywhere(rule):
        return replace(rule, dsthost=None)
    return rule


def _split(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _place(placed: Sequence[str], named: dict[str, str]) -> list[tuple[str, str]]:
    taken = {SYNONYMS.get(name, name): value for name, value in named.items()}
    action = taken.get("action", placed[0] if placed else "")
    places = _FORWARD_PLACES if action == Action.FORWARD else _OUTBOUND_PLACES
    pairs: list[tuple[str, str]] = []
    left = list(placed)
    for place in places:
        if left and place not in taken and _UNUSED.get(taken.get("proto", "")) != place:
            taken[place] = left.pop(0)
            pairs.append((place, taken[place]))
    if left:
        raise InvalidRule(
            f"{left[0][:40]!a}: no place is left for it; give it as NAME=VALUE"
        )
    return pairs


def _resolve(name: str, value: str, now: int) -> str:
    if name != "expire" or not value.startswith("+"):
        return value
    seconds = parse_number(
        value[1:], "expire", LAST_SECOND - now, "give seconds from now, as +300"
    )
    return str(now + seconds)


def _is_anywhere(rule: OutboundRule) -> bool:
    # The stock tool leaves a /0 out, so that `drop 0.0.0.0/0` drops IPv6 as well.
    return rule.dsthost is not None and rule.dsthost.text.endswith("/0")
