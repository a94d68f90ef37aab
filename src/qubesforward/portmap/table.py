# SPDX-License-Identifier: GPL-2.0-or-later
"""The mappings of one client, under all protocols that it speaks.

The table decides nothing about who may have what: it asks (`Asked`), somebody answers
(`grant`, `deny`), and the servers of the protocols are told (`Settled`) to ask the
table again. It knows what was said, so that a program that asks by three protocols at
once causes one question, and one that asks again and again causes none.

| state | ask | grant | deny | withdraw | last holder gone |
|---|---|---|---|---|---|
| none | → asked | | | | |
| asked | stays | → held | → denied | → none | → none |
| held | stays, or → renewing | | | → none | → none |
| renewing | stays | → held | → held | → none | → none |
| denied | stays for a while, then as none | | | → none | |

While a question is open it stays what it was when it was put: a wish for other sources
does not slip into it, but is asked for when the answer has come. So a mapping is never
open to others than those of whom somebody said yes.
"""

from __future__ import annotations

from dataclasses import dataclass

from qubesforward.portmap.mapping import (
    Granted,
    Holder,
    Key,
    Network,
    Pending,
    Reason,
    Refused,
    Reply,
    Transport,
    Via,
    Wish,
)
from qubesforward.portmap.record import Lease, Record, State

QUOTA_RETRY = 30
"""Seconds that a client is told to wait: the errors that RFC 6887 (7.4) calls short
lived get 30 seconds."""

_NEVER = float("inf")

_SETTLED_FOR = 1.0
"""Seconds for which an answer is not asked for again: a lifetime may have been cut, and
whoever wants more of it would ask for ever."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one client may have: mappings, and questions not answered yet."""

    mappings: int = 1024
    pending: int = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody must decide: the wish, and `sources` that all holders together want.

    `renews`: it is there already and is to be longer, or for others.
    """

    wish: Wish
    sources: frozenset[Network]
    renews: bool


@dataclass(frozen=True, slots=True)
class Released:
    """Nobody wants this mapping, or the question for it, any more."""

    key: Key


@dataclass(frozen=True, slots=True)
class Settled:
    """An answer came: whoever waits for this key may ask again now."""

    key: Key


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A mapping ended before its time; its holders may be told."""

    key: Key
    outer: int
    holders: tuple[Holder, ...]


Event = Asked | Released | Settled | Withdrawn


