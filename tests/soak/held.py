# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection that is held over operations: it must end with its forward."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.lab.running_lab import RunningLab
from tests.lab.standing import Connection
from tests.soak.model import Rule

_CUT_FOR = 0.3
"""Seconds without an answer that count as cut; one takes less than a millisecond."""


class Held:
    """A connection from the LAN through a rule's forward."""

    def __init__(self, lab: RunningLab, rule: Rule, address: str, port: int) -> None:
        self._rule = _without_end(rule)
        self._connection = Connection(lab, "lan", address, port)

    def find_leak(self, rules: Iterable[Rule]) -> str:
        """Return what is wrong, empty if nothing: it lives on, and its rule does not.

        `rules` are those that there have been since it was last looked at, and still
        are: one that was taken away and came back may go on or not.
        """
        if self._rule in map(_without_end, rules):
            return ""
        if self._connection.lives(_CUT_FOR):
            return f"a connection outlives {self._rule.line}"
        return ""

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


def _without_end(rule: Rule) -> Rule:
    return replace(rule, expire=None)
