# SPDX-License-Identifier: GPL-2.0-or-later
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.model.observation import (
    LONGEST_LINE,
    LONGEST_VALUE,
    MOST_VALUES,
    Block,
    Certainty,
    Listener,
    Observation,
    Traffic,
    format_observation,
    parse_observation,
)

A, B = "0000000a", "0000000b"
BLOCK = Block(
    Certainty.SURELY, "forward", "ip", "qubes", "custom-forward", "tcp dport 8443 drop"
)
SEEN = Observation(
    held={A: Traffic(12, 3400), B: None},
    listeners={
        A: [Listener(ip_address("0.0.0.0"), 8443), Listener(ip_address("::1"), 1)]
    },
    blocks={B: [BLOCK]},
    problem="nft list: no memory",
)


def write(seen: Observation) -> bytes:
    return "\n".join(format_observation(seen)).encode("ascii")


def test_what_is_written_is_read_back() -> None:
    assert parse_observation([write(SEEN)]) == SEEN


def test_lines_may_be_spread_over_values() -> None:
    values = [line.encode("ascii") for line in format_observation(SEEN)]
    assert parse_observation(values) == SEEN


def test_names_and_texts_are_made_to_fit() -> None:
    block = Block(Certainty.MAYBE, "input", "ip", "a table", "\x1b[31m", "é" * 9000)
    (found,) = parse_observation([write(Observation(blocks={A: [block]}))]).blocks[A]
    assert found.table == "a_table"
    assert found.chain == "?[31m"
    assert set(found.rule) == {"?"}


MALFORMED = [
    b"",
    b"nonsense",
    b"entry",
    b"entry 0000000a",
    b"entry 0000000A 1 2",
    b"entry 0000000a -1 2",
    b"entry 0000000a 1",
    b"entry 0000000a 1 99999999999999999999",
    b"entry  0000000a 1 2",
    b"listen 0000000a 0.0.0.0 0",
    b"listen 0000000a 0.0.0.0 80-81",
    b"listen 0000000a somewhere 80",
    b"listen 0000000a fe80::1%eth0 80",
    b"block 0000000a perhaps forward ip t c drop",
    b"block 0000000a surely forward ip t c",
    b"entry 0000000a 1 2\0",
    b"entry 0000000a 1 2\r",
    b"problem \x1b]0;pwned\x07",
    b"problem caf\xc3\xa9",
    b"problem " + b"x" * LONGEST_LINE,
]


@pytest.mark.parametrize("value", MALFORMED)
def test_malformed_lines_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidRule):
        parse_observation([b"entry 0000000a 1 2", value])


def test_sizes_are_bounded() -> None:
    line = b"entry 0000000a 1 2"
    parse_observation([line] * MOST_VALUES)
    with pytest.raises(InvalidRule):
        parse_observation([line] * (MOST_VALUES + 1))
    with pytest.raises(InvalidRule):
        parse_observation([b"\n".join([line] * (LONGEST_VALUE // len(line) + 1))])


@given(st.lists(st.binary(max_size=200) | st.sampled_from(MALFORMED), max_size=5))
@example([b"block 0000000a surely a b c d \x00"])
def test_whatever_a_qube_writes_is_read_or_refused(values: list[bytes]) -> None:
    with suppress(InvalidRule):
        seen = parse_observation(values)
        assert all(32 <= ord(c) < 127 for c in seen.problem)


words = st.text(st.characters(codec="utf-8"), max_size=50)


@given(
    st.builds(Block, st.sampled_from(Certainty), words, words, words, words, words),
    words,
)
def test_whatever_an_agent_sees_can_be_read(block: Block, problem: str) -> None:
    seen = Observation({A: Traffic()}, {}, {A: [block]}, problem)
    assert len(parse_observation([write(seen)]).blocks[A]) == 1
