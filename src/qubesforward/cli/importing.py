# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards out of a file, to wait until the user confirms them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from qubesforward.cli.console import Console
from qubesforward.cli.exits import DONE
from qubesforward.cli.exporting import STREAM
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.cli.rules_file import LARGEST_FILE, parse_rules_file
from qubesforward.cli.sentences import count_noun, format_mapping, join_words, name_some
from qubesforward.cli.status import State, Status, decode_plan
from qubesforward.errors import AdminError, ForwardError, InvalidRule
from qubesforward.model.rule import ForwardRule
from qubesforward.model.text import format_rule, parse_rule

_LARGEST_PAYLOAD = 60_000
"""Bytes of rules in one call; with its header it may have 64 KiB."""

_ByQube = Mapping[str, Sequence[ForwardRule]]


def import_rules(
    console: Console, firewall: Firewall, qube: str, path: str, *, dry_run: bool
) -> int:
    """Say what a file holds that is not there yet, and add that; return the status.

    With `qube`, only its part. Nothing opens: what is added waits for confirmation.
    All is added or nothing; raises `ForwardError`, which says so, otherwise.
    """
    wanted = _read_file(path)
    if qube:
        if qube not in wanted:
            raise ForwardError(f"{path}: has no rules of {qube}")
        wanted = {qube: wanted[qube]}
    status = firewall.read_status(COMPUTER)
    _require_qubes(path, wanted, status)
    new = {
        name: [rule for rule in rules if rule.place not in there]
        for name, rules in wanted.items()
        for there in [_read_places(firewall, name)]
    }
    for name in wanted:
        _tell(console, firewall, name, wanted[name], new[name], dry_run=dry_run)
    coming = [name for name in new if new[name]]
    if dry_run:
        console.say("Nothing is changed.")
        return DONE
    _add_all(firewall, {name: new[name] for name in coming})
    if coming:
        console.say("Nothing is open by that. To have what was imported opened:")
        for name in coming:
            console.show(f"  qvm-firewall {name} confirm\n")
    else:
        console.say("There is nothing to import: all of it is there already.")
    return DONE


def _read_file(path: str) -> dict[str, list[ForwardRule]]:
    try:
        if path == STREAM:
            untrusted_data = sys.stdin.buffer.read(LARGEST_FILE + 1)
        else:
            with Path(path).open("rb") as file:
                untrusted_data = file.read(LARGEST_FILE + 1)
        return parse_rules_file(untrusted_data)
    except OSError as error:
        raise ForwardError(f"{path}: {error.strerror}") from error
    except InvalidRule as error:
        raise ForwardError(f"{path}: {error}; nothing is imported") from error


def _require_qubes(path: str, wanted: _ByQube, status: Status) -> None:
    known = {each.name for each in status.qubes}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ForwardError(
            f"{path}: nothing is imported, as there is no {name_some(missing)} on this"
            " computer; take such qubes out of the file, or import one qube:"
            f" qvm-forward QUBE --import {path}"
        )
    for name in wanted:
        if problem := status.find_qube(name).problem:
            raise ForwardError(f"{name}: nothing is imported: {problem}")


def _read_places(firewall: Firewall, name: str) -> set[ForwardRule]:
    rules = map(parse_rule, firewall.get_forwards(name))
    return {rule.place for rule in rules if isinstance(rule, ForwardRule)}


def _tell(
    console: Console,
    firewall: Firewall,
    name: str,
    wanted: Sequence[ForwardRule],
    new: Sequence[ForwardRule],
    *,
    dry_run: bool,
) -> None:
    told = f"{name}: {count_noun(len(new), 'new forward')}"
    if there := len(wanted) - len(new):
        told += f", {there} there already"
    console.say(told)
    conflicts = _find_conflicts(firewall, name, new) if dry_run else {}
    for rule in new:
        source = "anyone" if rule.srchost is None else str(rule.srchost)
        line = f"{format_mapping(rule)}  {rule.forwardtype}, from {source}"
        if reason := conflicts.get(rule):
            line += f"; once confirmed, a conflict: {reason}"
        console.say(line, "  ")


def _find_conflicts(
    firewall: Firewall, name: str, new: Sequence[ForwardRule]
) -> dict[ForwardRule, str]:
    """Return which of them could not be opened now if they were confirmed, and why."""
    found: dict[ForwardRule, str] = {}
    for batch in _batches(new):
        try:
            told = decode_plan(firewall.plan(name, batch), name)
        except AdminError:
            # To a copied list nothing can be added, and so nothing be planned.
            return found
        for forward in told.find_qube(name).forwards:
            if forward.state is State.CONFLICT:
                found[forward.rule] = forward.reason
    return found


def _add_all(firewall: Firewall, new: _ByQube) -> None:
    begun: list[str] = []
    try:
        for name, rules in new.items():
            begun.append(name)
            for batch in _batches(rules):
                firewall.import_forwards(name, batch)
    except BaseException as error:
        left = _take_back(firewall, {name: new[name] for name in begun})
        if not isinstance(error, ForwardError):
            raise
        result = "nothing is imported"
        if left:
            result = (
                f"of {join_words(left)} some forwards are imported, and wait for"
                " confirmation; once that is mended, import the file again"
            )
        raise ForwardError(f"{begun[-1]}: {error}; {result}") from error


def _take_back(firewall: Firewall, added: _ByQube) -> list[str]:
    """Remove what was added; return the qubes of which that failed."""
    left = []
    for name, rules in added.items():
        try:
            lines = set(firewall.get_forwards(name))
            for batch in _batches(rules):
                there = [format_rule(r) for r in batch if format_rule(r) in lines]
                if there:
                    firewall.remove_forwards(name, there)
        except ForwardError:
            left.append(name)
    return left


def _batches(rules: Sequence[ForwardRule]) -> Iterator[list[ForwardRule]]:
    """Yield the rules in parts that fit into a call."""
    batch: list[ForwardRule] = []
    size = 0
    for rule in rules:
        length = len(format_rule(rule)) + 1
        if batch and size + length > _LARGEST_PAYLOAD:
            yield batch
            batch, size = [], 0
        batch.append(rule)
        size += length
    if batch:
        yield batch
