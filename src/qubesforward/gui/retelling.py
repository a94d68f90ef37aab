# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds which of the texts we know another program has said, and what was in its holes.

The daemon, agents and the parsers of rules speak English, to terminals and windows
alike. What a hop says may be anything: matching never goes back, so it takes no longer
than the text is long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

LONGEST = 1000
"""Characters of a text that is looked up; what is longer stays as it is."""

_HOLE = re.compile(r"\{[0-9]\}")
_HEAD = re.compile(r"((?:[\w.@-]+|'[^']*'|\"[^\"]*\")(?:: |=))(.+)", re.DOTALL)
"""What stands before a text: the element or the qube that it is about."""

_DEEPEST = 4
"""Texts within texts."""


class Retelling:
    """Tells texts in another language; `texts` are templates with holes, by English."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        known = [(_HOLE.split(source), text) for source, text in texts.items()]
        # What says most of itself first: a hole would take in anything.
        self._known = sorted(known, key=lambda one: -sum(map(len, one[0])))
        self.retell = lru_cache(maxsize=1024)(self._retell)

    def _retell(self, text: str) -> str:
        """Return the text in the other language, or as it is."""
        return text if len(text) > LONGEST else self._find(text, 0) or text

    def _find(self, text: str, depth: int) -> str | None:
        if depth > _DEEPEST or not text:
            return None
        for pieces, translation in self._known:
            holes = match_pieces(text, pieces)
            if holes is not None:
                told = [self._find(hole, depth + 1) or hole for hole in holes]
                return translation.format(*told)
        head = _HEAD.fullmatch(text)
        if head is None:
            return None
        rest = self._find(head[2], depth)
        return None if rest is None else head[1] + rest


def match_pieces(text: str, pieces: Sequence[str]) -> list[str] | None:
    """Return what stands between pieces of text, None if they are not all there.

    Each is looked for from where the one before it ends; no hole but the last is empty.
    """
    first, *rest = pieces
    if not rest:
        return [] if text == first else None
    last = rest.pop()
    if not text.startswith(first) or not text.endswith(last):
        return None
    at, end = len(first), len(text) - len(last)
    holes = []
    for piece in rest:
        found = text.find(piece, at + 1, end)
        if found < 0:
            return None
        holes.append(text[at:found])
        at = found + len(piece)
    if at > end or (at == end and last):
        return None
    return [*holes, text[at:end]]
