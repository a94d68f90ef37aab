# SPDX-License-Identifier: GPL-2.0-or-later
"""The answers of ``Status+forward`` and ``Plan+forward``, as data.

The daemon is trusted, but some of its texts began in a qube (a hop's reason for
refusing): nothing that could move a terminal's cursor gets past this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from qubesforward.errors import InvalidRule, MalformedMessage
from qubesforward.model.rule import ForwardRule
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
    `path` goes from the outermost hop to the target.
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


@dataclass(frozen=True, slots=True)
class QubeStatus:
    """The forwards of one qube.

    `problem` tells why its rule file cannot be read at all, `unreadable` why
    single rules of it cannot.
    """

    name: str
    unconfirmed: bool
    problem: str
    forwards: tuple[ForwardStatus, ...]
    unreadable: tuple[str, ...]


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


_Item = TypeVar("_Item")
_Choice = TypeVar("_Choice", bound=StrEnum)


class _Reader:
    """A JSON object whose values are taken out by name and type.

    Values that are absent or null get the empty value of their type, so that an
    answer of another version, or one without counters, can still be read.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise MalformedMessage(f"status: {where} is not an object")
        self._found: dict[str, object] = value
        self._where = where

    def _take(self, name: str, kind: type[_Item], default: _Item) -> _Item:
        value = self._found.get(name)
        if value is None:
            return default
        # bool is an int to Python, not to this format.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise MalformedMessage(f"status: {self._where}.{name} has a wrong type")
        return value

    def text(self, name: str) -> str:
        return show_text(self._take(name, str, ""))

    def number(self, name: str) -> int:
        return self._take(name, int, 0)

    def flag(self, name: str) -> bool:
        return self._take(name, bool, False)

    def maybe_flag(self, name: str) -> bool | None:
        is_known = self._found.get(name) is not None
        return self.flag(name) if is_known else None

    def choice(self, name: str, kind: type[_Choice]) -> _Choice:
        value = self._take(name, str, "")
        try:
            return kind(value)
        except ValueError:
            shown = show_text(value)[:40]
            raise MalformedMessage(
                f"status: {self._where}.{name}={shown!r} is unknown"
            ) from None

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._take(name, list, [])
        if not all(isinstance(value, str) for value in values):
            raise MalformedMessage(f"status: {self._where}.{name} has a wrong type")
        return tuple(show_text(value) for value in values)

    def items(self, name: str, decode: Callable[[_Reader], _Item]) -> tuple[_Item, ...]:
        values: Sequence[object] = self._take(name, list, [])
        return tuple(
            decode(_Reader(value, f"{self._where}.{name}[{index}]"))
            for index, value in enumerate(values)
        )


def show_text(text: str) -> str:
    """Return the text with everything but printable characters made into ``?``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


def decode_status(data: bytes) -> Status:
    """Read a ``Status+forward`` answer; raise `MalformedMessage` if it is none."""
    reader = _decode_object(data)
    return Status(
        reader.items("qubes", _decode_qube),
        reader.items("hops", _decode_hop),
        reader.text("audit"),
    )


def decode_plan(data: bytes, name: str) -> Status:
    """Read a ``Plan+forward`` answer about the qube `name`, as `decode_status`."""
    reader = _decode_object(data)
    forwards = reader.items("forwards", _decode_forward)
    qube = QubeStatus(name, False, "", forwards, ())
    return Status((qube,), reader.items("hops", _decode_hop))


def _decode_object(data: bytes) -> _Reader:
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise MalformedMessage("status: the answer is not JSON") from None
    return _Reader(found, "answer")


def _decode_qube(reader: _Reader) -> QubeStatus:
    return QubeStatus(
        name=reader.text("name"),
        unconfirmed=reader.flag("unconfirmed"),
        problem=reader.text("problem"),
        forwards=reader.items("forwards", _decode_forward),
        unreadable=reader.texts("unreadable"),
    )


def _decode_forward(reader: _Reader) -> ForwardStatus:
    line = reader.text("rule")
    try:
        rule = parse_rule(line)
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
        packets=reader.number("packets"),
        bytes=reader.number("bytes"),
        path=reader.items("path", _decode_step),
    )


def _decode_step(reader: _Reader) -> PathStep:
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


def _decode_hop(reader: _Reader) -> HopStatus:
    return HopStatus(
        name=reader.text("name"),
        state=reader.choice("state", HopState),
        reason=reader.text("reason"),
        outside=reader.texts("outside"),
    )
