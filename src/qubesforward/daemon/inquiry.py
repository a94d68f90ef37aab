# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking an agent, now, to look closely at some of its entries.

Over a connection of its own: that a qube answers nonsense, too much or never costs
only whoever asked.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from qubesforward.errors import InvalidRule, QubesDBError
from qubesforward.model.observation import (
    MOST_VALUES,
    Observation,
    parse_observation,
)
from qubesforward.plan.facts import Answer
from qubesforward.qubes.qubesdb import QubesDB

DIAGNOSE = "/qubes-forward-diagnose"
DIAGNOSIS = "/qubes-forward-diagnosis/"
DIAGNOSED = "/qubes-forward-diagnosed"
STOPPED = "/qubes-forward-stopped"

PATIENCE = 2.0
"""Seconds for all of it. An agent answers in hundredths of one."""

_MOST_IDS = 300
"""Entries that one question can name, as long as a value of QubesDB may be."""

_NOTHING = Observation()


async def inquire(path: str, ids: Sequence[str]) -> tuple[Answer, Observation]:
    """Ask the agent behind the QubesDB at `path` about the entries with these IDs."""
    try:
        db = await QubesDB.connect(path, PATIENCE)
    except QubesDBError:
        return Answer.UNASKED, _NOTHING
    try:
        async with asyncio.timeout(PATIENCE):
            return await _inquire(db, ids[:_MOST_IDS])
    except TimeoutError:
        return Answer.SILENT, _NOTHING
    except QubesDBError:
        return Answer.UNASKED, _NOTHING
    finally:
        await db.aclose()


async def _inquire(db: QubesDB, ids: Sequence[str]) -> tuple[Answer, Observation]:
    if await db.read(STOPPED) is not None:
        return Answer.STOPPED, _NOTHING
    token = secrets.token_hex(8)
    await db.watch(DIAGNOSED)
    await db.write(DIAGNOSE, " ".join([token, *ids]).encode("ascii"))
    while await db.read(DIAGNOSED) != token.encode("ascii"):
        await db.next_event()
    # Each for itself: a whole subtree could be of any size.
    untrusted_values = await db.read_many(f"{DIAGNOSIS}{n}" for n in range(MOST_VALUES))
    try:
        seen = parse_observation(value for value in untrusted_values if value)
    except InvalidRule:
        return Answer.USELESS, _NOTHING
    if ids and not seen.problem and not seen.held.keys() & set(ids):
        return Answer.USELESS, _NOTHING
    return Answer.GIVEN, seen
