# SPDX-License-Identifier: GPL-2.0-or-later
"""Phrases: English text to whoever prints them, parts to whoever translates them."""

from __future__ import annotations

from qubesforward.cli.phrase import Phrase, Start, Told, put_in_row

GERMAN = {
    "port {0} of {1}": "von {1} Port {0}",
    "{0} is open": "offen ist {0}",
    "sys-net": "never looked up",
}


def say(text: str) -> str:
    return GERMAN.get(text, text)


def test_it_is_the_english_text() -> None:
    phrase = Phrase("{0} is open", Phrase("port {0} of {1}", "22", "work"))
    assert phrase == "port 22 of work is open"
    assert f"{phrase}" == "port 22 of work is open"


def test_its_parts_are_put_together_anew() -> None:
    phrase = Phrase("{0} is open", Phrase("port {0} of {1}", "22", "work"))
    assert phrase.put(say) == "offen ist von work Port 22"
    assert Start(phrase) == "Port 22 of work is open"
    assert Start(phrase).put(say) == "Offen ist von work Port 22"


def test_data_are_never_translated() -> None:
    assert Phrase("{0} is open", "sys-net").put(say) == "offen ist sys-net"
    assert Phrase("{0} is open", "{0}").put(say) == "offen ist {0}"


def test_a_row() -> None:
    row = put_in_row([Phrase("{0} is open", "a"), "b"], "; ")
    assert row == "a is open; b"
    assert row.put(say) == "offen ist a; b"
    assert put_in_row([], "; ") == ""


def test_what_was_told_is_looked_up_whole() -> None:
    seen = []

    def note(text: str) -> str:
        seen.append(text)
        return "!"

    assert Told("{0} is open") == "{0} is open"
    assert Phrase("{0}: {1}", "a", Told("{0} is open")).put(note) == "!"
    assert isinstance(seen[0], Told)
