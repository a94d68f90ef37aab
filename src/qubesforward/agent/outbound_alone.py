# SPDX-License-Identifier: GPL-2.0-or-later
"""The outbound rules without the agent: `qubes-firewall` of a lab beside a stock Qubes.

There it stands for Qubes' own agent of that name: a program of its own, with its own
connection to QubesDB, that knows nothing of forwards. What it reads and what it puts
into the kernel follows stock's (table, chains, verdicts), by our own code, and with
iptables where stock's had nothing else; as stock, it never looks whether its rules are
still there.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from functools import partial

from qubesforward.agent.backend import uses_nftables
from qubesforward.agent.iptables_kernel import find_families, write_tables
from qubesforward.agent.outbound_chains import OutboundChains
from qubesforward.agent.outbound_tables import MakeTables, OutboundTables
from qubesforward.agent.outbound_task import OutboundTask
from qubesforward.errors import QubesDBError
from qubesforward.iptables.layout import OUTBOUND, STOCK_OUTBOUND
from qubesforward.iptables.outbound import Outbound, plan_outbound
from qubesforward.iptables.rules import SOURCE_PREFIX
from qubesforward.qubes.paths import QUBESDB_SOCKET
from qubesforward.qubes.qubesdb import QubesDB

_PAUSE = 0.2

_log = logging.getLogger(__name__)


def _make_tables() -> MakeTables:
    if uses_nftables("auto"):
        from qubesforward.agent.kernel import Kernel

        return partial(OutboundTables, Kernel().run_nft)
    return partial(OutboundChains, _write_chains)


def _write_chains(outbound: Outbound) -> None:
    for family in find_families():
        write_tables(family, _render_chains(family, outbound))


def _render_chains(family: int, outbound: Outbound) -> str:
    """Return stock's chains: who is allowed to is accepted there, by its own chain."""
    lines = []
    for name, rules in plan_outbound(family, outbound)["filter"].items():
        is_main = name == OUTBOUND
        chain = STOCK_OUTBOUND if is_main else _stock_name(name)
        lines.append(f":{chain} - [0:0]")
        for rule in rules:
            text = _stock_name(rule.text)
            text = text if is_main else text.replace("-j RETURN", "-j ACCEPT")
            lines.append(f"-A {chain} {text}")
    # Chains are all declared before a rule may lead to one.
    lines.sort(key=lambda line: not line.startswith(":"))
    return "\n".join(["*filter", *lines, "COMMIT", ""])


def _stock_name(text: str) -> str:
    return text.replace(SOURCE_PREFIX, "qbs-")


async def _enforce() -> None:
    make_tables = _make_tables()
    while True:
        try:
            db = await QubesDB.connect(QUBESDB_SOCKET)
            task = OutboundTask(db, make_tables)
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
