# SPDX-License-Identifier: GPL-2.0-or-later
"""Closing everything that is open, before this program is removed from dom0.

It asks nobody what should be open, and changes no rule: it takes from every qube that
runs what dom0 ever ordered there. So it works with a broken rule file, too, and
without qubesd. The service must not run meanwhile: it would publish everything again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from qubesforward.daemon.hop import Hop
from qubesforward.errors import QubesDBError
from qubesforward.plan.diff import HopDiff
from qubesforward.qubes.paths import QUBESDB_SOCKET

PATIENCE = 5.0
"""Seconds for agents to answer, all at once: a package manager waits for this."""

_SILENT = "its agent does not say that it has closed what it had open"


def find_databases(directory: Path = Path(QUBESDB_SOCKET).parent) -> dict[str, str]:
    """Return the sockets of the QubesDBs of all qubes that run, by their names."""
    return {
        path.name.removeprefix("qubesdb.").removesuffix(".sock"): str(path)
        for path in sorted(directory.glob("qubesdb.*.sock"))
    }


async def withdraw(
    databases: Mapping[str, str], patience: float = PATIENCE
) -> dict[str, str]:
    """Take back all orders; return why it is not known to be closed, by qube.

    An agent that is not heard of in `patience` seconds has been told all the same.
    """
    said = await asyncio.gather(
        *(_withdraw_from(name, path, patience) for name, path in databases.items())
    )
    return {
        name: problem for name, problem in zip(databases, said, strict=True) if problem
    }


async def _withdraw_from(name: str, path: str, patience: float) -> str:
    hop = Hop(name, 0, lambda: None)
    try:
        await hop.open(path)
        return await _close(hop, patience)
    except QubesDBError as error:
        # A socket without anybody behind it is left of a qube that runs no more.
        is_over = isinstance(
            error.__cause__, ConnectionRefusedError | FileNotFoundError
        )
        return "" if is_over else str(error)
    finally:
        await hop.close()


async def _close(hop: Hop, patience: float) -> str:
    if hop.has_gateway:
        await hop.publish_gateway(wanted=False)
    if not hop.present:
        return ""
    listening = asyncio.create_task(hop.listen())
    try:
        await hop.publish(HopDiff(remove=tuple(hop.present)))
        if not await hop.wait_handled(hop.generation, patience):
            return _SILENT
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError, QubesDBError):
            await listening
    return ""


def run_withdrawal() -> int:
    """Close everything; return 0 if every qube has said so, otherwise 1."""
    problems = asyncio.run(withdraw(find_databases()))
    for name, problem in problems.items():
        print(f"qubes-forwardd: {name}: {problem}", file=sys.stderr)
    return 1 if problems else 0
