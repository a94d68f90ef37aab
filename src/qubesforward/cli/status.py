# SPDX-License-Identifier: GPL-2.0-or-later
"""The answers of ``Status+forward`` and ``Plan+forward``, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from qubesforward.cli.reading import Reader, decode_object
from qubesforward.errors import InvalidRule, MalformedMessage
from qubesforward.model.rule import ForwardRule, Origin, Rule
from qubesforward.model.text import parse_rule


class State(StrEnum):
    """What became of a forward; a step of its path has the first three only."""

    ACTIVE = "active"
    PENDING = "pending"
    REFUSED = "refused"
    CONFLICT = "conflict"
    UNCONFIRMED = "unconfirmed"
    EXPIRED = "expired"
    UNREACHABLE = "unreachable"


class HopState(StrEnum):
    """Whether a hop does what it is told: halted, or running without an answer."""

    OK = "ok"
    HALTED = "halted"
    SILENT = "silent"


class Extent(StrEnum):
    """How far a forward reaches; `LAN` also while no router has answered yet."""

    INTERNET = "internet"
    LAN = "lan"
    CARRIER = "carrier"
    SILENT = "silent"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PathStep:
    """What one qube of the path has to do; `src`, `to` and ports as in an entry.

    `to` and `toports` are empty for the target, which opens its own input.
    """

    qube: str
    entrance: str
    proto: str
    ports: str
    src: str
    to: str
    toports: str
    state: State
    reason: str
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ForwardStatus:
    """One forward: `line` is its API line, `dial` the addresses to connect to.

    `tunnels` are those among them at which an internal forward is entered from the
    other end of a tunnel.
    `owner` is the qube whose rule it is: a disposable may have it from its template.
    `listening` is None where nobody knows whether something listens in the qube.
    Without `has_agent` nobody opens the firewall of the qube itself.
    `path` goes from the outermost hop to the target.
    `is_mapping`: a program of the qube asked for it, by the protocols `vias`, as far as
    they are told. `extent` is how far it reaches, and `edge` where the internet dials
    it, ``ADDRESS:PORT``; empty if no router has told. `created` is when the daemon took
    it in, in microseconds since 1970; 0 if nobody knows.
    """

    line: str
    rule: ForwardRule
    owner: str
    state: State
    reason: str
    dial: tuple[str, ...]
    tunnels: tuple[str, ...]
    listening: bool | None
    packets: int
    bytes: int
    path: tuple[PathStep, ...]
    is_mapping: bool = False
    vias: tuple[str, ...] = ()
    extent: Extent = Extent.LAN
    edge: str = ""
    created: int = 0
    has_agent: bool = True


@dataclass(frozen=True, slots=True)
class QubeStatus:
    """The forwards of one qube.

    `problem` tells why its rule file cannot be read at all, `unreadable` why
    single rules of it cannot. `cone` tells why its block of UDP ports is not open.
    """

    name: str
    unconfirmed: bool
    problem: str
    forwards: tuple[ForwardStatus, ...]
    unreadable: tuple[str, ...]
    cone: str = ""


@dataclass(frozen=True, slots=True)
class HopStatus:
    """One hop; `outside` are its addresses on the networks outside."""

    name: str
    state: HopState
    reason: str
    outside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that one answer holds.

    `audit` is why the audit log cannot be written, empty if it can.
    """

    qubes: tuple[QubeStatus, ...]
    hops: tuple[HopStatus, ...]
    audit: str = ""

    def find_qube(self, name: str) -> QubeStatus:
        """Return one qube's part, an empty one if the answer has none."""
        for qube in self.qubes:
            if qube.name == name:
                return qube
        return QubeStatus(name, False, "", (), ())


def decode_status(data: bytes) -> Status:
    """Read a ``Status+forward`` answer; raise `MalformedMessage` if it is none."""
    reader = decode_object(data, "status")
    return Status(
        reader.items("qubes", _decode_qube),
        reader.items("hops", _decode_hop),
        reader.text("audit"),
    )


def decode_plan(data: bytes, name: str) -> Status:
    """Read a ``Plan+forward`` answer about the qube `name`, as `decode_status`."""
    reader = decode_object(data, "status")
    forwards = reader.items("forwards", _decode_forward)
    qube = QubeStatus(name, False, "", forwards, ())
    return Status((qube,), reader.items("hops", _decode_hop))


def _decode_qube(reader: Reader) -> QubeStatus:
    return QubeStatus(
        name=reader.text("name"),
        unconfirmed=reader.flag("unconfirmed"),
        problem=reader.text("problem"),
        forwards=reader.items("forwards", _decode_forward),
        unreadable=reader.texts("unreadable"),
        cone=reader.text("cone"),
    )


def _decode_forward(reader: Reader) -> ForwardStatus:
    line = reader.text("rule")
    try:
        rule = _parse_line(line)
    except InvalidRule as error:
        raise MalformedMessage(f"status: {error}") from None
    if not isinstance(rule, ForwardRule):
        raise MalformedMessage(f"status: {line!r} is no forward")
    return ForwardStatus(
        line=line,
        rule=rule,
        owner=reader.text("from"),
        state=reader.choice("state", State),
        reason=reader.text("reason"),
        dial=reader.texts("dial"),
        tunnels=reader.texts("tunnels"),
        listening=reader.maybe_flag("listening"),
        has_agent=reader.maybe_flag("agent") is not False,
        packets=reader.number("packets"),
        bytes=reader.number("bytes"),
        path=reader.items("path", _decode_step),
        is_mapping=reader.text("origin") == Origin.PORTMAP,
        vias=reader.texts("via"),
        extent=reader.choice("extent", Extent, Extent.LAN),
        edge=reader.text("edge"),
        created=reader.number("created"),
    )


@lru_cache(maxsize=4096)
def _parse_line(line: str) -> Rule:
    """Read a rule; windows are told the same ones again and again."""
    return parse_rule(line)


def _decode_step(reader: Reader) -> PathStep:
    return PathStep(
        qube=reader.text("qube"),
        entrance=reader.text("in"),
        proto=reader.text("proto"),
        ports=reader.text("ports"),
        src=reader.text("src"),
        to=reader.text("to"),
        toports=reader.text("toports"),
        state=reader.choice("state", State),
        reason=reader.text("reason"),
        packets=reader.number("packets"),
        bytes=reader.number("bytes"),
    )


def _decode_hop(reader: Reader) -> HopStatus:
    return HopStatus(
        name=reader.text("name"),
        state=reader.choice("state", HopState),
        reason=reader.text("reason"),
        outside=reader.texts("outside"),
    )
