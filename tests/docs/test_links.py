# SPDX-License-Identifier: GPL-2.0-or-later
"""Links of the documentation lead somewhere, and programs are called by their name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, find_anchors, find_links

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROGRAMS = {*PROJECT["scripts"], *PROJECT["gui-scripts"]}

# Also called so, and no program of ours: units, packages, rules of qrexec and nft.
_OTHER_NAMES = {
    "qubes-forward",
    "qubes-forward-dom0",
    "qubes-forward-fleet",
    "qubes-forward-gui",
    "qubes-forward-tools",
    "qubes-forward-vm",
}
_LIKE_OURS = re.compile(r"(?<![\w/.-])(?:qubes-forward[\w-]*|qvm-f(?!eatures)[\w-]*)")


def broken_links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead nowhere in this repository."""
    for link in find_links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_page = target.suffix == ".md" and target.exists()
        if not target.exists() or (
            anchor and is_page and anchor not in find_anchors(target)
        ):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n[a](#one-two) [b](#two) [c](no.md) `[d](no.md)`\n")
    assert list(broken_links(page)) == ["#two", "no.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_programs_are_called_by_their_name(page: Path) -> None:
    found = set(_LIKE_OURS.findall(page.read_text()))
    misspelt = {
        name
        for name in found
        if name not in PROGRAMS | _OTHER_NAMES and not _is_part(name)
    }
    assert misspelt == set()


def _is_part(name: str) -> bool:
    """Whether it is a feature or a key of QubesDB without its slash."""
    return name in {"qubes-forward-tunnel"}


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        page = left.pop()
        seen.add(page)
        links = (link.partition("#")[0] for link in find_links(page))
        pages = {(page.parent / link).resolve() for link in links if ".md" in link}
        left += [one for one in pages if one.exists() and one not in seen]
    assert {page for page in PAGES if page not in seen} == set()
    assert DOCS / "guide" / "README.md" in seen
