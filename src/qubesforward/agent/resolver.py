# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of host names, looked up in threads of their own.

Nobody waits here: `Resolver.addresses` answers at once with what is known, and
`on_answer` tells when that has changed.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread

from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import Address, parse_address

Lookup = Callable[[str], list[str]]
"""From a name to addresses as text; raises OSError or UnicodeError if it has none."""

MOST_ADDRESSES = 256
"""What is kept of one name: a hostile zone must not fill the kernel's sets."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things take, in seconds.

    `refresh` lies between two lookups of a name; `retry` follows the first failure
    and doubles with each; `keep` is how long an address counts after the last
    answer that held it. Big services answer with a few of many addresses, other
    ones each time, and the qube may have got those that we got a while ago.
    """

    refresh: float = 300.0
    retry: float = 5.0
    keep: float = 3600.0


@dataclass(slots=True)
class _Name:
    seen: dict[Address, float] = field(default_factory=dict)
    asked: bool = False
    failures: int = 0
    timer: asyncio.TimerHandle | None = None


def look_up(name: str) -> list[str]:
    """Ask the system's resolver for the addresses of both families."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Resolver:
    """Keeps the addresses of the wanted names current; made inside a running loop.

    `on_answer(name)` is called in the loop whenever the addresses of a wanted name
    have changed. At most `workers` names are looked up at the same time.
    """

    def __init__(
        self,
        on_answer: Callable[[str], None],
        lookup: Lookup = look_up,
        patience: Patience | None = None,
        workers: int = 8,
    ) -> None:
        self._on_answer = on_answer
        self._lookup = lookup
        self._patience = patience or Patience()
        self._workers = workers
        self._names: dict[str, _Name] = {}
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._loop = asyncio.get_running_loop()

    def addresses(self, name: str) -> frozenset[Address]:
        """Return what is known now of a name; empty while nothing is."""
        known = self._names.get(name)
        return frozenset(known.seen) if known else frozenset()

    def want(self, names: Iterable[str]) -> None:
        """Keep exactly these names current; the others are forgotten."""
        wanted = frozenset(names)
        for name in self._names.keys() - wanted:
            _cancel(self._names.pop(name))
        for name in wanted - self._names.keys():
            self._names[name] = _Name()
            self._ask(name)

    def refresh(self, names: Iterable[str]) -> None:
        """Look wanted names up again now, whatever is known of them."""
        for name in names:
            self._ask(name)

    def close(self) -> None:
        """Forget all names and let the threads end; does not wait for them."""
        self.want(())
        for _ in self._threads:
            self._queue.put(None)

    def _ask(self, name: str) -> None:
        known = self._names.get(name)
        if known is None or known.asked:
            return
        _cancel(known)
        known.asked = True
        self._queue.put(name)
        if len(self._threads) < self._workers:
            self._start_worker()

    def _start_worker(self) -> None:
        # The C library waits for up to half a minute by default, and nothing can
        # interrupt it: a few dead names would hold all workers. It reads this
        # variable anew in every thread.
        os.environ.setdefault("RES_OPTIONS", "timeout:2 attempts:2")
        # Daemon threads, unlike those of an executor, are not waited for at exit.
        thread = Thread(target=self._work, name="resolver", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (name := self._queue.get()) is not None:
            untrusted_answer: list[str] | None
            try:
                untrusted_answer = self._lookup(name)
            except (OSError, UnicodeError):
                untrusted_answer = None
            try:
                self._loop.call_soon_threadsafe(self._take, name, untrusted_answer)
            except RuntimeError:  # the loop is closed: nobody asks any more
                return

    def _take(self, name: str, untrusted_answer: list[str] | None) -> None:
        known = self._names.get(name)
        if known is None:
            return
        known.asked = False
        before = frozenset(known.seen)
        if untrusted_answer is None:
            # A DNS server that is away does not take known addresses with it.
            known.failures += 1
            wait = self._patience.retry * 2.0 ** min(known.failures - 1, 10)
        else:
            known.failures = 0
            wait = self._patience.refresh
            self._note(known, untrusted_answer)
        wait = min(wait, self._patience.refresh)
        _cancel(known)
        known.timer = self._loop.call_later(wait, self._ask, name)
        if frozenset(known.seen) != before:
            self._on_answer(name)

    def _note(self, known: _Name, untrusted_answer: list[str]) -> None:
        now = self._loop.time()
        current = _parse_answer(untrusted_answer)
        late = [
            (address, when)
            for address, when in known.seen.items()
            if now - when < self._patience.keep and address not in current
        ]
        late.sort(key=lambda item: item[1], reverse=True)
        kept = [*((address, now) for address in current), *late][:MOST_ADDRESSES]
        known.seen = dict(kept)


def _parse_answer(untrusted_answer: list[str]) -> dict[Address, None]:
    """Keep the order and drop what is no plain address (a scope id, for one)."""
    addresses: dict[Address, None] = {}
    for untrusted_address in untrusted_answer[:MOST_ADDRESSES]:
        try:
            addresses[parse_address(untrusted_address)] = None
        except InvalidRule:
            continue
    return addresses


def _cancel(known: _Name) -> None:
    if known.timer is not None:
        known.timer.cancel()
        known.timer = None
