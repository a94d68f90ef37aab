# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of rule elements that are neither ports nor hosts."""

from __future__ import annotations

import string
from enum import StrEnum
from typing import TypeVar

from qubesforward.errors import InvalidRule

LONGEST_COMMENT = 1024
"""Characters of a comment; leaves room for the rest of the rule on its line."""

LAST_SECOND = 253402300799
"""The end of the year 9999, the last moment that Qubes' own tools can show."""

# What Qubes' qubes.firewall.Comment takes.
_SAFE = frozenset(string.ascii_letters + string.digits + ":;,./-_[] ")
# int() of a text takes quadratic time; nothing here needs more digits.
_MOST_DIGITS = 20

_Choice = TypeVar("_Choice", bound=StrEnum)


def parse_choice(kind: type[_Choice], untrusted_value: str, element: str) -> _Choice:
    """Read one of the words of `kind`; raise `InvalidRule` otherwise."""
    try:
        return kind(untrusted_value)
    except ValueError:
        raise InvalidRule(
            f"{element}={untrusted_value[:40]!a}: not one of {', '.join(kind)}"
        ) from None


def parse_yes(untrusted_value: str, element: str) -> bool:
    """Read ``yes``, the only value of a switch; raise `InvalidRule` otherwise."""
    if untrusted_value != "yes":
        raise InvalidRule(
            f"{element}={untrusted_value[:40]!a}: only yes can be given;"
            f" leave {element} out for no"
        )
    return True


def read_decimal(untrusted_value: str) -> int | None:
    """Return the number that a text of ASCII digits stands for; None for others."""
    # isdecimal() alone lets other scripts' digits in.
    if (
        untrusted_value.isascii()
        and untrusted_value.isdecimal()
        and len(untrusted_value) <= _MOST_DIGITS
    ):
        return int(untrusted_value)
    return None


def parse_number(untrusted_value: str, element: str, last: int, advice: str) -> int:
    """Read a decimal number from 0 to `last`.

    The `InvalidRule` raised otherwise ends in `advice`.
    """
    number = read_decimal(untrusted_value)
    if number is None or number > last:
        raise InvalidRule(f"{element}={untrusted_value[:40]!a}: {advice}")
    return number


def parse_moment(untrusted_value: str, element: str) -> int:
    """Read absolute seconds since 1970; raise `InvalidRule` otherwise."""
    return parse_number(
        untrusted_value, element, LAST_SECOND, "give seconds since 1970"
    )


def check_line(untrusted_value: str, element: str, longest: int) -> str:
    """Return the value if it is of the safe characters and not too long.

    Safe characters are those that Qubes takes in comments, so what passes can stand
    in an API line, in XML and on a terminal as it is. Raises `InvalidRule`.
    """
    if len(untrusted_value) > longest:
        raise InvalidRule(
            f"{element}: {len(untrusted_value)} characters; at most {longest} fit"
        )
    for untrusted_character in untrusted_value:
        if untrusted_character not in _SAFE:
            raise InvalidRule(
                f"{element}: {untrusted_character!a} cannot be used; use letters,"
                " digits, spaces and :;,./-_[]"
            )
    return untrusted_value
