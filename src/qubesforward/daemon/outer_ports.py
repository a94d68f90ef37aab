# SPDX-License-Identifier: GPL-2.0-or-later
"""Which outer port a program gets: one that nobody has, or had a moment ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from qubesforward.model.entry import NEWS_PORT, PORTMAP_PORT
from qubesforward.model.ports import LAST_PORT, PortRange
from qubesforward.model.rule import ForwardType, Origin, Proto
from qubesforward.plan.planner import Outcome, Verdict

_TRIES = 64
"""Ports tried at random: with half of all taken, not to find one is beyond chance."""

_HOLDS = frozenset((Verdict.READY, Verdict.HALTED))

_RESTS_FOR = 120.0
"""Seconds for which a port that was let go is given to nobody else: what is still on
its way to who had it must not reach another (RFC 6887, 15)."""

PROTOCOLS_OWN = frozenset(((Proto.UDP, NEWS_PORT), (Proto.UDP, PORTMAP_PORT)))
"""What is never mapped for a client: RFC 6887, 11.3."""

_COMPANIONS = {Proto.TCP: Proto.UDP, Proto.UDP: Proto.TCP}

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


class Outers:
    """Who has which outer port, of whatever hop, and who had it a moment ago.

    Owners are told apart by a text each, their own ports by the inner ones. `now` gives
    seconds, of whatever clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._owners: dict[tuple[Proto, int], list[str]] = {}
        self._resting: OrderedDict[tuple[Proto, int], tuple[float, str, int]] = (
            OrderedDict()
        )

    def take(self, owner: str, proto: Proto, outer: int) -> None:
        """Note that somebody has a port; blocks of two qubes can have the same."""
        self._owners.setdefault((proto, outer), []).append(owner)

    def let_go(self, owner: str, proto: Proto, outer: int, inner: int) -> None:
        """Note that he has it no more; only he gets it again within two minutes."""
        owners = self._owners[proto, outer]
        owners.remove(owner)
        if not owners:
            del self._owners[proto, outer]
        self._wake_rested()
        self._resting.pop((proto, outer), None)
        self._resting[proto, outer] = self._now() + _RESTS_FOR, owner, inner

    def is_free_for(self, owner: str, proto: Proto, outer: int, inner: int) -> bool:
        """Whether somebody may have a port for an inner one.

        Not if another has it with the other protocol: it is kept for him, who may want
        both (RFC 6886, 3.3).
        """
        if (proto, outer) in PROTOCOLS_OWN or (proto, outer) in self._owners:
            return False
        if any(
            each != owner for each in self._owners.get(_companion(proto, outer), ())
        ):
            return False
        self._wake_rested()
        _end, *who = self._resting.get((proto, outer), (0.0, owner, inner))
        return who == [owner, inner]

    def _wake_rested(self) -> None:
        now = self._now()
        while self._resting:
            end, _owner, _inner = next(iter(self._resting.values()))
            # A clock that was set back must not keep them for longer.
            if now < end <= now + _RESTS_FOR:
                break
            self._resting.popitem(last=False)


def _companion(proto: Proto, outer: int) -> tuple[Proto, int]:
    return _COMPANIONS[proto], outer


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
