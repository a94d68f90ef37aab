# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of the audit log, as data and in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from qubesforward.cli.choosing import read_line
from qubesforward.cli.durations import format_moment
from qubesforward.cli.phrase import Phrase, Told, put_in_row
from qubesforward.cli.reaching import name_protocols
from qubesforward.cli.reading import show_text
from qubesforward.cli.sentences import format_mapping, is_unlimited, join_words
from qubesforward.errors import MalformedMessage
from qubesforward.model.rule import REBOOT, ForwardRule, ForwardType, Origin

_WANTED = ("added", "changed", "confirmed")
"""Events at which the whole rule is told."""

_TEXTS = ("event", "qube", "rule", "reason", "by", "owner", "origin")

_AGREED = {
    "by policy": Phrase("as its policy allows"),
    "by user": Phrase("as the user agreed"),
}
"""What the log has for a mapping's reason, with the protocol after it."""


_KINDS = {
    ForwardType.EXTERNAL: Phrase("external"),
    ForwardType.INTERNAL: Phrase("internal"),
}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One event; texts are empty and `path` is, where the event has none."""

    moment: float
    event: str
    qube: str
    rule: str
    reason: str
    by: str
    owner: str
    origin: str
    path: tuple[str, ...]


def decode_log(data: bytes) -> tuple[list[LogLine], bool, str]:
    """Read a ``Log+forward`` answer: events, whether there are more, the problem.

    Raise `MalformedMessage` if it is none.
    """
    try:
        found = json.loads(data.decode("utf-8"))
        lines = [_decode_line(each) for each in found["events"]]
        return lines, bool(found.get("more")), show_text(str(found.get("problem", "")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedMessage("log: the answer is none") from None


def _decode_line(fields: dict[str, object]) -> LogLine:
    path = fields.get("path", [])
    if not isinstance(path, list):
        raise TypeError("path")
    text = {name: show_text(str(fields.get(name, ""))) for name in _TEXTS}
    moment = datetime.fromisoformat(str(fields["time"])).timestamp()
    return LogLine(moment=moment, path=tuple(show_text(str(n)) for n in path), **text)


def format_time(line: LogLine) -> str:
    """Write when it was, in this computer's own time zone."""
    return f"{datetime.fromtimestamp(line.moment):%Y-%m-%d %H:%M:%S}"


def describe_line(line: LogLine) -> tuple[str, str]:
    """Say which forward it is about, and the details; both may be empty."""
    rule = read_line(line.rule) if line.rule else None
    forward: str = ""
    details: list[str] = []
    if isinstance(rule, ForwardRule):
        forward = put_in_row((format_mapping(rule), _KINDS[rule.forwardtype]), " ")
        if line.event in _WANTED:
            details += _describe_rule(rule, line.moment)
    elif line.rule:
        details.append(Phrase("asked: {0}", line.rule))
    details = [*_describe_origin(line), *details]
    if line.owner:
        details.append(Phrase("a rule of {0}", line.owner))
    if line.path:
        details.append(Phrase("through {0}", join_words(line.path)))
    if line.reason and not _is_grant(line):
        details.append(Told(line.reason))
    return forward, put_in_row(details, "; ")


def _is_grant(line: LogLine) -> bool:
    return line.event == "granted" and bool(line.rule)


def _describe_origin(line: LogLine) -> list[str]:
    """Say who did it, or asked for it."""
    if _is_grant(line):
        agreed, _, via = line.reason.partition(", ")
        asked: str = Phrase("a program asked {0}", line.by)
        if via:
            asked = Phrase("{0} by {1}", asked, *name_protocols([via]))
        return [asked, _AGREED.get(agreed, agreed)]
    said: list[str] = [Phrase("by {0}", line.by)] if line.by else []
    if line.origin == Origin.PORTMAP:
        asks, has = Phrase("a program asks"), Phrase("for a program")
        said.append(asks if line.event == "requested" else has)
    return said


def _describe_rule(rule: ForwardRule, moment: float) -> list[str]:
    said: list[str] = []
    if not is_unlimited(rule.srchost):
        said.append(Phrase("from {0}", str(rule.srchost)))
    if rule.expire == REBOOT:
        said.append(Phrase("until the computer restarts"))
    elif isinstance(rule.expire, int):
        end = format_moment(rule.expire, int(moment))
        said.append(Phrase("until {0}", end))
    return [*said, rule.comment] if rule.comment else said
