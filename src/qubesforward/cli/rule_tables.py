# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of rules, forwards, paths and hops.

The time now is an argument, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qubesforward.cli.choosing import read_line
from qubesforward.cli.durations import format_day
from qubesforward.cli.reaching import format_extent, quote_words
from qubesforward.cli.sentences import (
    describe_reason,
    find_entrance,
    format_mapping,
    format_outer,
    format_protos,
    format_source,
    name_some,
    unique,
)
from qubesforward.cli.status import (
    ForwardStatus,
    HopState,
    HopStatus,
    PathStep,
    QubeStatus,
    State,
)
from qubesforward.cli.table import (
    GREEN,
    NOTHING,
    RED,
    STATE_COLOURS,
    YELLOW,
    Cell,
    Painted,
    Screen,
    format_paragraph,
    format_table,
)
from qubesforward.model.entry import Entrance
from qubesforward.model.hosts import ANY4, ANY6
from qubesforward.model.rule import ForwardRule, ForwardType, OutboundRule, Reach

# Names and order are those of the stock tool: scripts and habits read them.
OUTBOUND_HEADER = (
    "NO",
    "ACTION",
    "HOST",
    "PROTOCOL",
    "PORT(S)",
    "SPECIAL TARGET",
    "ICMP TYPE",
    "EXPIRE",
    "COMMENT",
)
FORWARD_HEADER = (
    "NO",
    "FORWARD TYPE",
    "PROTOCOL",
    "OUTER",
    "INNER",
    "FROM",
    "STATE",
    "EXPIRE",
    "COMMENT",
)
_OPTIONS = "OPTIONS"

_ENTRANCES: Mapping[str, str] = {
    Entrance.EXTERNAL: "outside",
    Entrance.UPLINK: "uplink",
    Entrance.LOCAL: "its qubes",
    Entrance.SELF: "netvm",
    Entrance.SERVE: "one qube",
    Entrance.ANSWER: "netvm",
}
_HOP_COLOURS = {HopState.OK: GREEN, HopState.HALTED: YELLOW, HopState.SILENT: RED}


def format_outbound(lines: Sequence[str], now: int, screen: Screen) -> str:
    """Lay out outbound rules, numbered from 0, in the columns of the stock tool."""
    rows = [[str(no), *_outbound_row(line, now)] for no, line in enumerate(lines)]
    return format_table(OUTBOUND_HEADER, rows, screen)


