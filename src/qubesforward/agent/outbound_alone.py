# SPDX-License-Identifier: GPL-2.0-or-later
"""The outbound rules without the agent: `qubes-firewall` of a lab beside a stock Qubes.

There it stands for Qubes' own agent of that name: a program of its own, with its own
connection to QubesDB, that knows nothing of forwards. What it reads and what it puts
into the kernel follows stock's (table, chains, verdicts), by our own code; as stock, it
never looks whether its rules are still there.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from functools import partial

from qubesforward.agent.kernel import Kernel
from qubesforward.agent.outbound_tables import OutboundTables
from qubesforward.agent.outbound_task import OutboundTask
from qubesforward.errors import QubesDBError
from qubesforward.qubes.paths import QUBESDB_SOCKET
from qubesforward.qubes.qubesdb import QubesDB

_PAUSE = 0.2

_log = logging.getLogger(__name__)


async def _enforce() -> None:
    kernel = Kernel()
    while True:
        try:
            db = await QubesDB.connect(QUBESDB_SOCKET)
            task = OutboundTask(db, partial(OutboundTables, kernel.run_nft))
            try:
                while True:
                    task.note_event(await db.next_event())
            finally:
                await task.aclose()
                await db.aclose()
        except QubesDBError as error:
            _log.warning("%s", error)
        await asyncio.sleep(_PAUSE)


async def _run() -> None:
    work = asyncio.create_task(_enforce())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with suppress(asyncio.CancelledError):
        await work


def main() -> int:
    """Enforce the outbound rules of the qubes below, until told to end."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    asyncio.run(_run())
    return 0
