# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-firewall: the rules of a qube, both kinds. A superset of Qubes' own tool."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from os import environ
from time import time

from qubesforward.cli.choosing import find_rule, insert_rule
from qubesforward.cli.exits import (
    DONE,
    UsageError,
    complain,
    run_tool,
)
from qubesforward.cli.firewall import Firewall
from qubesforward.cli.listing import describe_group
from qubesforward.cli.options import parse_firewall_options
from qubesforward.cli.rule_tables import (
    format_forwards,
    format_hops,
    format_outbound,
    format_path,
    format_problems,
    format_reasons,
)
from qubesforward.cli.sentences import count_noun
from qubesforward.cli.status import ForwardStatus, QubeStatus
from qubesforward.cli.table import Screen, format_paragraph, measure_screen
from qubesforward.cli.turns import LOCKED_DIRECTORY, take_turn
from qubesforward.errors import AdminError, InvalidRule, Unavailable
from qubesforward.model.rule import ForwardRule, Rule
from qubesforward.model.text import parse_rule
from qubesforward.model.words import parse_words
from qubesforward.qubes.admin import AdminClient

NAME = "qvm-firewall"

ACCEPT_ALL = "action=accept"
"""The outbound rules that a new qube has."""


def main(
    argv: Sequence[str] | None = None,
    client: AdminClient | None = None,
    lock: str = LOCKED_DIRECTORY,
) -> int:
    """Run the tool; return its exit status (see `qubesforward.cli.exits`)."""
    options = parse_firewall_options(NAME, argv)
    firewall = Firewall(client or AdminClient())
    return run_tool(
        NAME, lambda: Tool(options, firewall, lock).run(), verbose=options.verbose > 0
    )


