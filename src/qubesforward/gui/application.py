# SPDX-License-Identifier: GPL-2.0-or-later
"""What all programs of the desktop begin with."""

from __future__ import annotations

import signal
import sys

from PyQt6.QtCore import QLocale
from PyQt6.QtWidgets import QApplication

from qubesforward.gui.translation import install_translation


def start_application(name: str) -> QApplication:
    """Return the application, in the user's language. Ctrl-C ends it."""
    application = QApplication(sys.argv[:1])
    application.setApplicationName(name)
    application.setApplicationDisplayName("Qubes")
    application.setDesktopFileName(name)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    install_translation(application, QLocale())
    return application
