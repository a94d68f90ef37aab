# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking the daemon's answers apart.

The daemon is trusted, but some of its texts began in a qube (a hop's reason for
refusing, what a program calls a port): nothing that could move a terminal's cursor
gets past this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar

from qubesforward.errors import MalformedMessage

_Item = TypeVar("_Item")
_Choice = TypeVar("_Choice", bound=StrEnum)


class Reader:
    """A JSON object whose values are taken out by name and type.

    Values that are absent or null get the empty value of their type, so that an
    answer of another version, or one without counters, can still be read.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise MalformedMessage(f"{where} is not an object")
        self._found: dict[str, object] = value
        self._where = where

    def _take(self, name: str, kind: type[_Item], default: _Item) -> _Item:
        value = self._found.get(name)
        if value is None:
            return default
        # bool is an int to Python, not to this format.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise MalformedMessage(f"{self._where}.{name} has a wrong type")
        return value

    def text(self, name: str) -> str:
        """Return a text, all of it printable."""
        return show_text(self._take(name, str, ""))

    def number(self, name: str) -> int:
        """Return a whole number."""
        return self._take(name, int, 0)

    def flag(self, name: str) -> bool:
        """Return a truth value."""
        return self._take(name, bool, False)

    def maybe_flag(self, name: str) -> bool | None:
        """Return a truth value, None where nobody knows it."""
        is_known = self._found.get(name) is not None
        return self.flag(name) if is_known else None

    def choice(
        self, name: str, kind: type[_Choice], default: _Choice | None = None
    ) -> _Choice:
        """Return one of the values of `kind`; without a default it must be there."""
        value = self._take(name, str, "" if default is None else default)
        try:
            return kind(value)
        except ValueError:
            shown = show_text(value)[:40]
            raise MalformedMessage(
                f"{self._where}.{name}={shown!r} is unknown"
            ) from None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, all of them printable."""
        values = self._take(name, list, [])
        if not all(isinstance(value, str) for value in values):
            raise MalformedMessage(f"{self._where}.{name} has a wrong type")
        return tuple(show_text(value) for value in values)

    def numbers(self, name: str) -> dict[str, int]:
        """Return an object whose values are whole numbers."""
        values: dict[str, object] = self._take(name, dict, {})
        inner = Reader(values, f"{self._where}.{name}")
        return {show_text(key): inner.number(key) for key in values}

    def items(self, name: str, decode: Callable[[Reader], _Item]) -> tuple[_Item, ...]:
        """Return a list of objects, each as `decode` reads it."""
        values: Sequence[object] = self._take(name, list, [])
        return tuple(
            decode(Reader(value, f"{self._where}.{name}[{index}]"))
            for index, value in enumerate(values)
        )


def show_text(text: str) -> str:
    """Return the text with everything but printable characters made into ``?``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


def decode_object(data: bytes, what: str) -> Reader:
    """Read an answer; raise `MalformedMessage`, which names `what` it should be."""
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise MalformedMessage(f"{what}: the answer is not JSON") from None
    return Reader(found, f"{what}: answer")
