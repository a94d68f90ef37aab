# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings window of a qube in a lab's dom0, with real clicks and keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.lab.standing import Standing, eventually
from tests.lab.traffic import Lab

PATIENCE = 30.0
"""Seconds that something may take on a machine that has much else to do."""

_TESTS = Path(__file__).parents[1]
_BROUGHT = ("gui/hands.py", "lab/user_at_window.py")

# The lab has the program, and nothing of its tests: they come with the command line,
# each module after what it imports.
_START = """
import json, sys, types
for name, text in json.loads(sys.argv.pop(1)):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.exit(module.main())
"""


def _modules() -> str:
    names = [f"tests.{path[:-3].replace('/', '.')}" for path in _BROUGHT]
    texts = [(_TESTS / path).read_text() for path in _BROUGHT]
    return json.dumps(list(zip(names, texts, strict=True)))


class Window(Standing):
    """`qubes-forward-settings QUBE` and its user; names are those of a screen reader.

    All but `seen` wait until it can be done.
    """

    def __init__(self, lab: Lab, qube: str) -> None:
        super().__init__(lab, "dom0", _START, _modules(), qube)

    @property
    def seen(self) -> dict[str, Any]:
        """What is seen now: `title`, `texts`, `rows`, and what is said of `fields`."""
        found: dict[str, Any] = self.ask(["look"])
        return found

    @property
    def states(self) -> dict[str, str]:
        """The state of each row of the forwards, by its ports."""
        return {row[1]: row[0] for row in self.seen["rows"]}

    def press(self, name: str) -> None:
        """Click a button."""
        self._do("press", name)

    def choose(self, table: str, text: str) -> None:
        """Click the row with a text in it."""
        self._do("choose", table, text)

    def type(self, name: str, text: str) -> None:
        """Type into a field, over what is in it."""
        self._do("type", name, text)

    def can_press(self, name: str) -> bool:
        """Click a button if that can be done now; return whether it was."""
        return bool(self.ask(["press", name]))

    def _do(self, *words: str) -> None:
        eventually(lambda: self.ask(words), True, PATIENCE)

    def wait_title(self, start: str) -> None:
        """Wait until the window in front has a title that begins so."""
        eventually(lambda: self.seen["title"].startswith(start), True, PATIENCE)

    def wait_text(self, part: str, is_there: bool = True) -> None:
        """Wait until something says this, or until nothing does."""

        def is_said() -> bool:
            return any(part in text for text in self.seen["texts"])

        eventually(is_said, is_there, PATIENCE)
