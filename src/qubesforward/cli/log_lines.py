# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of the audit log, as data and in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from qubesforward.cli.choosing import read_line
from qubesforward.cli.durations import format_moment
from qubesforward.cli.reaching import name_protocols
from qubesforward.cli.reading import show_text
from qubesforward.cli.sentences import format_mapping, is_unlimited, join_words
from qubesforward.errors import MalformedMessage
from qubesforward.model.rule import REBOOT, ForwardRule, Origin

_WANTED = ("added", "changed", "confirmed")
"""Events at which the whole rule is told."""

_TEXTS = ("event", "qube", "rule", "reason", "by", "owner", "origin")

_AGREED = {"by policy": "as its policy allows", "by user": "as the user agreed"}
"""What the log has for a mapping's reason, with the protocol after it."""


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
    forward, details = "", []
    if isinstance(rule, ForwardRule):
        forward = f"{format_mapping(rule)} {rule.forwardtype}"
        if line.event in _WANTED:
            details += _describe_rule(rule, line.moment)
    elif line.rule:
        details.append(f"asked: {line.rule}")
    details = [*_describe_origin(line), *details]
    if line.owner:
        details.append(f"a rule of {line.owner}")
    if line.path:
        details.append(f"through {join_words(line.path)}")
    if line.reason and not _is_grant(line):
        details.append(line.reason)
    return forward, "; ".join(details)


def _is_grant(line: LogLine) -> bool:
    return line.event == "granted" and bool(line.rule)


def _describe_origin(line: LogLine) -> list[str]:
    """Say who did it, or asked for it."""
    if _is_grant(line):
        agreed, _, via = line.reason.partition(", ")
        by = "".join(f" by {name}" for name in name_protocols([via]) if name)
        asked = f"a program asked {line.by}{by}"
        return [asked, _AGREED.get(agreed, agreed)]
    said = [f"by {line.by}"] if line.by else []
    if line.origin == Origin.PORTMAP:
        said.append("a program asks" if line.event == "requested" else "for a program")
    return said


def _describe_rule(rule: ForwardRule, moment: float) -> list[str]:
    said = [] if is_unlimited(rule.srchost) else [f"from {rule.srchost}"]
    if rule.expire == REBOOT:
        said.append("until the computer restarts")
    elif isinstance(rule.expire, int):
        said.append(f"until {format_moment(rule.expire, int(moment))}")
    return [*said, rule.comment] if rule.comment else said
