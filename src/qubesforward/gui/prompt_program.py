# SPDX-License-Identifier: GPL-2.0-or-later
"""``qubes-forward-prompt``: asks what programs may have, and shows what is open.

It is started with the session and runs as long as that.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from PyQt6.QtCore import QObject
from PyQt6.QtWidgets import QMessageBox

from qubesforward.cli.status import Status
from qubesforward.gui.application import start_application
from qubesforward.gui.close_all import ask_close_all
from qubesforward.gui.computer_firewall import ComputerFirewall
from qubesforward.gui.labels import Labels
from qubesforward.gui.prompt_desk import PromptDesk
from qubesforward.gui.prompt_window import PromptWindow
from qubesforward.gui.tray import Tray
from qubesforward.gui.windows import Windows
from qubesforward.gui.worker import Worker
from qubesforward.qubes.paths import FORWARDD_SOCKET, QUBESD_SOCKET


class Attendant(QObject):
    """The prompt and the icon, put together with the windows that they open."""

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.labels = Labels(worker, self)
        self.windows = Windows(worker, self)
        self.prompt = PromptWindow()
        self.desk = PromptDesk(worker, self.labels, self.prompt)
        self.firewall = ComputerFirewall(worker, self)
        self.tray = Tray(self)
        self.question: QMessageBox | None = None
        self._status: Status | None = None
        self.firewall.status_read.connect(self._show_status)
        self.labels.changed.connect(self.tray.show_labels)
        worker.connected.connect(self._note_connection)
        self.tray.overview_wanted.connect(self.windows.show)
        self.tray.settings_wanted.connect(self.windows.show)
        self.tray.close_qube_wanted.connect(self._close_qube)
        self.tray.close_all_wanted.connect(self._ask_close_all)
        self.tray.show()

    def close(self) -> None:
        """Take everything away."""
        self.tray.close()
        self.prompt.hide()
        self.prompt.deleteLater()

    def _show_status(self, status: Status) -> None:
        self._status = status
        self.labels.want(qube.name for qube in status.qubes if qube.forwards)
        self.tray.show_status(status)

    def _note_connection(self, is_connected: bool) -> None:
        if not is_connected:
            self._status = None
            self.tray.show_status(None)

    def _close_qube(self, name: str) -> None:
        if self._status is not None:
            forwards = self._status.find_qube(name).forwards
            pairs = [(name, each) for each in forwards]
            self.firewall.close_forwards(pairs, self._refuse)

    def _ask_close_all(self) -> None:
        if self.question is None:
            self.question = ask_close_all(None, self._close_all)

    def _close_all(self, is_yes: bool) -> None:
        self.question = None
        if is_yes:
            self.firewall.close_all(self._refuse)

    def _refuse(self, reason: str) -> None:
        """Say in the overview what could not be closed, where it can be seen."""
        overview = self.windows.show_overview()
        overview.problem.say(reason)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; it has nothing that a user needs."""
    parser = argparse.ArgumentParser(
        prog="qubes-forward-prompt",
        description="Ask which ports programs may have; show whether any is open.",
    )
    parser.add_argument("--qubesd", default=QUBESD_SOCKET, help=argparse.SUPPRESS)
    parser.add_argument("--forwardd", default=FORWARDD_SOCKET, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> int:
    """Run until the session ends; return the exit status."""
    options = parse_arguments()
    application = start_application("qubes-forward-prompt")
    application.setQuitOnLastWindowClosed(False)
    worker = Worker(options.qubesd, options.forwardd)
    worker.start()
    attendant = Attendant(worker)
    status = application.exec()
    attendant.close()
    worker.close()
    return status
