# SPDX-License-Identifier: GPL-2.0-or-later
"""What is fuzzed: a decoder, the errors that it may raise, and where to begin."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
"""A directory for each target that ever failed, with the inputs that it failed at."""

LONGEST_SECONDS = 2.0
"""Of this process' time for one input; usual are microseconds."""


@dataclass(frozen=True)
class Target:
    """One decoder.

    `decode` takes any bytes, checks what the decoder promises, and raises nothing but
    `errors`. What it returns tells inputs apart that are worth going on from: a short
    text about the shape of the result. `seeds` are inputs to begin with, `words` what
    the format is made of.
    """

    name: str
    decode: Callable[[bytes], str]
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()

    def corpus(self) -> list[bytes]:
        """Return the seeds, and every input that once was a finding."""
        kept = sorted((CORPUS / self.name).glob("*"))
        return [*self.seeds, *(path.read_bytes() for path in kept)]


class Finding(Exception):
    """An input that a decoder cannot take: the bug that this all is for."""

    def __init__(self, target: Target, data: bytes, why: str) -> None:
        super().__init__(f"{target.name}: {why}")
        self.data = data


def check(target: Target, data: bytes) -> str:
    """Decode one input; return the shape of what came out. Raises Finding."""
    began = time.process_time()
    try:
        shape = target.decode(data)
    except target.errors as error:
        shape = _describe_refusal(error)
    except Exception as error:
        raise Finding(
            target, data, f"{type(error).__name__}: {error!s:.200}"
        ) from error
    taken = time.process_time() - began
    if taken > LONGEST_SECONDS:
        raise Finding(target, data, f"{len(data)} bytes took {taken:.1f} s")
    return shape


def _describe_refusal(error: Exception) -> str:
    """Tell where an input was refused: the lines of the code stand for coverage."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        lines.append(str(trace.tb_lineno))
        trace = trace.tb_next
    return " ".join([type(error).__name__, *lines])
