# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a TOML table key by key, with errors that say which key is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from qubesforward.errors import LabError

LONGEST_FILE = 1 << 20
LONGEST_INTERFACE = 15
"""IFNAMSIZ less the NUL."""
# What Qubes takes as the name of a qube; hosts and cards keep to it as well.
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,30}")


def read_toml(path: Path) -> Table:
    """Read a TOML file as its top table; raise `LabError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST_FILE).decode()
        return Table(str(path), "", tomllib.loads(text))
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"{path}: {error}") from None


class Table:
    """One table of the file; remembers what was asked for, to refuse the rest."""

    def __init__(self, file: str, where: str, values: dict[str, Any]) -> None:
        self._file = file
        self._where = where
        self._values = values
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @property
    def name(self) -> str:
        """The last part of the table's own name."""
        return self._where.rpartition(".")[2]

    def wrong(self, key: str, problem: str) -> LabError:
        """Return the error that names this file and key."""
        where = f"{self._where}.{key}" if self._where else key
        return LabError(f"{self._file}: {where}: {problem}")

    def refuse_unknown(self) -> None:
        """Raise for keys that nobody asked for: a typo must not go unnoticed."""
        for key in self._values:
            if key not in self._asked:
                known = ", ".join(sorted(self._asked))
                raise self.wrong(key, f"not known here; there are {known}")

    def _get(self, key: str, kind: type, what: str) -> Any:
        self._asked.add(key)
        if key not in self._values:
            raise self.wrong(key, f"missing; give {what}")
        value = self._values[key]
        # In Python, but not in TOML, true and false are numbers.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise self.wrong(key, f"give {what}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Return a name; it is required if there is no default."""
        if key not in self and default is not None:
            self._asked.add(key)
            return default
        value: str = self._get(key, str, "a name in quotes")
        if not _NAME.fullmatch(value):
            raise self.wrong(key, "a name has letters, digits, - _ . and 31 at most")
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a name, or None where the key is not given."""
        self._asked.add(key)
        return self.text(key) if key in self else None

    def interface(self, key: str, default: str) -> str:
        """Return the name of a network interface."""
        value = self.text(key, default)
        if len(value) > LONGEST_INTERFACE:
            raise self.wrong(key, f"an interface has {LONGEST_INTERFACE} letters")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false; false where the key is not given."""
        self._asked.add(key)
        return bool(self._get(key, bool, "true or false")) if key in self else False

    def number(self, key: str, least: int, most: int) -> int:
        """Return a required number within bounds."""
        what = f"a number from {least} to {most}"
        value: int = self._get(key, int, what)
        if not least <= value <= most:
            raise self.wrong(key, f"give {what}")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """Return one of several words."""
        what = "one of " + ", ".join(choices)
        value: str = self._get(key, str, what)
        if value not in choices:
            raise self.wrong(key, f"give {what}")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of texts that is not empty, such as a command."""
        value = self._get(key, list, "a list of words")
        if not value or not all(isinstance(word, str) for word in value):
            raise self.wrong(key, "give a list of words")
        return tuple(value)

    def texts(self) -> dict[str, str]:
        """Return the whole table, which holds nothing but texts."""
        return {key: self._get(key, str, "a text in quotes") for key in self}

    def read(
        self,
        key: str,
        parse: Callable[[str], Any],
        *,
        version: int | None = None,
    ) -> Any:
        """Return what `parse` makes of a text: an address or network.

        `version` is the IP version that it must have.
        """
        return self._parse(key, self._get(key, str, "an address"), parse, version)

    def read_optional(
        self,
        key: str,
        parse: Callable[[str], Any],
        *,
        version: int | None = None,
    ) -> Any:
        """`read`, or None where the key is not given."""
        self._asked.add(key)
        return self.read(key, parse, version=version) if key in self else None

    def read_list(self, key: str, parse: Callable[[str], Any]) -> tuple[Any, ...]:
        """Return a list of addresses or networks, empty where not given."""
        self._asked.add(key)
        if key not in self:
            return ()
        return tuple(self._parse(key, text, parse, None) for text in self.words(key))

    def _parse(
        self, key: str, text: str, parse: Callable[[str], Any], version: int | None
    ) -> Any:
        try:
            value = parse(text)
        except ValueError as error:
            raise self.wrong(key, str(error)) from None
        if version is not None and value.version != version:
            raise self.wrong(key, f"give one of IPv{version}")
        return value

    def table(self, key: str) -> Table:
        """Return a table within; an empty one where it is not given."""
        self._asked.add(key)
        values = self._get(key, dict, "a table") if key in self else {}
        return Table(self._file, f"{self._where}.{key}".lstrip("."), values)

    def tables(self, key: str) -> list[Table]:
        """Return the tables in a table, each of which bears a name."""
        outer = self.table(key)
        for name in outer:
            if not _NAME.fullmatch(name):
                raise outer.wrong(name, "not a name: letters, digits, - _ .")
        return [outer.table(name) for name in outer]

    def table_list(self, key: str) -> list[Table]:
        """Return a list of tables, empty where not given."""
        self._asked.add(key)
        if key not in self:
            return []
        values = self._get(key, list, "a list of tables")
        if not all(isinstance(value, dict) for value in values):
            raise self.wrong(key, "give a list of tables")
        where = f"{self._where}.{key}".lstrip(".")
        return [
            Table(self._file, f"{where}[{number}]", value)
            for number, value in enumerate(values)
        ]
