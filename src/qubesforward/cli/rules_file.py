# SPDX-License-Identifier: GPL-2.0-or-later
"""The forwards of several qubes in one text: what is exported and imported.

    qubes-forward-rules 1
    # any words, and empty lines
    [work]
    action=forward forwardtype=external proto=tcp srcports=443-443
    end

Rules are the lines of the Admin API. Without its last line, `end`, a file is only a
part of one. Nothing in it can say whether a rule is confirmed: the computer that it
comes to decides that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qubesforward.cli.exits import UsageError
from qubesforward.cli.firewall import COMPUTER, check_name
from qubesforward.errors import InvalidRule
from qubesforward.model.rule import ForwardRule
from qubesforward.model.text import LONGEST_TEXT, parse_rule

LARGEST_FILE = LONGEST_TEXT
"""Bytes."""

MOST_RULES = 65536
"""Rules of a file; a qube's own list holds no more either."""

_FIRST = "qubes-forward-rules 1"
_LAST = "end"
_WORDS = "# Forwards; nothing opens when they are imported until they are confirmed."


def format_rules_file(sections: Mapping[str, Sequence[str]]) -> str:
    """Write the file for the API lines of each qube; qubes without any are left out."""
    lines = [_FIRST, _WORDS]
    for name in sorted(sections):
        if sections[name]:
            lines += ["", f"[{name}]", *sections[name]]
    return "\n".join([*lines, "", _LAST, ""])


def parse_rules_file(untrusted_data: bytes) -> dict[str, list[ForwardRule]]:
    """Read a file; return the forwards of each qube that it names.

    Raises `InvalidRule`, with the line that it is about, for anything that is not as
    above: of a file that is wrong in one place, nothing is taken.
    """
    if len(untrusted_data) > LARGEST_FILE:
        raise InvalidRule(f"more than {LARGEST_FILE} bytes; import fewer qubes at once")
    try:
        untrusted_lines = untrusted_data.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        number = untrusted_data.count(b"\n", 0, error.start) + 1
        raise InvalidRule(f"line {number}: not ASCII text") from None
    if untrusted_lines[0] != _FIRST:
        raise InvalidRule(
            f"line 1: not {_FIRST!r}: no file of qvm-forward --export, or one of"
            " another version"
        )
    reader = _Reader()
    for number, untrusted_line in enumerate(untrusted_lines[1:], 2):
        try:
            reader.take(untrusted_line.strip(" "))
        except (InvalidRule, UsageError) as error:
            raise InvalidRule(f"line {number}: {error}") from None
    if not reader.is_whole:
        raise InvalidRule(
            f"the last line is not {_LAST!r}: a part of the file is missing"
        )
    return reader.sections


class _Reader:
    """Takes one line after the other; raises `InvalidRule` or `UsageError`."""

    def __init__(self) -> None:
        self.sections: dict[str, list[ForwardRule]] = {}
        self.is_whole = False
        self._rules: list[ForwardRule] | None = None
        self._places: set[ForwardRule] = set()
        self._count = 0

    def take(self, untrusted_line: str) -> None:
        if not untrusted_line or untrusted_line.startswith("#"):
            return
        if self.is_whole:
            raise InvalidRule(f"more text after {_LAST!r}; take one of the two out")
        if untrusted_line == _LAST:
            self.is_whole = True
        elif untrusted_line.startswith("["):
            self._begin(untrusted_line)
        else:
            self._add(untrusted_line)

    def _begin(self, untrusted_line: str) -> None:
        if not untrusted_line.endswith("]"):
            raise InvalidRule(f"{untrusted_line[:40]!a}: give the qube as [NAME]")
        name = check_name(untrusted_line[1:-1])
        if name == COMPUTER:
            raise InvalidRule(f"[{COMPUTER}]: it has no network; name a qube")
        if name in self.sections:
            raise InvalidRule(f"[{name}]: given twice; put its rules in one place")
        self._rules = self.sections[name] = []
        self._places = set()

    def _add(self, untrusted_line: str) -> None:
        if self._rules is None:
            raise InvalidRule("a rule before any [QUBE]; say whose it is")
        self._count += 1
        if self._count > MOST_RULES:
            raise InvalidRule(f"more than {MOST_RULES} rules; import fewer at once")
        rule = parse_rule(untrusted_line)
        if not isinstance(rule, ForwardRule):
            raise InvalidRule(f"action={rule.action}: only forwards are imported")
        if rule.place in self._places:
            raise InvalidRule("the qube has this forward already, above; take one out")
        self._places.add(rule.place)
        self._rules.append(rule)
