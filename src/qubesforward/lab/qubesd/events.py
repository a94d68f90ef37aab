# SPDX-License-Identifier: GPL-2.0-or-later
"""Telling everybody who listens what has happened, under stock's event names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from qubesforward.lab.qubesd.state import DOM0
from qubesforward.qubes.admin_server import Call
from qubesforward.qubes.admin_wire import Event

_MAX_WAITING = 1000
"""Events that one listener may be behind before it is dropped."""


class Listener:
    """One connection that follows events; `only` names the qube it asked about."""

    def __init__(self, only: str) -> None:
        self._only = only
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(_MAX_WAITING)
        self.fell_behind = False

    def offer(self, event: Event) -> None:
        """Queue an event, if it is about what this listener asked for."""
        if self._only not in (DOM0, event.subject):
            return
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            # It must not believe that it saw everything, so its connection ends.
            self.fell_behind = True

    async def next_event(self) -> Event:
        """Wait for the next event."""
        return await self._waiting.get()


class EventHub:
    """Passes events from whoever makes them to all listeners, in order."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    def emit(self, subject: str, name: str, /, **kwargs: str) -> None:
        """Tell of an event; an empty subject stands for the computer as a whole."""
        event = Event(subject, name, kwargs)
        for listener in self._listeners:
            listener.offer(event)

    async def subscribe(self, call: Call) -> AsyncIterator[Event]:
        """Follow events about the destination of `call`; dom0 means all of them."""
        listener = Listener(call.dest)
        self._listeners.add(listener)
        try:
            yield Event("", "connection-established", {})
            while not listener.fell_behind:
                yield await listener.next_event()
        finally:
            self._listeners.discard(listener)


def event_value(text: str, kind: str) -> str:
    """Return a value as events tell it: stock prints a missing qube as None."""
    return "None" if kind == "vm" and not text else text
