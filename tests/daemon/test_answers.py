# SPDX-License-Identifier: GPL-2.0-or-later
"""What dom0 makes of the answers of agents, true ones and others."""

from ipaddress import ip_address

import pytest

from qubesforward.agent.answers import _join
from qubesforward.daemon.answers import (
    LAST_NUMBER,
    LINES_PER_REPORT,
    Counter,
    parse_count,
    parse_outside,
    parse_reason,
    parse_report,
    parse_tunnel,
)

PRESENT = {"0a0b0c0d", "ffffffff"}


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (b"0", 0),
        (b"17", 17),
        (b"9" * 18, LAST_NUMBER),
        (b"9" * 19, None),
        (b"9" * 5000, None),
        (b"-1", None),
        (b"+1", None),
        (b"1_0", None),
        (b" 1", None),
        ("\u0661".encode(), None),
        (b"", None),
        (None, None),
    ],
)
def test_a_count_is_digits_and_not_many(value: bytes | None, count: int | None) -> None:
    assert parse_count(value) == count


def test_a_reason_is_one_short_line_that_moves_no_cursor() -> None:
    assert parse_reason(b"would bypass tunnel tun0") == "would bypass tunnel tun0"
    assert parse_reason(b"a\x1b[2J\nb\xff\x7f") == "a?[2J?b??"
    assert len(parse_reason(b"x" * 3072)) == 200


def test_addresses_are_taken_once_and_not_many() -> None:
    found = parse_outside(b"192.168.1.10 x fd09::5  192.168.1.10 fe80::1%eth0")
    assert found == (ip_address("192.168.1.10"), ip_address("fd09::5"))
    many = " ".join(f"10.0.0.{number}" for number in range(250))
    assert len(parse_outside(many.encode())) == 32


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"tun0 4 6", "tun0"),
        (b"wg-home.1 4", "wg-home.1"),
        (b"\x1b[2J 4", "tun"),
        (b"x" * 3000, "tun"),
        (b"\xff", "tun"),
        (b" 4", "tun"),
        (b"", ""),
    ],
)
def test_a_tunnel_is_believed_whatever_its_name(value: bytes, name: str) -> None:
    assert parse_tunnel(value) == name


def test_a_report_counts_for_entries_of_dom0_only() -> None:
    lines = [
        b"0a0b0c0d 12 3456 listening",
        b"11111111 1 1",
        b"ffffffff 9999999999999999999 1",
        b"ffffffff 1",
        b"",
    ]
    found = parse_report([b"\n".join(lines), b"ffffffff 0 0 what"], PRESENT)
    assert found == {"0a0b0c0d": Counter(12, 3456, True), "ffffffff": Counter(0, 0)}


def test_a_whole_report_fits_into_the_values_that_are_read() -> None:
    number = 2**64 - 1
    count = 10_000
    values = _join(f"{n:08x} {number} {number} listening" for n in range(count))
    assert len(values) <= count // LINES_PER_REPORT + 1