class Table:
    """All mappings of one client; `take_events` gives what others must do."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._records: dict[Key, Record] = {}
        self._outers: dict[tuple[Transport, int], Key] = {}
        self._held_by: dict[tuple[Transport, Holder], dict[Key, None]] = {}
        self._events: list[Event] = []
        self._pending = 0
        self._next_end = _NEVER

    def take_events(self) -> list[Event]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def ask(self, wish: Wish, now: float) -> Reply:
        """Answer a wish as things are now."""
        record = self._records.get(wish.key)
        if record is not None and record.state is State.DENIED:
            if now < record.end and record.bars(wish):
                return Refused(record.reason, _whole(record.end - now))
            self._drop(wish.key)
            record = None
        if record is None:
            return self._ask_anew(wish)
        if self._is_of_another(record, wish.holder):
            return Refused(Reason.NOT_YOURS, self.time_left(wish.key, now))
        if record.is_open and wish.exact and wish.outer != record.outer:
            return Refused(Reason.CONFLICT, QUOTA_RETRY)
        if record.state is State.HELD:
            return self._ask_held(record, wish, now)
        if record.sources_with(wish) == record.asked:
            self._hold(record, wish)
        return Pending()

    def _ask_anew(self, wish: Wish) -> Reply:
        owner = self._outers.get((wish.key.transport, wish.outer))
        if wish.exact and owner is not None:
            return Refused(Reason.CONFLICT, QUOTA_RETRY)
        is_full = len(self._records) >= self.limits.mappings
        if is_full or self._pending >= self.limits.pending:
            return Refused(Reason.QUOTA, QUOTA_RETRY)
        record = Record(State.ASKED, asked=wish.sources, asked_for=wish.lifetime)
        self._records[wish.key] = record
        self._hold(record, wish)
        self._pending += 1
        self._events.append(Asked(wish, wish.sources, renews=False))
        return Pending()

    def _is_of_another(self, record: Record, holder: Holder) -> bool:
        if record.is_static or holder.via is not Via.PCP:
            return False
        return any(other.via is Via.PCP and other != holder for other in record.leases)

    def _ask_held(self, record: Record, wish: Wish, now: float) -> Reply:
        end = now + wish.lifetime
        sources = record.sources_with(wish)
        is_for_others = sources != record.sources
        if is_for_others and now < record.barred:
            return Refused(record.reason, _whole(record.barred - now))
        # Whoever asked for a minute and now for an hour gets it at once; whoever asks
        # again for what was cut, or for a little more each time, does not.
        is_repeated = wish.lifetime < 2 * record.asked_for
        is_tired = is_repeated and now - record.settled < _SETTLED_FOR
        is_tired |= now < record.barred
        if is_for_others or (end > record.end + 1 and not is_tired):
            record.state, record.asked = State.RENEWING, sources
            record.asked_for = wish.lifetime
            self._hold(record, wish)
            self._pending += 1
            self._events.append(Asked(wish, sources, renews=True))
            return Pending()
        lease = self._hold(record, wish)
        lease.granted, lease.end = wish, min(end, record.end)
        self._note_end(lease.end)
        return Granted(record.outer, _whole(lease.end - now))

    def _hold(self, record: Record, wish: Wish) -> Lease:
        lease = record.leases.get(wish.holder)
        if lease is None:
            lease = record.leases[wish.holder] = Lease(wish)
            held = self._held_by.setdefault((wish.key.transport, wish.holder), {})
            held[wish.key] = None
        lease.wish = wish
        return lease

    def _let_go(self, key: Key, record: Record, holder: Holder) -> None:
        if record.leases.pop(holder, None) is None:
            return
        held = self._held_by[key.transport, holder]
        del held[key]
        if not held:
            del self._held_by[key.transport, holder]

    def grant(
        self,
        key: Key,
        outer: int,
        lifetime: int,
        now: float,
        *,
        is_static: bool = False,
    ) -> None:
        """Take in that a mapping is there, as it was asked for.

        One that nobody wants is released.
        """
        record = self._records.get(key)
        if record is None or record.state is State.DENIED:
            self._events.append(Released(key))
            return
        was_asked = record.state is not State.HELD
        if was_asked:
            record.sources = record.asked
            # Whoever came while it was asked has this answer too.
            wanted = (lease.wish.lifetime for lease in record.leases.values())
            record.asked_for = max(wanted, default=0)
        self._settle(key, record, now)
        self._forget_outer(key, record)
        record.state, record.outer, record.end = State.HELD, outer, now + lifetime
        record.barred, record.is_static = float("-inf"), is_static
        self._outers[key.transport, outer] = key
        for lease in record.leases.values():
            # Said unasked, it makes nobody's lease longer: he may be gone.
            end = now + lease.wish.lifetime if was_asked else lease.end
            lease.granted = lease.wish
            lease.end = min(end, record.end)
            self._note_end(lease.end)

    def deny(self, key: Key, reason: Reason, retry: int, now: float) -> None:
        """Take in that there will be no mapping, or no other one than there is."""
        record = self._records.get(key)
        if record is None or record.state in (State.DENIED, State.HELD):
            return
        self._settle(key, record, now)
        # Whoever waits asks again at once; that must not become a question again.
        end = now + max(retry, _SETTLED_FOR)
        record.reason = reason
        if record.is_open:
            record.state, record.barred = State.HELD, end
            self._take_back(key, record)
            # Ends that came while somebody was asked were passed over.
            self._note_end(*record.ends)
            return
        wish = next(iter(record.leases.values())).wish
        if reason is Reason.CONFLICT and wish.exact:
            record.outer = wish.outer
        record.state, record.end = State.DENIED, end
        self._note_end(end)
        for holder in list(record.leases):
            self._let_go(key, record, holder)

    def _take_back(self, key: Key, record: Record) -> None:
        """Undo the wishes that were denied: what is held stays as it was."""
        for holder, lease in list(record.leases.items()):
            if lease.granted is None:
                self._let_go(key, record, holder)
            else:
                lease.wish = lease.granted
        if not record.leases:
            self._drop(key)
            self._events.append(Released(key))

    def _settle(self, key: Key, record: Record, now: float) -> None:
        if record.state in (State.ASKED, State.RENEWING):
            self._pending -= 1
        record.settled = now
        self._events.append(Settled(key))

    def withdraw(self, key: Key) -> None:
        """Take in that a mapping has ended, or that a denial is taken back."""
        record = self._records.get(key)
        if record is None:
            return
        holders = tuple(record.leases)
        self._drop(key)
        if record.is_open:
            self._events.append(Withdrawn(key, record.outer, holders))
        if record.state in (State.ASKED, State.RENEWING):
            self._events.append(Settled(key))

    def release(self, key: Key, holder: Holder) -> bool:
        """Let a holder go; what nobody holds any more ends. False: it is not his.

        What is not there is released already. A static one is nobody's: it stays known
        as long as somebody asked for it.
        """
        record = self._records.get(key)
        if record is None:
            return True
        if record.is_static or self._is_of_another(record, holder):
            return False
        self._end_lease(key, record, holder)
        return True

    def _end_lease(self, key: Key, record: Record, holder: Holder) -> None:
        self._let_go(key, record, holder)
        if not record.leases and record.state is not State.DENIED:
            self._drop(key)
            self._events.append(Released(key))

    def release_all(self, transport: Transport, holder: Holder) -> bool:
        """Let a holder go of all that it has of a protocol. False: some is not its."""
        held = list(self._held_by.get((transport, holder), ()))
        return all([self.release(key, holder) for key in held])

    def restore(
        self,
        key: Key,
        outer: int,
        lifetime: int,
        holders: list[Holder],
        now: float,
        sources: frozenset[Network] = frozenset(),
    ) -> None:
        """Take in a mapping from before this table was there, open to `sources`."""
        if key in self._records:
            return
        record = Record(State.HELD, outer=outer, end=now + lifetime, sources=sources)
        self._records[key] = record
        self._outers[key.transport, outer] = key
        for holder in holders:
            wish = Wish(key, holder, outer, lifetime, sources=sources)
            lease = self._hold(record, wish)
            lease.granted, lease.end = wish, record.end
            self._note_end(lease.end)

    def expire(self, now: float) -> None:
        """Let go of leases, and of answers, that have ended."""
        for key, record in list(self._records.items()):
            if record.state is State.DENIED:
                if record.end <= now:
                    self._drop(key)
            elif record.state is State.HELD:
                for holder, lease in list(record.leases.items()):
                    if lease.end <= now:
                        self._end_lease(key, record, holder)
        ends = (end for record in self._records.values() for end in record.ends)
        self._next_end = min(ends, default=_NEVER)

    def _note_end(self, *ends: float) -> None:
        self._next_end = min((self._next_end, *ends))

    def find_next_end(self) -> float | None:
        """Return when to call `expire` next, None for never.

        It may have nothing to do then: what would have ended was renewed, or is gone.
        """
        return None if self._next_end == _NEVER else self._next_end

    def time_left(self, key: Key, now: float) -> int:
        """Return for how many seconds a key is another holder's: RFC 6887, 11.3."""
        record = self._records.get(key)
        if record is None or not record.is_open:
            return QUOTA_RETRY
        return _whole(record.end - now)

    def find_outer(self, transport: Transport, outer: int) -> Key | None:
        """Return whose outer port this is among the client's own."""
        return self._outers.get((transport, outer))

    def list_open(self) -> list[tuple[Key, Record]]:
        """Return the mappings that are there, in the order in which they were asked."""
        return [(key, each) for key, each in self._records.items() if each.is_open]

    def find(self, key: Key) -> Record | None:
        """Return what is known of a key."""
        return self._records.get(key)

    def ask_again(self) -> None:
        """Put all open questions again: whoever was asked has forgotten them."""
        for record in self._records.values():
            if record.state in (State.ASKED, State.RENEWING):
                wish = next(iter(record.leases.values())).wish
                renews = record.state is State.RENEWING
                record.asked = record.wanted_sources
                self._events.append(Asked(wish, record.asked, renews))

    def _drop(self, key: Key) -> None:
        record = self._records.pop(key, None)
        if record is None:
            return
        self._forget_outer(key, record)
        for holder in list(record.leases):
            self._let_go(key, record, holder)
        if record.state in (State.ASKED, State.RENEWING):
            self._pending -= 1

    def _forget_outer(self, key: Key, record: Record) -> None:
        if self._outers.get((key.transport, record.outer)) == key:
            del self._outers[key.transport, record.outer]


def _whole(seconds: float) -> int:
    """Round to seconds as a client is told them: up, and at least one."""
    return max(1, int(seconds + 0.999))
