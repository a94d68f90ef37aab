# SPDX-License-Identifier: GPL-2.0-or-later
"""What planning costs, by the numbers of qubes and of forwards."""

from __future__ import annotations

import time
from functools import partial

from bench.apart import read_status, run_apart
from bench.computer import make_forwards, make_qubes, make_rule, name_of
from bench.figures import Sheet
from bench.scale import Scale
from qubesforward.daemon.garbage import collect_seldom
from qubesforward.plan.planner import Forwards
from qubesforward.plan.replanner import Replanner

QUBES = (10, 100, 1_000, 5_000)
FORWARDS = (10, 100, 1_000, 10_000, 100_000)
_QUBES, _FORWARDS = 1_000, 10_000
"""What the targets are for; one varies while the other stays."""

_NEXT = 50_000
"""The number of the forward that is added: one with a port of its own."""

BY_FORWARDS = "by forwards, for 1,000 qubes"
BY_QUBES = "by qubes, with 10,000 forwards"


def measure(scale: Scale, sheet: Sheet) -> None:
    """Plan anew, and after one change, in processes of their own."""
    runs = [(BY_FORWARDS, _QUBES, n, n) for n in scale.pick(FORWARDS, (2, 20))]
    runs += [(BY_QUBES, n, _FORWARDS, n) for n in scale.pick(QUBES, (2, 20))]
    for side, qubes, forwards, size in runs:
        if scale.tiny:
            qubes, forwards = min(qubes, 20), min(forwards, 20)
        rounds = scale.pick(5 if forwards > 10_000 else 9, 1)
        told = run_apart(partial(_plan, qubes, forwards, rounds))
        sheet.note_all("plan of everything", side, told["plan"], "ms", size)
        sheet.note_all("one more forward", side, told["more"], "ms", size)
        sheet.note_all("one forward less", side, told["less"], "ms", size)
        sheet.note_all("memory of plan and rules", side, told["memory"], "MB", size)


def _plan(qubes: int, forwards: int, rounds: int) -> dict[str, list[float]]:
    collect_seldom()
    empty = read_status("self", "VmRSS")
    snapshot = make_qubes(qubes)
    rules = make_forwards(qubes, forwards)
    found: dict[str, list[float]] = {"plan": [], "more": [], "less": []}
    for _ in range(rounds):
        replanner = Replanner()
        began = time.perf_counter()
        plan = replanner.plan(rules, snapshot, 0.0, "boot")
        found["plan"].append(_since(began))
        # What it takes to let go of an old plan is not part of the next.
        del replanner, plan
    replanner = Replanner()
    replanner.plan(rules, snapshot, 0.0, "boot")
    name = name_of(0)
    listed = rules.get(name, Forwards(()))
    more = {**rules, name: Forwards((*listed.rules, make_rule(max(forwards, _NEXT))))}
    for _ in range(4 * rounds):
        began = time.perf_counter()
        replanner.plan(more, snapshot, 0.0, "boot")
        found["more"].append(_since(began))
        began = time.perf_counter()
        replanner.plan(rules, snapshot, 0.0, "boot")
        found["less"].append(_since(began))
    return {**found, "memory": [(read_status("self", "VmRSS") - empty) / 1024]}


def _since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
