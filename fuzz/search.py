# SPDX-License-Identifier: GPL-2.0-or-later
"""The search that needs nothing but Python: seeded, and the same at every run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from fuzz.mutation import Mutator
from fuzz.target import Target, check

_MOST_KEPT = 2000


@dataclass
class Progress:
    """How far a search has come: inputs tried, and kinds of outcome seen."""

    inputs: int = 0
    kinds: int = 0


def search(target: Target, seed: int, is_over: Callable[[Progress], bool]) -> Progress:
    """Try inputs until `is_over` says so. Raises Finding.

    Inputs whose outcome is of a kind not seen before are gone on from.
    """
    mutator = Mutator(Random(f"{target.name} {seed}"), target.words)
    pool = target.corpus()
    seen = {check(target, data) for data in pool}
    progress = Progress(len(pool), len(seen))
    while not is_over(progress):
        data = mutator.mutate(pool)
        kind = check(target, data)
        progress.inputs += 1
        if kind not in seen and len(pool) < _MOST_KEPT:
            seen.add(kind)
            pool.append(data)
            progress.kinds = len(seen)
    return progress
