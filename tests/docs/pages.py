# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages of the documentation, and what is in them: links, headings, commands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))

_FENCE = re.compile(r"^```(\S*) *([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+).*?\1", re.DOTALL)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_PROMPT = re.compile(r"\[user@([a-z0-9-]+) ~\]\$ (.*)")


@dataclass
class Step:
    """A command, where it is typed, the lines shown below it, and its exit status."""

    where: str
    command: str
    shown: list[str] = field(default_factory=list)
    status: int = 0


def plain_text(page: Path) -> str:
    """Return a page without its code, in which nothing is a link or a heading."""
    return _CODE.sub("", _FENCE.sub("", page.read_text()))


def find_links(page: Path) -> list[str]:
    """Return what a page links to, pictures too."""
    return _LINK.findall(plain_text(page))


def find_anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text())):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while (numbered := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(numbered)
    return found


def find_steps(page: Path) -> list[Step]:
    """Return the commands of a page's ``console`` blocks.

    A command that ends with a backslash goes on in the next line. ``status=1`` behind
    the language is the exit status of the block's last command; it is 0 otherwise.
    """
    steps: list[Step] = []
    for language, more, text in _FENCE.findall(page.read_text()):
        if language != "console":
            continue
        for line in text.splitlines():
            if prompt := _PROMPT.fullmatch(line):
                steps.append(Step(prompt[1], prompt[2]))
            elif steps and steps[-1].command.endswith("\\"):
                steps[-1].command = f"{steps[-1].command[:-1]}{line.strip()}"
            else:
                steps[-1].shown.append(line)
        steps[-1].status = int(more.removeprefix("status=") or 0)
    return steps
