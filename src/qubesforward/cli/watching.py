# SPDX-License-Identifier: GPL-2.0-or-later
"""Showing what programs ask for as they ask for it."""

from __future__ import annotations

import sys
from time import sleep, time

from qubesforward.cli.console import Console
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.cli.request import Request, decode_requests, format_port
from qubesforward.cli.requests import format_request, read_reaches
from qubesforward.errors import AdminError, MalformedMessage, Unavailable

_ASKED = ("connection-established", "portmap-requested")
_ANSWERED = "portmap-answered"

_GATHER = 0.3
"""Seconds. Programs ask for TCP and UDP, by several protocols, one after the other;
that is one question, and is shown once."""

_PAUSE = 0.5
"""Seconds between attempts to find qubes-forwardd again."""


class Watch:
    """Shows the requests of a qube (empty: of all) until the user has enough."""

    def __init__(self, console: Console, firewall: Firewall, qube: str) -> None:
        self._console = console
        self._firewall = firewall
        self._qube = qube
        self._shown: dict[str, Request] = {}

    def run(self) -> None:
        """Show what is open and what comes; returns never.

        Raises what `Firewall` raises if qubes-forwardd cannot be reached at first.
        Later it is waited for.
        """
        has_begun = False
        while True:
            try:
                for event in self._firewall.events():
                    if event.name in _ASKED and has_begun:
                        sleep(_GATHER)
                    if event.name in (*_ASKED, _ANSWERED):
                        self._show_changes(is_first=not has_begun)
                        has_begun = True
            except (Unavailable, AdminError, MalformedMessage):
                if not has_begun:
                    raise
            if not has_begun:
                raise Unavailable("qubes-forwardd does not tell its events")
            sleep(_PAUSE)

    def _show_changes(self, *, is_first: bool) -> None:
        data = self._firewall.requests(self._qube or COMPUTER)
        found = {each.id: each for each in decode_requests(data)}
        gone = [each for each in self._shown.values() if each.id not in found]
        # Its time does not change; what is asked for beside it may.
        new = [each for each in found.values() if self._shown.get(each.id) != each]
        if gone or new or is_first:
            self._console.answer(data)
        for each in gone:
            self._console.say(
                f"{each.id}: no longer open (port {format_port(each)} of {each.qube})."
            )
        if is_first and not found:
            self._console.say("No program asks for a port; waiting (Ctrl-C ends this).")
        self._show(new)
        self._shown = found
        sys.stdout.flush()

    def _show(self, requests: list[Request]) -> None:
        if requests and not self._console.json:
            reaches = read_reaches(self._firewall, requests)
            now = int(time())
            for each in requests:
                told = format_request(each, reaches, now, self._console.screen)
                self._console.show(told)
