# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a forward does not work: what every qube of its path says, and the cause."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qubesforward.cli.choosing import read_line
from qubesforward.cli.console import Console
from qubesforward.cli.exits import DONE, REFUSED
from qubesforward.cli.firewall import Firewall
from qubesforward.cli.reading import show_text
from qubesforward.cli.sentences import format_mapping, format_outer, join_words, unique
from qubesforward.cli.spec import PortSpec
from qubesforward.cli.status import QubeStatus
from qubesforward.cli.table import (
    BOLD,
    GREEN,
    RED,
    YELLOW,
    Screen,
    format_paragraph,
)
from qubesforward.errors import InvalidRule, MalformedMessage
from qubesforward.model.hosts import Address
from qubesforward.model.rule import ForwardRule

_COLOURS = {"ok": GREEN, "note": YELLOW, "bad": RED}
_WIDEST_MARK = max(map(len, _COLOURS))


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was looked at: `mark` is ok, note or bad."""

    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class ForwardDiagnosis:
    """One forward: findings about all of it, and by qube, the outermost first.

    `sentence` names the cause and what to do, or says that all is well.
    """

    line: str
    state: str
    well: bool
    sentence: str
    general: tuple[Found, ...]
    qubes: tuple[tuple[str, tuple[Found, ...]], ...]


@dataclass(frozen=True, slots=True)
class QubeDiagnosis:
    """The forwards of a qube; `problem` is why its rule file cannot be read."""

    problem: str
    unreadable: tuple[str, ...]
    forwards: tuple[ForwardDiagnosis, ...]


def diagnose(
    console: Console,
    firewall: Firewall,
    qube: str,
    specs: Sequence[PortSpec],
    client: Address | None,
) -> int:
    """Print what is wrong with these forwards, or with all of a qube.

    Return the exit status: done if all is well. With a `client` it is also looked
    at whether that one may connect. Raise `InvalidRule` for ports nobody forwards.
    """
    lines = find_lines(firewall.read_status(qube).find_qube(qube), specs)
    data = firewall.diagnose(qube, lines, client)
    told = decode_diagnosis(data)
    console.answer(data)
    console.show(format_diagnosis(told, qube, console.screen))
    is_well = told.forwards and all(forward.well for forward in told.forwards)
    return DONE if is_well and not told.problem else REFUSED


def find_lines(qube: QubeStatus, specs: Sequence[PortSpec]) -> list[str]:
    """Return the forwards that lead from these outer ports; none for all of them."""
    found: dict[str, None] = {}
    for spec in specs:
        lines = [each.line for each in qube.forwards if _is_meant(each.rule, spec)]
        if not lines:
            there = unique(format_outer(each.rule) for each in qube.forwards)
            hint = f"; there is {join_words(there)}" if there else ""
            raise InvalidRule(f"{qube.name} has no such forward: {spec}{hint}")
        found.update(dict.fromkeys(lines))
    return list(found)


def _is_meant(rule: ForwardRule, spec: PortSpec) -> bool:
    return (
        rule.srcports.overlaps(spec.outer)
        and (spec.inner is None or rule.inner_ports == spec.inner)
        and (spec.any_proto or spec.proto is None or spec.proto in rule.protos)
    )


def decode_diagnosis(data: bytes) -> QubeDiagnosis:
    """Read a ``Diagnose+forward`` answer; raise `MalformedMessage` if it is none."""
    try:
        found = json.loads(data.decode("utf-8"))
        return QubeDiagnosis(
            show_text(found["problem"]),
            tuple(show_text(reason) for reason in found["unreadable"]),
            tuple(_decode_forward(each) for each in found["forwards"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedMessage("diagnosis: the answer is none") from None


def _decode_forward(fields: Mapping[str, Any]) -> ForwardDiagnosis:
    return ForwardDiagnosis(
        line=show_text(fields["rule"]),
        state=show_text(fields["state"]),
        well=fields["well"] is True,
        sentence=show_text(fields["sentence"]),
        general=_decode_findings(fields["findings"]),
        qubes=tuple(
            (show_text(hop["qube"]), _decode_findings(hop["findings"]))
            for hop in fields["hops"]
        ),
    )


def _decode_findings(items: Sequence[Mapping[str, Any]]) -> tuple[Found, ...]:
    return tuple(Found(show_text(i["mark"]), show_text(i["text"])) for i in items)


def format_diagnosis(told: QubeDiagnosis, qube: str, screen: Screen) -> str:
    """Write what was found, forward by forward, each ending in its sentence."""
    blocks = [_format_forward(forward, screen) for forward in told.forwards]
    if told.problem:
        text = f"The rule file of {qube} cannot be read: {told.problem}."
        blocks.append(format_paragraph(screen.paint(text, RED), screen))
    elif not told.forwards:
        blocks.append(f"Nothing is forwarded to {qube}.\n")
    if told.unreadable:
        reasons = "; ".join(told.unreadable)
        text = f"Rules that this version cannot read are not applied: {reasons}."
        blocks.append(format_paragraph(text, screen))
    return "\n".join(blocks)


def _format_forward(forward: ForwardDiagnosis, screen: Screen) -> str:
    rule = read_line(forward.line)
    title = forward.line
    if isinstance(rule, ForwardRule):
        title = f"{format_mapping(rule)}  {rule.forwardtype}"
    text = f"{title}  {forward.state}\n"
    text += "".join(_format_found(each, "  ", screen) for each in forward.general)
    for name, found in forward.qubes:
        text += f"  {screen.paint(name, BOLD)}\n"
        text += "".join(_format_found(each, "    ", screen) for each in found)
    colour = GREEN if forward.well else RED
    return text + format_paragraph(screen.paint(forward.sentence, colour), screen)


def _format_found(found: Found, indent: str, screen: Screen) -> str:
    mark = found.mark.upper() if found.mark == "bad" else found.mark
    painted = screen.paint(mark, _COLOURS.get(found.mark, ""))
    padding = " " * (_WIDEST_MARK - len(mark))
    return f"{indent}{painted}{padding}  {found.text}\n"
