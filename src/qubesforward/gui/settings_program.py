# SPDX-License-Identifier: GPL-2.0-or-later
"""``qubes-forward-settings``: the firewall of a qube, or all that is open."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from PyQt6.QtCore import QTimer

from qubesforward.gui.application import start_application
from qubesforward.gui.windows import Windows
from qubesforward.gui.worker import Worker
from qubesforward.qubes.paths import FORWARDD_SOCKET, QUBESD_SOCKET


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what is asked for: `qube`, whose firewall is shown; empty for all."""
    parser = argparse.ArgumentParser(
        prog="qubes-forward-settings",
        description="Firewall and forwarded ports of a qube, or all that is open.",
    )
    parser.add_argument("qube", metavar="QUBE", nargs="?", default="")
    parser.add_argument("--qubesd", default=QUBESD_SOCKET, help=argparse.SUPPRESS)
    parser.add_argument("--forwardd", default=FORWARDD_SOCKET, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> int:
    """Run the window; return the exit status."""
    options = parse_arguments()
    application = start_application("qubes-forward-settings")
    worker = Worker(options.qubesd, options.forwardd)
    worker.start()
    windows = Windows(worker)
    QTimer.singleShot(0, lambda: windows.show(options.qube))
    status = application.exec()
    worker.close()
    return status
