# SPDX-License-Identifier: GPL-2.0-or-later
"""Alignment, wrapping, and when there is colour."""

import io
import os
import pty

from hypothesis import given
from hypothesis import strategies as st

from qubesforward.cli.table import (
    GREEN,
    Cell,
    Painted,
    Screen,
    format_paragraph,
    format_table,
    measure_screen,
)


def test_columns_are_two_spaces_apart_and_lines_end_clean() -> None:
    table = format_table(("NO", "NAME", "C"), [["0", "sys-net", "-"]], Screen())
    assert table == "NO  NAME     C\n0   sys-net  -\n"


def test_a_table_without_rows_is_its_header() -> None:
    assert format_table(("NO", "NAME"), [], Screen()) == "NO  NAME\n"


def test_colour_does_not_move_columns() -> None:
    rows: list[list[Cell]] = [[Painted("ok", GREEN), "x"], ["silent", "y"]]
    plain = format_table(("STATE", "Z"), rows, Screen())
    painted = format_table(("STATE", "Z"), rows, Screen(colour=True))
    assert "\x1b[32mok\x1b[0m      x" in painted
    for code in ("\x1b[32m", "\x1b[1m", "\x1b[0m"):
        painted = painted.replace(code, "")
    assert painted == plain


def test_the_last_column_goes_on_below_itself() -> None:
    rows = [["0", "one two three four five"]]
    table = format_table(("NO", "COMMENT"), rows, Screen(width=24))
    assert table.splitlines()[1:] == ["0   one two three four", "    five"]


def test_a_last_column_without_room_goes_below_the_row() -> None:
    rows = [["fd00:1234::/64", "a long remark"], ["fd00:1234::/64", "-"]]
    table = format_table(("FROM", "C"), rows, Screen(width=20))
    assert table.splitlines()[1:] == [
        "fd00:1234::/64",
        "    a long remark",
        "fd00:1234::/64  -",
    ]
    table = format_table(("FROM", "C"), rows, Screen(width=16))
    assert table.splitlines()[-1] == "fd00:1234::/64"


def test_off_a_terminal_nothing_is_wrapped() -> None:
    text = "word " * 100
    assert format_table(("A", "B"), [["a", text]], Screen()).count("\n") == 2
    assert format_paragraph(text.strip(), Screen()) == text.strip() + "\n"


def test_prose_is_no_wider_than_can_be_read() -> None:
    lines = format_paragraph("word " * 100, Screen(width=300), "  ").splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line.startswith("  ") for line in lines)


def test_words_that_are_too_long_stay_whole() -> None:
    lines = format_paragraph("a " + "b" * 60 + " c", Screen(width=40)).splitlines()
    assert lines == ["a", "b" * 60, "c"]


@given(st.lists(st.text("ab ", max_size=30), min_size=3), st.integers(17, 60))
def test_wrapping_loses_no_word(words: list[str], width: int) -> None:
    text = " ".join(" ".join(words).split())
    assert format_paragraph(text, Screen(width)).split() == text.split()


def test_a_file_gets_neither_colour_nor_wrapping() -> None:
    assert measure_screen(io.StringIO(), {"TERM": "xterm"}) == Screen()


def test_a_terminal_gets_colour_unless_the_user_says_no() -> None:
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w") as stream:
            assert measure_screen(stream, {"TERM": "xterm"}).colour
            assert measure_screen(stream, {"NO_COLOR": ""}).colour
            assert not measure_screen(stream, {"NO_COLOR": "1"}).colour
            assert not measure_screen(stream, {"TERM": "dumb"}).colour
    finally:
        os.close(master)
