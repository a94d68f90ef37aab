# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of every window and dialog, for the documentation: ``make screenshots``.

A daemon is behind them, with qubes and forwards as users have them; what is seen is
what it tells. Light, dark and at 200 % are runs of their own, as Qt reads the scale
when it starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PyQt6.QtCore import QElapsedTimer, QItemSelectionModel, QLocale
from PyQt6.QtGui import QColor, QImage, QPalette
from PyQt6.QtWidgets import QApplication, QWidget

from qubesforward.gui.forward_dialog import ForwardDialog
from qubesforward.gui.outbound_dialog import OutboundDialog
from qubesforward.gui.overview import Overview
from qubesforward.gui.prompt_program import Attendant
from qubesforward.gui.scroll import bring_into_view
from qubesforward.gui.settings import SettingsWindow
from qubesforward.gui.translation import install_translation
from qubesforward.gui.tray_model import draw_tray
from qubesforward.gui.worker import Worker
from qubesforward.model.rule import Proto
from tests.daemon.gateway_end import wish
from tests.daemon.world import World
from tests.gui.daemon_thread import Computer
from tests.gui.hands import type_text
from tests.gui.programs import asking
from tests.qubes.running import short_directory

_SCREEN = """{"screens": [{"name": "one", "x": 0, "y": 0, "width": WIDTH,
 "height": HEIGHT, "logicalDpi": 96, "logicalBaseDpi": 96, "dpr": 1}]}"""

STYLES = {
    "light": {},
    "dark": {},
    "double": {"QT_SCALE_FACTOR": "2"},
    "german": {"LANGUAGE": "de", "LC_ALL": "de_DE.UTF-8"},
}
"""Runs, and what is in the environment of each."""

_LABELS = {
    "sys-net": "red",
    "sys-firewall": "orange",
    "work": "blue",
    "personal": "yellow",
}
_PATIENCE = 10_000