class Tool:
    """One run, on one qube."""

    def __init__(self, options: Namespace, firewall: Firewall, lock: str) -> None:
        self._options = options
        self._firewall = firewall
        self._lock = lock
        self._qube = ""
        self._now = int(time())
        self._screen = measure_screen(sys.stdout, environ)

    def run(self) -> int:
        """Do what the command line says."""
        commands: dict[str, Callable[[], None]] = {
            "list": self._list,
            "add": self._add,
            "del": self._delete,
            "reset": self._reset,
            "status": self._show_status,
            "confirm": self._confirm,
        }
        command = commands.get(self._options.command)
        if command is None:
            raise UsageError(
                f"{self._options.command[:40]!a}: no such command; there are"
                f" {', '.join(commands)}"
            )
        if self._options.rule and self._options.command not in ("add", "del"):
            raise UsageError(f"{self._options.command}: takes no rule")
        try:
            self._qube = self._firewall.find_qube(self._options.VMNAME)
            # Who asks for the list is to see what came of it.
            is_first = self._options.command == "list"
            if self._options.reload and is_first:
                self._firewall.reload(self._qube)
            command()
            if self._options.reload and not is_first:
                self._firewall.reload(self._qube)
        except AdminError as error:
            if error.kind == "QubesVMNotFoundError":
                # The stock tool calls a wrong name a wrong command line.
                raise UsageError(str(error)) from error
            raise
        return DONE

    def _read_words(self) -> Rule:
        try:
            return parse_words(self._options.rule, self._now)
        except InvalidRule as error:
            raise UsageError(str(error)) from error

    def _say(self, text: str) -> None:
        if not self._options.quiet:
            sys.stdout.write(format_paragraph(text, self._screen))

    def _list(self) -> None:
        outbound = self._firewall.get_outbound(self._qube)
        if self._options.raw:
            _print_lines(outbound)
        else:
            sys.stdout.write(format_outbound(outbound, self._now, self._screen))
        try:
            if self._options.raw:
                _print_lines(self._firewall.get_forwards(self._qube))
            else:
                self._list_forwards(len(outbound))
        except Unavailable as error:
            # The outbound rules can be had without our daemon, and are enough for
            # those who use the stock parts only.
            if not self._options.quiet:
                complain(NAME, f"port forwards are not shown: {error}")

    def _list_forwards(self, first: int) -> None:
        lines = self._firewall.get_forwards(self._qube)
        qube = self._firewall.read_status(self._qube).find_qube(self._qube)
        numbered = _number_forwards(lines, first, qube)
        if numbered:
            table = format_forwards(numbered, self._now, self._screen)
            sys.stdout.write(f"\n{table}")
        notes = format_reasons(qube, self._screen) + format_problems(qube, self._screen)
        if notes:
            sys.stdout.write(f"\n{notes}")

    def _add(self) -> None:
        rule = self._read_words()
        if isinstance(rule, ForwardRule):
            if self._options.before is not None:
                raise UsageError("--before: forwards have no order; leave it out")
            self._firewall.add_forwards(self._qube, [rule], force=self._options.force)
            return
        with take_turn(self._lock):
            lines = self._firewall.get_outbound(self._qube)
            self._firewall.set_outbound(
                self._qube, insert_rule(lines, rule, self._options.before)
            )

    def _delete(self) -> None:
        number = self._options.rule_no
        if number is None and not self._options.rule:
            raise UsageError("del: give --rule-no N, or the rule")
        rule = self._read_words() if number is None else None
        if isinstance(rule, ForwardRule):
            lines = self._firewall.get_forwards(self._qube)
            self._remove_forward(lines, find_rule(lines, rule))
            return
        with take_turn(self._lock):
            lines = self._firewall.get_outbound(self._qube)
            index = number if rule is None else find_rule(lines, rule)
            if -len(lines) <= index < len(lines):
                del lines[index]
                self._firewall.set_outbound(self._qube, lines)
                return
        self._remove_forward(
            self._firewall.get_forwards(self._qube), index - len(lines), number
        )

    def _remove_forward(
        self, lines: Sequence[str], index: int, number: int | None = None
    ) -> None:
        if not 0 <= index < len(lines):
            raise InvalidRule(f"{self._qube} has no rule {number}")
        self._firewall.remove_forwards(self._qube, [lines[index]])

    def _reset(self) -> None:
        with take_turn(self._lock):
            self._firewall.set_outbound(self._qube, [ACCEPT_ALL])
        try:
            count = len(self._firewall.get_forwards(self._qube))
        except Unavailable:
            return
        if count:
            self._say(
                f"The outbound rules of {self._qube} accept everything again. Its"
                f" {count_noun(count, 'forward')} stay as they are; to close them:"
                f" qvm-forward {self._qube} --close-all"
            )

    def _confirm(self) -> None:
        self._firewall.confirm(self._qube)
        count = len(self._firewall.get_forwards(self._qube))
        self._say(f"{count_noun(count, 'forward')} of {self._qube} confirmed.")

    def _show_status(self) -> None:
        status = self._firewall.read_status(self._qube)
        qube = status.find_qube(self._qube)
        if not qube.forwards:
            self._say(f"Nothing is forwarded to {self._qube}.")
        for forward in qube.forwards:
            sys.stdout.write(
                _format_forward(self._qube, forward, self._now, self._screen)
            )
        names = {step.qube for forward in qube.forwards for step in forward.path}
        hops = [hop for hop in status.hops if hop.name in names]
        if hops:
            sys.stdout.write(format_hops(hops, self._screen))
        sys.stdout.write(format_problems(qube, self._screen))


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


def _number_forwards(
    lines: Sequence[str], first: int, qube: QubeStatus
) -> list[tuple[int | None, ForwardRule, ForwardStatus | None]]:
    """Give numbers to a qube's own forwards; those from elsewhere come after.

    The list decides the numbers, for that is what a removal by number goes by.
    """
    states = {forward.rule: forward for forward in qube.forwards}
    numbered: list[tuple[int | None, ForwardRule, ForwardStatus | None]] = []
    for number, line in enumerate(lines, first):
        rule = parse_rule(line)
        if isinstance(rule, ForwardRule):
            numbered.append((number, rule, states.pop(rule, None)))
    return numbered + [(None, rule, forward) for rule, forward in states.items()]


def _format_forward(qube: str, forward: ForwardStatus, now: int, screen: Screen) -> str:
    text = format_paragraph(describe_group([forward], qube, now), screen)
    if forward.path:
        text += "\n" + format_path(forward.path, screen, planned=False)
    return text + "\n"
