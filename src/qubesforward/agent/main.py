# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `qubes-forward-agent`."""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import sys

from qubesforward.qubes.paths import QUBESDB_SOCKET
from qubesforward.qubes.setting import Setting

_COLLECT_AFTER = 50_000
"""New objects after which garbage is looked for. Thousands of entries are no garbage,
and to look at them again and again takes a third of the time to load them."""


def main() -> int:
    """Run the agent until it is ended; the rules stay then, as dom0 ordered them.

    Returns the exit status.
    """
    options = _parse_options()
    logging.basicConfig(
        level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s"
    )
    gc.set_threshold(_COLLECT_AFTER)
    _do_without_tls()
    # Only now, because of the line above.
    import asyncio

    from qubesforward.agent.program import Agent

    if options.withdraw:
        from qubesforward.agent.withdrawal import run_withdrawal

        return run_withdrawal(options.backend)

    async def run() -> None:
        agent = Agent(
            options.qubesdb,
            outbound=options.setting is Setting.INTEGRATED,
            backend=options.backend,
        )
        work = asyncio.create_task(agent.run())
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        await agent.say_stopped()

    asyncio.run(run())
    return 0


def _do_without_tls() -> None:
    """Keep asyncio from loading OpenSSL: 4 MB in every qube, for unix sockets only."""
    sys.modules["ssl"] = None  # type: ignore[assignment]


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qubes-forward-agent",
        description="Programs this qube's packet filter with the port forwards that"
        " dom0 orders through QubesDB.",
    )
    parser.add_argument(
        "--qubesdb",
        metavar="PATH",
        default=QUBESDB_SOCKET,
        help="socket of the QubesDB daemon of this qube (default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="how much to write to standard error (default: %(default)s)",
    )
    parser.add_argument(
        "--backend",
        choices=["auto", "nft", "iptables"],
        default="auto",
        help="which packet filter to program (default: the one that Qubes uses here)",
    )
    parser.add_argument(
        "--setting",
        type=Setting,
        choices=list(Setting),
        default=Setting.BESIDE,
        help="whether outbound rules are left to the agent that Qubes itself has for"
        " them, or enforced here, too (default: %(default)s)",
    )
    parser.add_argument(
        "--withdraw",
        action="store_true",
        help="instead of that, close everything here, remove all rules of this agent"
        " and end. It must not run meanwhile",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
