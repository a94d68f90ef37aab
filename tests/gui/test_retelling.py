# SPDX-License-Identifier: GPL-2.0-or-later
"""What other programs say in English is known again, with what they put into it."""

from __future__ import annotations

import pytest

from qubesforward.gui.retelling import LONGEST, Retelling, match_pieces

TEXTS = {
    "{0} is halted": "{0} steht",
    "its time is over": "seine Zeit ist vorbei",
    "{0}; activate with: {1}": "{0}; freigeben mit: {1}",
    "imported": "importiert",
    "ports are 1-{0}": "Ports sind 1-{0}",
    "give a time{0}": "eine Zeit angeben{0}",
}


@pytest.mark.parametrize(
    ("told", "retold"),
    [
        ("its time is over", "seine Zeit ist vorbei"),
        ("sys-net is halted", "sys-net steht"),
        # A text within a text.
        ("imported; activate with: x", "importiert; freigeben mit: x"),
        # What it is about stands before it.
        ("sys-net: its time is over", "sys-net: seine Zeit ist vorbei"),
        ("srcports=80443: ports are 1-65535", "srcports=80443: Ports sind 1-65535"),
        ("'a b': ports are 1-9", "'a b': Ports sind 1-9"),
        ("give a time", "eine Zeit angeben"),
        # Nobody has said what this means.
        ("kernel: no such device", "kernel: no such device"),
        ("is halted", "is halted"),
        ("", ""),
        ("{0} is {1}", "{0} is {1}"),
    ],
)
def test_retells(told: str, retold: str) -> None:
    assert Retelling(TEXTS).retell(told) == retold


def test_what_is_in_holes_may_stand_in_another_order() -> None:
    assert Retelling({"{0} of {1}": "{1}: {0}"}).retell("22 of a") == "a: 22"


def test_what_is_too_long_stays() -> None:
    text = "x" * LONGEST + " is halted"
    assert Retelling(TEXTS).retell(text) == text


@pytest.mark.parametrize(
    ("text", "pieces", "holes"),
    [
        ("ab", ["ab"], []),
        ("ab", ["a"], None),
        ("a-b", ["", "-", ""], ["a", "b"]),
        ("-b", ["", "-", ""], None),
        ("a-", ["", "-", ""], ["a", ""]),
        ("a-b-c", ["", "-", ""], ["a", "b-c"]),
        ("aba", ["ab", "ba"], None),
    ],
)
def test_pieces(text: str, pieces: list[str], holes: list[str] | None) -> None:
    assert match_pieces(text, pieces) == holes
