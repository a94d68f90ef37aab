# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a tool talks to its user."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from os import environ

from qubesforward.cli.reading import show_text
from qubesforward.cli.table import YELLOW, Screen, format_paragraph, measure_screen


@dataclass(frozen=True, slots=True)
class Console:
    """Standard output as the user wants it.

    `quiet` leaves out everything that was not asked for. `json` replaces it by one
    JSON text. `now` is when the tool was started, in seconds since 1970, so that
    all that one run says fits together.
    """

    screen: Screen
    now: int
    quiet: bool = False
    json: bool = False

    def say(self, text: str, indent: str = "") -> None:
        """Print a sentence or more."""
        if not self.quiet:
            self.show(format_paragraph(text, self.screen, indent))

    def show(self, text: str) -> None:
        """Print what is laid out already."""
        if not self.json:
            sys.stdout.write(text)

    def answer(self, data: bytes) -> None:
        """Print an answer of the daemon, where JSON is wanted."""
        if self.json:
            sys.stdout.write(json.dumps(json.loads(data), indent=2) + "\n")

    def warn(self, text: str) -> None:
        """Print what the user may not have meant, on standard error."""
        screen = measure_screen(sys.stderr, environ)
        label = screen.paint("Warning:", YELLOW)
        sys.stderr.write(format_paragraph(f"{label} {show_text(text)}", screen))
