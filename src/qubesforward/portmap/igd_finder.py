# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the service of the LAN's router that maps ports.

| stage | begin | an answer | described | checked | no answer, nothing of use | time |
|---|---|---|---|---|---|---|
| idle | → searching | | | | | |
| searching | | → describing | | | | searches again, then → resting |
| describing | | one more place | → checking | | next place, or → resting | |
| checking | | | | → ready | next connection, or → ready | |
| ready | → searching | | | | | |
| resting | | | | | | → searching |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from qubesforward.portmap.http_client import Answer, Url, render_get, render_post
from qubesforward.portmap.igd_discovery import (
    WAIT,
    Connection,
    parse_description,
    parse_found,
    render_searches,
)
from qubesforward.portmap.soap import Fault, MalformedSoap, parse_answer, render_call

MAX_DESCRIPTION = 64 * 1024
MAX_ANSWER = 16 * 1024
MAX_PLACES = 4
"""Descriptions that one router is asked for: it may be a media server too."""

SEARCHES = 3
"""Times that a search is sent: datagrams get lost (UDA 1.1, 1.3.2)."""

SEARCH_TIME = WAIT + 0.5
FIRST_REST = 60.0
LONGEST_REST = 1800.0
"""Seconds until a router that did not answer is searched for again; twice as long each
time."""


class Stage(StrEnum):
    """How far the search is."""

    IDLE = "idle"
    SEARCHING = "searching"
    DESCRIBING = "describing"
    CHECKING = "checking"
    READY = "ready"
    RESTING = "resting"


@dataclass(frozen=True, slots=True)
class Question:
    """What to send to a web server of the router, and how long its answer may be."""

    url: Url
    request: bytes
    max_body: int = MAX_ANSWER


class RouterFinder:
    """`router`: the only address that is listened to.

    `connection`: what was found, once `stage` is ready.
    """

    def __init__(self, router: IPv4Address) -> None:
        self.stage = Stage.IDLE
        self._router = router
        self._until: float | None = None
        self._searches = 0
        self._rest = FIRST_REST
        self._places: list[Url] = []
        self._connections: list[Connection] = []
        self._checked = 0
        self._datagrams: list[tuple[bytes, IPv4Address]] = []

    @property
    def connection(self) -> Connection:
        """Return what was found."""
        return self._connections[self._checked]

    def begin(self, now: float) -> None:
        """Search, from the beginning."""
        self.stage = Stage.SEARCHING
        self._searches = 0
        self._places = []
        self._search(now)

    def stop(self) -> None:
        """Search no more, as nothing is to be opened."""
        if self.stage in (Stage.SEARCHING, Stage.RESTING):
            self.stage, self._until = Stage.IDLE, None

    def _search(self, now: float) -> None:
        self._searches += 1
        self._datagrams = render_searches(self._router)
        self._until = now + SEARCH_TIME

    def take_datagrams(self) -> list[tuple[bytes, IPv4Address]]:
        """Return what is to be sent, and to whom, once."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def receive_datagram(self, untrusted_data: bytes, address: IPv4Address) -> None:
        """Take in an answer to the search, from this address."""
        if self.stage not in (Stage.SEARCHING, Stage.DESCRIBING):
            return
        if address != self._router:
            return
        place = parse_found(untrusted_data, address)
        if place is None or place in self._places or len(self._places) >= MAX_PLACES:
            return
        self._places.append(place)
        if self.stage is Stage.SEARCHING:
            self.stage, self._until = Stage.DESCRIBING, None

    def get_timer(self) -> float | None:
        """Return when `handle_timer` has something to do, None for never."""
        return self._until

    def handle_timer(self, now: float) -> bool:
        """Take in that it is later; True if the router has just been given up."""
        if self._until is None or now < self._until:
            return False
        if self.stage is Stage.RESTING:
            self.begin(now)
        elif self._searches < SEARCHES:
            self._search(now)
        else:
            self._give_up(now)
            return True
        return False

    def _give_up(self, now: float) -> None:
        self.stage = Stage.RESTING
        self._until = now + self._rest
        self._rest = min(2 * self._rest, LONGEST_REST)

    def find_question(self) -> Question | None:
        """Return what the router must be asked to find out more."""
        if self.stage is Stage.DESCRIBING:
            place = self._places[0]
            return Question(place, render_get(place), MAX_DESCRIPTION)
        if self.stage is Stage.CHECKING:
            connection = self.connection
            return ask(connection, "GetStatusInfo", ())
        return None

    def take_answer(self, answer: Answer | None, now: float) -> bool:
        """Take in the answer to the question, None if there is none.

        True if the router has just been given up.
        """
        if self.stage is Stage.DESCRIBING:
            return self._take_description(answer, now)
        if _is_connected(answer):
            self._be_ready()
        elif self._checked + 1 < len(self._connections):
            self._checked += 1
        else:
            # None says that it is connected; cheap routers say all kinds of things.
            self._checked = 0
            self._be_ready()
        return False

    def _take_description(self, answer: Answer | None, now: float) -> bool:
        place = self._places[0]
        is_there = answer is not None and answer.status == 200
        body = answer.untrusted_body if answer is not None and is_there else b""
        self._connections = parse_description(body, place)
        self._checked = 0
        if self._connections:
            self.stage = Stage.CHECKING
            return False
        del self._places[0]
        if self._places:
            return False
        self._give_up(now)
        return True

    def _be_ready(self) -> None:
        self.stage = Stage.READY
        self._rest = FIRST_REST


def ask(
    connection: Connection, action: str, arguments: tuple[tuple[str, str], ...]
) -> Question:
    """Return the question that calls an action."""
    body = render_call(connection.service, action, arguments)
    url = connection.control
    return Question(url, render_post(url, connection.service, action, body))


def read(action: str, answer: Answer | None) -> dict[str, str]:
    """Read the answer to a call; raise Fault, or MalformedSoap if there is none."""
    # UDA 1.1 (3.2): a fault comes with status 500.
    if answer is None or answer.status not in (200, 500):
        raise MalformedSoap("no answer")
    return parse_answer(action, answer.untrusted_body)


def _is_connected(answer: Answer | None) -> bool:
    try:
        status = read("GetStatusInfo", answer)
    except (Fault, MalformedSoap):
        return False
    return status.get("NewConnectionStatus", "").strip() == "Connected"
