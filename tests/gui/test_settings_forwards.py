# SPDX-License-Identifier: GPL-2.0-or-later
"""The real window and the real daemon: ports are opened, changed and closed by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PyQt6 import sip
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qubesforward.gui.forward_dialog import ForwardDialog
from qubesforward.gui.forward_draft import Case, Field
from qubesforward.gui.forwards_pane import ForwardsPane
from qubesforward.gui.portmap_policy import Mode
from qubesforward.gui.settings import SettingsWindow
from qubesforward.gui.worker import Worker
from qubesforward.model.rule import Reach
from tests.gui.daemon_thread import Computer
from tests.gui.hands import press, press_key, type_text

HTTPS = "forwardtype=external proto=tcp srcports=443-443"


@pytest.fixture
def window(worker: Worker, qtbot: QtBot) -> Iterator[SettingsWindow]:
    """The window for `work`, when it has read everything."""
    made = SettingsWindow(worker, "work")
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(lambda: made.page.forwards.isEnabled())
    qtbot.waitUntil(lambda: made.page.forwards.portmap.isEnabled())
    yield made
    made.page.outbound.discard()


def pane_of(window: SettingsWindow) -> ForwardsPane:
    return window.page.forwards


def opened(window: SettingsWindow, qtbot: QtBot) -> ForwardDialog:
    dialog = window.page.desk.dialog
    assert dialog is not None
    qtbot.waitUntil(dialog.isVisible)
    return dialog


def states(window: SettingsWindow) -> list[str]:
    rows = pane_of(window).table.rows
    return [str(rows.index(row, 0).data()) for row in range(rows.rowCount())]


def wait_states(window: SettingsWindow, qtbot: QtBot, *wanted: str) -> None:
    qtbot.waitUntil(lambda: states(window) == list(wanted))


def test_a_port_is_opened_by_mouse_and_keys(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    pane = pane_of(window)
    assert "nobody can connect" in pane.sentence.text()
    press(pane.add_button)
    dialog = opened(window, qtbot)
    assert not dialog.open_button.isEnabled()
    type_text(dialog.form.port, "https")
    type_text(dialog.form.inner, "8443")
    qtbot.waitUntil(lambda: "will be able to reach" in dialog.sentence.text())
    assert "tcp port 8443 of work at 192.168.1.10:443" in dialog.sentence.text()
    assert dialog.path.isVisible()
    press_key(dialog.form.port, Qt.Key.Key_Return)
    wait_states(window, qtbot, "open")
    assert window.page.desk.dialog is None
    assert computer.entries("sys-net") == [
        "in=external proto=tcp ports=443-443 src=0.0.0.0/0 to=10.137.0.6"
        " toports=443-443"
    ]
    # What was opened is chosen, and explained.
    qtbot.waitUntil(lambda: "Any host on the networks" in pane.sentence.text())


def test_what_the_fields_would_do_is_not_done_before_it_is_wanted(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    press(pane_of(window).add_button)
    dialog = opened(window, qtbot)
    type_text(dialog.form.port, "443")
    qtbot.waitUntil(lambda: "will be able to reach" in dialog.sentence.text())
    press_key(dialog, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: window.page.desk.dialog is None)
    assert computer.call("Get+forward", "work") == ""


def test_a_forward_is_changed_in_one_step_though_the_port_is_its_own(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.add("work", f"{HTTPS} comment=web")
    wait_states(window, qtbot, "open")
    pane = pane_of(window)
    pane.table.selectRow(0)
    press(pane.edit_button)
    dialog = opened(window, qtbot)
    assert dialog.form.details.isVisible()
    assert dialog.form.comment.text() == "web"
    type_text(dialog.form.inner, "8443")
    qtbot.waitUntil(lambda: "port 8443" in dialog.sentence.text())
    assert dialog.form.problem(Field.PORT) == ""
    press(dialog.open_button)
    qtbot.waitUntil(lambda: window.page.desk.dialog is None)
    assert computer.call("Get+forward", "work") == (
        f"action=forward {HTTPS} dstports=8443-8443 comment=web\n"
    )
    wait_states(window, qtbot, "open")


def test_a_forward_that_went_while_it_was_edited_does_not_come_back(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.add("work", HTTPS)
    wait_states(window, qtbot, "open")
    pane_of(window).table.selectRow(0)
    press(pane_of(window).edit_button)
    dialog = opened(window, qtbot)
    computer.call("Set+forward", "work")
    type_text(dialog.form.inner, "8443")
    press(dialog.open_button)
    qtbot.waitUntil(lambda: "no such rule" in dialog.sentence.text())
    assert dialog.isVisible()
    assert computer.call("Get+forward", "work") == ""


def test_a_duplicate_is_a_forward_of_its_own(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.add("work", HTTPS)
    wait_states(window, qtbot, "open")
    pane_of(window).table.selectRow(0)
    press(pane_of(window).copy_button)
    dialog = opened(window, qtbot)
    dialog.form.port.selectAll()
    type_text(dialog.form.port, "8443")
    press(dialog.open_button)
    wait_states(window, qtbot, "open", "open")


def test_a_forward_is_removed(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.add("work", HTTPS, "forwardtype=internal srcports=53-53")
    wait_states(window, qtbot, "open", "open")
    pane = pane_of(window)
    pane.table.selectRow(1)
    pane.table.setFocus()
    press_key(pane.table, Qt.Key.Key_Delete)
    wait_states(window, qtbot, "open")
    assert "internal" in computer.call("Get+forward", "work")
    assert computer.entries("sys-net") == []


def test_a_forward_is_opened_for_a_time(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.add("work", HTTPS)
    wait_states(window, qtbot, "open")
    pane = pane_of(window)
    pane.table.selectRow(0)
    for action in pane.extend_menu.actions():
        if action.data() == "reboot":
            action.trigger()
    qtbot.waitUntil(
        lambda: computer.call("Get+forward", "work")
        == f"action=forward {HTTPS} expire=reboot\n"
    )
    assert len(states(window)) == 1


def test_a_conflict_stands_beside_the_port_and_can_be_waited_for(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.add("personal", HTTPS)
    press(pane_of(window).add_button)
    dialog = opened(window, qtbot)
    type_text(dialog.form.port, "443")
    qtbot.waitUntil(
        lambda: dialog.form.problem(Field.PORT)
        == "personal has port 443 of sys-net already"
    )
    assert not dialog.open_button.isEnabled()
    # Another port is another matter; what was said of this one is gone at once.
    type_text(dialog.form.port, "4")
    assert dialog.form.problem(Field.PORT) == ""
    assert not dialog.wait.isVisible()
    press_key(dialog.form.port, Qt.Key.Key_Backspace)
    qtbot.waitUntil(dialog.wait.isVisible)
    dialog.wait.click()
    press(dialog.open_button)
    wait_states(window, qtbot, "port taken")
    computer.call("Set+forward", "personal")
    wait_states(window, qtbot, "open")


def test_a_bad_port_stands_beside_its_field_as_it_is_typed(
    window: SettingsWindow, qtbot: QtBot
) -> None:
    press(pane_of(window).add_button)
    dialog = opened(window, qtbot)
    type_text(dialog.form.port, "80443")
    assert "ports are 1-65535" in dialog.form.problem(Field.PORT)
    assert "1-65535" in dialog.form.port.accessibleDescription()
    assert not dialog.open_button.isEnabled()


def test_a_qube_without_a_way_out_is_told_so(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    def cut() -> None:
        computer.world.qubes["work"].pop("netvm")
        computer.world.tell("work", "property-set:netvm", newvalue="")

    computer.do(cut)
    press(pane_of(window).add_button)
    dialog = opened(window, qtbot)
    type_text(dialog.form.port, "443")
    qtbot.waitUntil(lambda: "netvm" in dialog.form.problem(Field.CASE))


def test_a_tunnel_that_would_be_passed_by_is_told(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    def dig() -> None:
        computer.world.features["sys-firewall"] = {"qubes-forward-tunnel": "tun0 4 6"}
        computer.world.tell("sys-firewall", "domain-feature-set:qubes-forward-tunnel")

    computer.do(dig)
    press(pane_of(window).add_button)
    dialog = opened(window, qtbot)

    def ask() -> bool:
        dialog.form.port.clear()
        type_text(dialog.form.port, "443")
        qtbot.wait(300)
        return "would bypass tunnel tun0" in dialog.form.problem(Field.CASE)

    qtbot.waitUntil(ask)
    dialog.form.show_details(True)
    dialog.form.bypass.click()
    qtbot.waitUntil(lambda: "will be able to reach" in dialog.sentence.text())
    assert dialog.form.problem(Field.CASE) == ""


def test_qubes_beside_it_are_another_case(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    # A hop behind another one has nothing else outside than tunnels.
    said = computer.world.say("sys-firewall", "/qubes-forward-outside", "")
    computer.run(said)
    press(pane_of(window).add_button)
    dialog = opened(window, qtbot)
    dialog.form.cases[Case.QUBES].click()
    type_text(dialog.form.port, "53")
    qtbot.waitUntil(lambda: "behind sys-firewall" in dialog.sentence.text())
    dialog.form.cases[Case.VPN].click()
    qtbot.waitUntil(lambda: "no tunnel now" in dialog.sentence.text())


def test_progress_is_shown_while_hops_acknowledge(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.do(lambda: computer.world.mute.add("sys-firewall"))
    computer.add("work", HTTPS)
    wait_states(window, qtbot, "opening… 2 of 3")
    pane = pane_of(window)
    pane.table.selectRow(0)
    assert "sys-firewall" in pane.sentence.text()
    computer.do(lambda: computer.world.mute.discard("sys-firewall"))
    # The agent looks up when it is told something.
    computer.add("work", "forwardtype=external proto=tcp srcports=22-22")
    wait_states(window, qtbot, "open", "open")


def test_a_refusal_of_a_hop_is_shown_as_plain_text(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.do(
        lambda: computer.world.refusing.update({"sys-net": "<b>bold</b> & <img>"})
    )
    computer.add("work", HTTPS)
    wait_states(window, qtbot, "refused")
    pane = pane_of(window)
    pane.table.selectRow(0)
    assert "<b>bold</b> & <img>" in pane.sentence.text()
    assert pane.sentence.textFormat() == Qt.TextFormat.PlainText


def test_a_change_made_elsewhere_is_shown_and_what_is_chosen_stays(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.add("work", HTTPS)
    wait_states(window, qtbot, "open")
    pane = pane_of(window)
    pane.table.selectRow(0)
    computer.add("work", "forwardtype=external proto=tcp srcports=22-22")
    wait_states(window, qtbot, "open", "open")
    (chosen,) = pane.table.chosen
    assert chosen.rule.srcports.first == 443


def test_a_copied_list_is_closed_until_it_is_confirmed(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.add("work", HTTPS)

    def copy() -> None:
        computer.world.qubes["work"]["uuid"] = "another"
        computer.world.tell("work", "property-set:uuid", newvalue="another")

    wait_states(window, qtbot, "open")
    computer.do(copy)
    computer.stop_daemon()
    computer.start_daemon()
    computer.do(lambda: computer.world.tell("work", "domain-start"))
    pane = pane_of(window)
    qtbot.waitUntil(pane.copied.isVisible)
    wait_states(window, qtbot, "not confirmed")
    press(pane.copied.buttons[0])
    wait_states(window, qtbot, "open")
    assert not pane.copied.isVisible()


def test_what_was_imported_waits_for_a_yes(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.call("Add+forward", "work", f"confirmed=no\naction=forward {HTTPS}")
    pane = pane_of(window)
    wait_states(window, qtbot, "not confirmed")
    press(pane.imported.buttons[0])
    wait_states(window, qtbot, "open")
    assert not pane.imported.isVisible()


def test_programs_may_ask_once_the_switch_says_so(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    box = pane_of(window).portmap
    assert (box.mode.currentData(), box.internet.isEnabled()) == (Mode.OFF, False)
    box.mode.setFocus()
    features = computer.world.features["work"]
    heard = window.page.firewall.policy_read
    with qtbot.waitSignal(heard, check_params_cb=lambda read: read.mode is Mode.ASK):
        press_key(box.mode, Qt.Key.Key_Down)
    with qtbot.waitSignal(heard, check_params_cb=lambda read: read.reach is Reach.LAN):
        box.internet.click()
    press(box.more)
    type_text(box.cone, "40000-40003")
    press_key(box.cone, Qt.Key.Key_Return)
    told = {"portmap": "ask", "portmap-reach": "lan", "portmap-cone": "40000-40003"}
    qtbot.waitUntil(lambda: features == told)

    def take_back() -> None:
        del features["portmap"]
        computer.world.tell("work", "domain-feature-delete:portmap")

    computer.do(take_back)
    qtbot.waitUntil(lambda: box.mode.currentData() == Mode.OFF)


def test_a_daemon_that_goes_is_told_and_found_again(
    apart: Computer, apart_worker: Worker, qtbot: QtBot
) -> None:
    window = SettingsWindow(apart_worker, "work")
    qtbot.addWidget(window)
    window.show()
    apart.add("work", HTTPS)
    wait_states(window, qtbot, "open")
    apart.stop_daemon()
    qtbot.waitUntil(window.page.gone.isVisible)
    assert "qubes-forwardd" in window.page.gone.text
    assert not pane_of(window).isEnabled()
    # What was known is still there to be read.
    assert states(window) == ["open"]
    apart.start_daemon()
    qtbot.waitUntil(lambda: not window.page.gone.isVisible())
    qtbot.waitUntil(lambda: pane_of(window).isEnabled())
    apart.add("work", "forwardtype=external proto=tcp srcports=22-22")
    wait_states(window, qtbot, "open", "open")


def test_a_window_that_is_gone_hears_nothing_more(
    worker: Worker, computer: Computer, qtbot: QtBot
) -> None:
    for _ in range(10):
        # It has asked for everything, and goes before it is answered.
        made = SettingsWindow(worker, "work")
        made.show()
        qtbot.wait(70)
        sip.delete(made)
        computer.do(lambda: computer.world.tell("work", "property-set:netvm"))
    with qtbot.waitSignal(worker.answered):
        worker.ask("admin.vm.firewall.Get", "work")
