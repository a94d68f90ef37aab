# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines of our programs, as argparse has them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NoReturn

import pytest

from tests.docs.test_links import PROJECT

ENTRY_POINTS: dict[str, str] = {**PROJECT["scripts"], **PROJECT["gui-scripts"]}


class _Found(BaseException):
    """Carries a parser out of the program that made it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def read_parser(program: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a program as far as its reading of the command line."""

    def give(parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        raise _Found(parser)

    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, give)
    monkeypatch.setattr(sys, "argv", [program])
    module, _, function = ENTRY_POINTS[program].partition(":")
    with pytest.raises(_Found) as found:
        getattr(import_module(module), function)()
    return found.value.parser


def list_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from list_parsers(below)


def list_options(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options that a program has for users, of all its commands."""
    return {
        option
        for one in list_parsers(parser)
        for action in one._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
    }


def list_commands(parser: argparse.ArgumentParser) -> set[str]:
    """Return the names of a program's commands."""
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return {name for action in actions for name in action.choices}