def _outbound_row(line: str, now: int) -> list[str]:
    rule = read_line(line)
    if not isinstance(rule, OutboundRule):
        # A later Qubes may know elements that we do not: show what there is.
        return ["?", *[NOTHING] * (len(OUTBOUND_HEADER) - 3), line]
    ports = rule.dstports
    cells = [
        str(rule.action),
        rule.dsthost and rule.dsthost.text,
        rule.proto,
        ports and (str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"),
        rule.specialtarget,
        None if rule.icmptype is None else str(rule.icmptype),
        _format_expire(rule.expire, now),
        rule.comment,
    ]
    return [cell or NOTHING for cell in cells]


def _format_expire(expire: int | str | None, now: int) -> str:
    # As the stock tool has it: seconds from now, with their sign.
    return f"{expire - now:+d}s" if isinstance(expire, int) else expire or NOTHING


def format_forwards(
    numbered: Sequence[tuple[int | None, ForwardRule, ForwardStatus | None]],
    now: int,
    screen: Screen,
) -> str:
    """Lay out forwards, each with its number (None: not of this qube's own list).

    A forward whose status is None is one that the daemon has not planned yet.
    """
    extended = any(_format_options(rule, status) for _no, rule, status in numbered)
    header = list(FORWARD_HEADER)
    if extended:
        header.insert(-1, _OPTIONS)
    rows = []
    for number, rule, status in numbered:
        row = [NOTHING if number is None else str(number), *_forward_row(rule, status)]
        row.append(_format_expire(rule.expire, now))
        if extended:
            row.append(_format_options(rule, status) or NOTHING)
        comment = rule.comment if status is None else _format_comment(status)
        rows.append([*row, comment or NOTHING])
    return format_table(header, rows, screen)


def _forward_row(rule: ForwardRule, status: ForwardStatus | None) -> list[Cell]:
    return [
        str(rule.forwardtype),
        format_protos(rule),
        rule.srcports.short,
        rule.inner_ports.short,
        format_source(rule),
        paint_state(State.PENDING if status is None else status.state),
    ]


def _format_options(rule: ForwardRule, status: ForwardStatus | None) -> str:
    options = {
        "program": status is not None and status.is_mapping,
        "internet": rule.reach is Reach.INTERNET,
        "bypass": rule.bypass,
        "disposables": rule.disposables,
    }
    return ",".join(name for name, is_set in options.items() if is_set)


def paint_state(state: State) -> Painted:
    """Make the table cell of a state."""
    return Painted(str(state), STATE_COLOURS[state])


def format_exposures(qubes: Sequence[QubeStatus], now: int, screen: Screen) -> str:
    """Lay out every forward of the computer.

    Who asked for it, and how far it reaches, are columns only where that varies.
    """
    forwards = [forward for qube in qubes for forward in qube.forwards]
    columns = {
        "FOR": any(forward.is_mapping for forward in forwards),
        "REACHES": any(format_extent(forward) for forward in forwards),
    }
    more = [name for name, is_shown in columns.items() if is_shown]
    header = ["QUBE", "FORWARD", "OPEN TO", "AT", "UNTIL", "STATE", *more, "COMMENT"]
    rows = [
        _exposure_row(qube.name, forward, now, more)
        for qube in qubes
        for forward in qube.forwards
    ]
    return format_table(header, rows, screen)


def _exposure_row(
    qube: str, forward: ForwardStatus, now: int, more: Sequence[str]
) -> list[Cell]:
    rule = forward.rule
    cells = {
        "FOR": "a program" if forward.is_mapping else "you",
        "REACHES": format_extent(forward) or NOTHING,
    }
    return [
        qube,
        format_mapping(rule),
        _format_open_to(rule),
        _format_at(forward),
        _format_until(rule, now),
        paint_state(forward.state),
        *(cells[name] for name in more),
        _format_comment(forward) or NOTHING,
    ]


def _format_comment(forward: ForwardStatus) -> str:
    text = forward.rule.comment
    return quote_words(text) if text and forward.is_mapping else text


def _format_open_to(rule: ForwardRule) -> str:
    source = format_source(rule)
    is_internal = rule.forwardtype is ForwardType.INTERNAL
    return f"qubes {source}" if is_internal and source[:3] != "any" else source


def _format_at(forward: ForwardStatus) -> str:
    if not forward.dial:
        return find_entrance(forward) or NOTHING
    more = len(forward.dial) - 1
    return forward.dial[0] + (f" +{more}" if more else "")


def _format_until(rule: ForwardRule, now: int) -> str:
    if isinstance(rule.expire, int):
        return format_day(rule.expire, now)
    return rule.expire or NOTHING


def format_reasons(qube: QubeStatus, screen: Screen) -> str:
    """Tell why forwards are not active, a line for each state and reason."""
    ports: dict[str, list[str]] = {}
    for forward in qube.forwards:
        if forward.state is not State.ACTIVE:
            why = f"{forward.state} ({describe_reason(forward)})"
            ports.setdefault(why, []).append(format_outer(forward.rule))
    return "".join(
        format_paragraph(f"{qube.name} {name_some(unique(found))}: {why}", screen)
        for why, found in ports.items()
    )


def format_problems(qube: QubeStatus, screen: Screen) -> str:
    """Tell, a line each, what of a qube's rule file, or of its block, is not used."""
    lines = [f"{qube.name}: its rules cannot be used: {qube.problem}"] * bool(
        qube.problem
    )
    lines += [
        f"{qube.name}: a rule cannot be read and is not applied: {reason}"
        for reason in qube.unreadable
    ]
    if qube.cone:
        lines.append(f"{qube.name}: its block of UDP ports is not open: {qube.cone}")
    return "".join(format_paragraph(line, screen) for line in lines)


def format_path(path: Sequence[PathStep], screen: Screen, *, planned: bool) -> str:
    """Lay out what every qube of a path does; `planned`: would do."""
    header = ["QUBE", "IN FROM", "PROTOCOL", "PORTS", "SOURCE", "SENDS ON TO"]
    if not planned:
        header += ["STATE", "PACKETS"]
    rows = []
    for step in path:
        row: list[Cell] = [
            step.qube,
            _ENTRANCES.get(step.entrance, step.entrance),
            step.proto,
            _shorten(step.ports),
            _shorten_source(step.src),
            _format_target(step),
        ]
        if not planned:
            row += [paint_state(step.state), str(step.packets)]
        rows.append(row)
    return format_table(header, rows, screen)


def _shorten(ports: str) -> str:
    first, _, last = ports.partition("-")
    return first if first == last else ports


def _shorten_source(src: str) -> str:
    everybody = {str(ANY4): "any IPv4", str(ANY6): "any IPv6"}
    single = src.removesuffix("/128" if ":" in src else "/32")
    return everybody.get(src, single)


def _format_target(step: PathStep) -> str:
    if not step.to:
        return "its own programs"
    ports = _shorten(step.toports)
    return f"[{step.to}]:{ports}" if ":" in step.to else f"{step.to}:{ports}"


def format_hops(hops: Sequence[HopStatus], screen: Screen) -> str:
    """Lay out the hops with their state and their addresses outside."""
    rows: list[list[Cell]] = [
        [
            hop.name,
            Painted(str(hop.state), _HOP_COLOURS[hop.state]),
            " ".join(hop.outside) or NOTHING,
            hop.reason or NOTHING,
        ]
        for hop in hops
    ]
    return format_table(("HOP", "STATE", "OUTSIDE", "REASON"), rows, screen)
