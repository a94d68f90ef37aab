# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection that is held over operations: it must end with its forward."""

from __future__ import annotations

from collections.abc import Iterable

from tests.lab.running_lab import RunningLab
from tests.lab.standing import Connection
from tests.soak.model import CLIENTS, Rule

_CUT_FOR = 0.3
"""Seconds without an answer that count as cut; one takes less than a millisecond."""


class Held:
    """A connection from the LAN through a rule's forward."""

    def __init__(self, lab: RunningLab, rule: Rule, address: str, port: int) -> None:
        self._rule = rule
        self._port = port
        self._connection = Connection(lab, "lan", address, port)

    def find_leak(self, rules: Iterable[Rule]) -> str:
        """Return what is wrong, empty if nothing: it lives on, and its rule does not.

        `rules` are those that there have been since it was last looked at, and still
        are. It may go on or not with one that was taken away and came back, and with
        one that waited for the port and leads the same client to the same place: to
        the client's next packet that is open.
        """
        if any(self._is_through(rule) for rule in rules):
            return ""
        if self._connection.lives(_CUT_FOR):
            return f"a connection outlives {self._rule.line}"
        return ""

    def _is_through(self, rule: Rule) -> bool:
        return (
            rule.target == self._rule.target
            and rule.external == self._rule.external
            and "tcp" in rule.protos
            and self._port in rule.ports()
            and rule.inner_of(self._port) == self._rule.inner_of(self._port)
            and rule.lets_in(CLIENTS["lan"][0])
        )

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()
