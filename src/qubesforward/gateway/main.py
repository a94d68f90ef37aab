# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `qubes-forward-gateway`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal

from qubesforward.gateway.program import Gateway
from qubesforward.qubes.paths import QUBESDB_SOCKET


def main() -> None:
    """Run the gateway until it is ended; what is open then ends in time."""
    options = _parse_options()
    logging.basicConfig(
        level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s"
    )

    async def run() -> None:
        work = asyncio.create_task(Gateway(options.qubesdb).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        await asyncio.gather(work, return_exceptions=False)

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        return


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qubes-forward-gateway",
        description="Answers programs of the qubes below that ask their router for a"
        " port (NAT-PMP, PCP, UPnP), as far as dom0 lets them have one.",
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
    return parser.parse_args()


if __name__ == "__main__":
    main()
