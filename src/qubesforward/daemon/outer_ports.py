# SPDX-License-Identifier: GPL-2.0-or-later
"""Which outer port a program gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from qubesforward.model.ports import LAST_PORT, PortRange
from qubesforward.model.rule import ForwardType, Origin, Proto
from qubesforward.plan.planner import Outcome, Verdict

_TRIES = 64
"""Ports tried at random: with half of all taken, not to find one is beyond chance."""

_HOLDS = frozenset((Verdict.READY, Verdict.HALTED))

Taken = dict[Proto, bytearray]
"""By protocol, for each port whether it is taken: one look, however many forwards."""


def collect_taken(outcomes: Iterable[Outcome]) -> Taken:
    """Return the outer ports that forwards of the user's have, of whatever hop."""
    taken: Taken = {}
    for outcome in outcomes:
        rule = outcome.asked.rule
        is_users = rule.origin is Origin.USER
        is_external = rule.forwardtype is ForwardType.EXTERNAL
        if is_users and is_external and outcome.verdict in _HOLDS:
            for proto in rule.protos:
                ports = taken.setdefault(proto, bytearray(LAST_PORT + 1))
                first, last = rule.srcports.first, rule.srcports.last
                ports[first : last + 1] = b"\1" * len(rule.srcports)
    return taken


def choose_outer(
    wished: int,
    inner: int,
    allowed: PortRange,
    is_free: Callable[[int], bool],
    draw: Callable[[int], int],
    *,
    exact: bool,
) -> int | None:
    """Return a free outer port: the wished one, the inner one, or any; None for none.

    `draw(n)` is a random number below `n`. With `exact` it is the wished one or none.
    """
    for port in _candidates(wished, inner, allowed, draw, exact=exact):
        if port in allowed and is_free(port):
            return port
    return None


def _candidates(
    wished: int,
    inner: int,
    allowed: PortRange,
    draw: Callable[[int], int],
    *,
    exact: bool,
) -> Iterator[int]:
    if wished:
        yield wished
    if exact:
        return
    yield inner
    for _ in range(_TRIES):
        yield allowed.first + draw(len(allowed))
