# SPDX-License-Identifier: GPL-2.0-or-later
"""Every program has a man page, without mistakes, with the options that it has."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.docs.pages import DOCS
from tests.docs.parsers import ENTRY_POINTS, list_commands, list_options, read_parser

MAN = {page.stem: page for page in sorted((DOCS / "man").iterdir())}

_FLAG = re.compile(r"(?:Fl|,) (-{0,2}[a-z][\w-]*)")
_SECTION = {"qubes-forwardd": 8, "qubes-forward-agent": 8, "qubes-forward-gateway": 8}


def flags_of(text: str) -> set[str]:
    """Return the options that an mdoc page names."""
    lines = [line for line in text.splitlines() if "Fl " in line]
    return {f"-{flag}" for line in lines for flag in _FLAG.findall(line)}


def test_every_program_has_a_page() -> None:
    assert set(MAN) == set(ENTRY_POINTS)
    assert {p.stem: int(p.suffix[1:]) for p in MAN.values()} == {
        program: _SECTION.get(program, 1) for program in ENTRY_POINTS
    }


@pytest.mark.parametrize("program", MAN)
def test_page_has_no_mistakes(program: str) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", MAN[program]],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("program", MAN)
def test_page_has_the_options(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = read_parser(program, monkeypatch)
    text = MAN[program].read_text()
    assert flags_of(text) == list_options(parser)
    described = set(re.findall(r"^\.It Cm (\w+)$", text, re.MULTILINE))
    assert list_commands(parser) <= described


@pytest.mark.parametrize("program", MAN)
def test_others_that_a_page_names_are_there(program: str) -> None:
    named = re.findall(r"^\.Xr (q\S+) (\d)", MAN[program].read_text(), re.MULTILINE)
    assert {f"{name}.{section}" for name, section in named} <= {
        page.name for page in MAN.values()
    }


def test_an_option_is_seen_however_it_is_written() -> None:
    text = ".It Fl h , Fl -help\n.Brq Fl -grant | Fl -deny\n.Op Fl -log-level Ar L\n"
    assert flags_of(text) == {"-h", "--help", "--grant", "--deny", "--log-level"}