class Studio:
    """A computer with a life of its own, and the program in front of it."""

    def __init__(self, computer: Computer, folder: Path, style: str) -> None:
        self._computer = computer
        self._folder = folder
        self._style = style
        self._worker = Worker(computer.qubesd, computer.forwardd, retry=0.1)
        self._worker.start()
        self.attendant = Attendant(self._worker)

    def close(self) -> None:
        self.attendant.close()
        self._worker.close()

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Let everything go on until something is so."""
        timer = QElapsedTimer()
        timer.start()
        while not is_so():
            QApplication.processEvents()
            assert timer.elapsed() < _PATIENCE, "it does not come to that"
        for _ in range(20):
            QApplication.processEvents()

    def pause(self, milliseconds: int) -> None:
        timer = QElapsedTimer()
        timer.start()
        self.wait(lambda: timer.elapsed() >= milliseconds)

    def shoot(self, window: QWidget, name: str) -> None:
        """Write a picture of a window, in no more colours than it takes."""
        image = window.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        path = self._folder / f"{name}-{self._style}.png"
        assert image.save(str(path), "PNG", 0), path
        print(f"{path} {path.stat().st_size // 1024} kB", flush=True)

    def shoot_overview(self) -> None:
        window = self.attendant.windows.show_overview()
        tree = window.tree
        self.wait(lambda: tree.rows.rowCount() == 2)
        self.pause(1200)
        choose(window, "443")
        self.wait(window.path.isVisible)
        window.path.picture.choose("sys-firewall")
        self.wait(window.path.details.isVisible)
        self.shoot(window, "overview")
        window.tabs.setCurrentIndex(1)
        self.wait(lambda: window.log.rows.rowCount() > 3)
        self.shoot(window, "log")
        window.ask_close_all()
        question = window.question
        assert question is not None
        self.wait(question.isVisible)
        self.shoot(question, "close-all")
        question.reject()
        window.hide()

    def shoot_settings(self) -> None:
        self.attendant.windows.show("work")
        window = self.attendant.windows.shown["work"]
        assert isinstance(window, SettingsWindow)
        pane = window.page.forwards
        self.wait(lambda: pane.isEnabled() and pane.table.rows.rowCount() > 0)
        pane.table.selectRow(0)
        self.pause(300)
        self.shoot(window, "settings")
        pane.add_wanted.emit()
        dialog = window.page.desk.dialog
        assert dialog is not None
        self._shoot_add(dialog)
        dialog.reject()
        rule = OutboundDialog(parent=window)
        rule.show()
        self.wait(rule.isVisible)
        self.shoot(rule, "rule")
        rule.close()
        window.hide()

    def shoot_programs(self) -> None:
        """What programs may have, and what waits because it was imported."""
        self.attendant.windows.show("work")
        window = self.attendant.windows.shown["work"]
        assert isinstance(window, SettingsWindow)
        features = {"portmap": "ask", "portmap-cone": "40000-40015"}
        world = self._computer.world
        self._computer.do(lambda: world.features.update(work=features))
        self._computer.do(lambda: world.tell("work", "domain-feature-set:portmap"))
        rule = "action=forward forwardtype=external proto=tcp srcports=8022-8022"
        self._computer.call("Add+forward", "work", f"confirmed=no\n{rule}")
        pane = window.page.forwards
        self.wait(lambda: pane.table.rows.rowCount() > 3)
        pane.table.selectRow(0)
        self.wait(lambda: pane.portmap.caveat.isVisible() and pane.imported.isVisible())
        # Mappings of the block have come, and have been answered.
        bring_into_view(pane.portmap)
        self.pause(300)
        self.shoot(window, "programs")
        window.hide()

    def _shoot_add(self, dialog: ForwardDialog) -> None:
        type_text(dialog.form.port, "8080")
        type_text(dialog.form.inner, "80")
        self.wait(lambda: dialog.path.isVisible() and dialog.path.isEnabled())
        self.shoot(dialog, "open-port")
        dialog.form.port.selectAll()
        type_text(dialog.form.port, "443")
        self.wait(lambda: dialog.wait.isVisible())
        self.shoot(dialog, "port-taken")

    def shoot_prompt(self) -> None:
        prompt = self.attendant.prompt
        with asking(self._computer, portmap="ask", portmap_reach="internet") as ask:
            for inner in (51413, 6881):
                ask(wish(inner, Proto.TCP, name="Transmission at 51413"))
                ask(wish(inner, name="Transmission at 51413"))
            self.wait(lambda: prompt.is_armed)
            self.shoot(prompt, "prompt")
            prompt.hide()

    def shoot_tray(self) -> None:
        self.wait(lambda: self.attendant.tray.state.count > 0)
        menu = self.attendant.tray.menu
        menu.popup(menu.pos())
        self.wait(menu.isVisible)
        self.shoot(menu, "tray")
        menu.hide()
        assert draw_tray(self.attendant.tray.state).shapes


def choose(window: Overview, text: str) -> None:
    """Choose the first forward whose ports begin like this."""
    model = window.tree.model()
    flags = QItemSelectionModel.SelectionFlag
    for row in range(model.rowCount()):
        qube = model.index(row, 0)
        for below in range(model.rowCount(qube)):
            index = model.index(below, 0, qube)
            if str(index.data()).startswith(text):
                window.tree.selectionModel().select(index, flags.Select | flags.Rows)
                return


def furnish(computer: Computer) -> None:
    """Open ports as users do: to the LAN, for a time, to other qubes."""
    world = computer.world
    for name, label in _LABELS.items():
        world.qubes[name]["label"] = label
    computer.add(
        "work",
        "forwardtype=external proto=tcp srcports=443-443 dstports=8443-8443"
        f" expire={int(time.time()) + 7200} comment=review build",
        "forwardtype=external src4=192.168.1.0/24 srcports=5000-5010"
        " expire=reboot comment=file transfer",
        "forwardtype=internal proto=udp srcports=53-53 comment=names for other qubes",
    )
    computer.add(
        "personal", "forwardtype=external proto=tcp srcports=22-22 reach=internet"
    )


@contextmanager
def standing() -> Iterator[Computer]:
    with short_directory() as root:
        computer = Computer(World(root))
        try:
            computer.start()
            furnish(computer)
            yield computer
        finally:
            computer.close()


def darken(application: QApplication) -> None:
    """Use dark colours, as a dark theme has them."""
    ground, base, text = QColor("#2b2f33"), QColor("#1f2326"), QColor("#eceff1")
    roles, colours = QPalette.ColorRole, QPalette(ground)
    for role, colour in (
        (roles.Window, ground),
        (roles.Base, base),
        (roles.AlternateBase, QColor("#262a2e")),
        (roles.Button, QColor("#353a3f")),
        (roles.ToolTipBase, base),
        (roles.Highlight, QColor("#2f6fb0")),
        (roles.Link, QColor("#6db3f2")),
    ):
        colours.setColor(role, colour)
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.HighlightedText):
        colours.setColor(role, text)
    for role in (roles.WindowText, roles.Text, roles.ButtonText):
        colours.setColor(QPalette.ColorGroup.Disabled, role, QColor("#7d858c"))
    application.setPalette(colours)


def run(folder: Path, style: str) -> None:
    """Take all pictures in one style."""
    application = QApplication(sys.argv[:1])
    application.setStyle("Fusion")
    if style == "dark":
        darken(application)
    if style == "german":
        install_translation(application, QLocale("de_DE"))
    with standing() as computer:
        studio = Studio(computer, folder, style)
        try:
            studio.shoot_settings()
            studio.shoot_overview()
            studio.shoot_tray()
            studio.shoot_prompt()
            studio.shoot_programs()
        finally:
            studio.close()


def main() -> int:
    """Take the pictures into a folder, each style in a program of its own."""
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        run(folder, sys.argv[2])
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    with short_directory() as root:
        for style, environment in STYLES.items():
            screen = root / "screen.json"
            factor = int(environment.get("QT_SCALE_FACTOR", "1"))
            text = _SCREEN.replace("WIDTH", str(1280 * factor))
            screen.write_text(text.replace("HEIGHT", str(900 * factor)))
            platform = {"QT_QPA_PLATFORM": f"offscreen:configfile={screen}"}
            program = [sys.executable, "-m", "tests.gui.screenshots"]
            subprocess.run(
                [*program, str(folder), style],
                env={**os.environ, **platform, **environment},
                check=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
