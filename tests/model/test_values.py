# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from qubesforward.errors import InvalidRule
from qubesforward.model.rule import ForwardType
from qubesforward.model.values import (
    LAST_SECOND,
    check_line,
    parse_choice,
    parse_moment,
    parse_number,
    parse_yes,
)


def test_choice_names_the_alternatives() -> None:
    assert parse_choice(ForwardType, "internal", "forwardtype") is ForwardType.INTERNAL
    with pytest.raises(InvalidRule, match="'inside': not one of external, internal"):
        parse_choice(ForwardType, "inside", "forwardtype")


@pytest.mark.parametrize("value", ["", "-1", "+1", "1_0", "1 ", "1e3", "٣", "9" * 5000])
def test_number_is_plain_ascii_digits(value: str) -> None:
    with pytest.raises(InvalidRule, match=r"^icmptype=.*: types are 0-255$"):
        parse_number(value, "icmptype", 255, "types are 0-255")


def test_number_has_an_upper_end() -> None:
    assert parse_number("0255", "icmptype", 255, "") == 255
    with pytest.raises(InvalidRule):
        parse_number("256", "icmptype", 255, "")


def test_moment_ends_where_dates_do() -> None:
    assert parse_moment(str(LAST_SECOND), "until") == LAST_SECOND
    with pytest.raises(InvalidRule, match="seconds since 1970"):
        parse_moment(str(LAST_SECOND + 1), "until")


def test_yes_is_the_only_switch_position() -> None:
    assert parse_yes("yes", "bypass")
    with pytest.raises(InvalidRule, match="leave bypass out for no"):
        parse_yes("no", "bypass")


@pytest.mark.parametrize("character", ["=", "<", "&", '"', "\n", "\0", "é", "\x1b"])
def test_line_refuses_what_could_break_out_of_it(character: str) -> None:
    with pytest.raises(InvalidRule, match="cannot be used"):
        check_line(f"a{character}b", "comment", 10)


def test_line_is_bounded() -> None:
    assert check_line("a" * 10, "comment", 10) == "a" * 10
    with pytest.raises(InvalidRule, match="comment: 11 characters; at most 10 fit"):
        check_line("a" * 11, "comment", 10)
