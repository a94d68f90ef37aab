# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes to inputs, drawn by lot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

LONGEST_INPUT = 70_000
"""Bytes: a little more than the largest message of any wire of ours."""

_NUMBERS = (0, 1, 3, 4, 127, 128, 255, 256, 3072, 3073, 0x7FFF, 0x8000, 0xFFFF)
_LONG_NUMBERS = (*_NUMBERS, 0x10000, 2**31 - 1, 2**31, 2**32 - 1)
_DIGITS = (b"0", b"-1", b"65535", b"65536", b"9" * 19, b"9" * 5000, b"\xb2", b"1e9")
_BYTES = (b"\0", b"\n", b" ", b"\xff", b"\x80", b"=", b"/", b"%s", b"\xed\xa0\x80")

_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")

_Change = Callable[[bytes], bytes]


class Mutator:
    """Makes inputs out of others. `words` are what the format is made of."""

    def __init__(self, lots: Random, words: Sequence[bytes]) -> None:
        self._lots = lots
        self._words = (*words, *_BYTES)
        self._changes: tuple[_Change, ...] = (
            self._flip,
            self._insert,
            self._insert_word,
            self._insert_word,
            self._overwrite_number,
            self._replace_digits,
            self._remove,
            self._repeat,
            self._truncate,
        )

    def mutate(self, pool: Sequence[bytes]) -> bytes:
        """Return an input made from one or two of the pool."""
        lots = self._lots
        data = lots.choice(pool)
        if lots.random() < 0.1:
            other = lots.choice(pool)
            data = data[: self._place(data)] + other[self._place(other) :]
        for _ in range(lots.choice((1, 1, 1, 2, 3, 8))):
            data = lots.choice(self._changes)(data)
        return data[:LONGEST_INPUT]

    def _place(self, data: bytes) -> int:
        return self._lots.randint(0, len(data))

    def _slice(self, data: bytes) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self._lots.choice((1, 2, 4, 16, 80)))

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        changed = bytearray(data)
        changed[self._lots.randrange(len(data))] ^= 1 << self._lots.randrange(8)
        return bytes(changed)

    def _insert(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + self._lots.randbytes(self._lots.randint(1, 8)) + data[at:]

    def _insert_word(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        if self._lots.random() < 0.5:
            end = start
        return data[:start] + self._lots.choice(self._words) + data[end:]

    def _overwrite_number(self, data: bytes) -> bytes:
        size = self._lots.choice((1, 2, 4))
        number = self._lots.choice(_LONG_NUMBERS if size == 4 else _NUMBERS)
        number &= 2 ** (8 * size) - 1
        at = self._place(data)
        order = self._lots.choice(_ORDERS)
        return data[:at] + number.to_bytes(size, order) + data[at + size :]

    def _replace_digits(self, data: bytes) -> bytes:
        places = [at for at, byte in enumerate(data[:4096]) if 48 <= byte <= 57]
        if not places:
            return data
        at = self._lots.choice(places)
        return data[:at] + self._lots.choice(_DIGITS) + data[at + 1 :]

    def _remove(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        times = self._lots.choice((2, 2, 3, 10, 300, 20_000))
        part = (data[start:end] * times)[:LONGEST_INPUT]
        return data[:start] + part + data[end:]

    def _truncate(self, data: bytes) -> bytes:
        return data[: self._place(data)]
