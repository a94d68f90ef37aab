# SPDX-License-Identifier: GPL-2.0-or-later
"""All forwards of a qube, or of the computer, into one file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

from qubesforward.cli.console import Console
from qubesforward.cli.exits import DONE, REFUSED
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.cli.rules_file import format_rules_file
from qubesforward.cli.sentences import count_noun
from qubesforward.cli.status import QubeStatus
from qubesforward.errors import ForwardError

STREAM = "-"
"""As a file: standard output, or standard input."""


def export_rules(console: Console, firewall: Firewall, qube: str, path: str) -> int:
    """Write the forwards into a file; return the exit status.

    What cannot be read is not in it; that is said, and makes the status `REFUSED`.
    Raises `ForwardError` if the file cannot be written; it is then as it was.
    """
    told = firewall.read_status(qube or COMPUTER).qubes
    sections = {each.name: firewall.get_forwards(each.name) for each in told}
    text = format_rules_file(sections)
    if path == STREAM:
        sys.stdout.write(text)
    else:
        try:
            _replace(Path(path).resolve(), text)
        except OSError as error:
            raise ForwardError(f"{path}: {error.strerror}") from error
        count = sum(map(len, sections.values()))
        qubes = sum(map(bool, sections.values()))
        console.say(
            f"{count_noun(count, 'forward')} of {count_noun(qubes, 'qube')} written"
            f" into {path}."
        )
    missing = [reason for each in told for reason in _list_missing(each)]
    for reason in missing:
        console.warn(f"not exported: {reason}")
    return REFUSED if missing else DONE


def _list_missing(qube: QubeStatus) -> list[str]:
    problems = [qube.problem] if qube.problem else []
    return [f"{qube.name}: {each}" for each in [*problems, *qube.unreadable]]


def _replace(path: Path, text: str) -> None:
    """Write a file so that it is the old one or the new one, readable by its owner."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="ascii")
        return
    with NamedTemporaryFile(
        "w", dir=path.parent, delete=False, encoding="ascii"
    ) as new:
        try:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
            Path(new.name).replace(path)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise
