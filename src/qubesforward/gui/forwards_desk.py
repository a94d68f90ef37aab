# SPDX-License-Identifier: GPL-2.0-or-later
"""Has done what the user wants with forwards, and says when it could not be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from PyQt6.QtCore import QObject, Qt, pyqtSignal

from qubesforward.cli.status import ForwardStatus
from qubesforward.gui.forward_dialog import ForwardDialog
from qubesforward.gui.forward_draft import Draft, draft_of, fixed_end, read_end
from qubesforward.gui.forwards_pane import ForwardsPane
from qubesforward.gui.portmap_policy import PortmapPolicy
from qubesforward.gui.qube_firewall import QubeFirewall
from qubesforward.model.rule import ForwardRule


class ForwardsDesk(QObject):
    """Between a pane and the qube's firewall. `refused` is why something was not done.

    Nothing here waits to be saved: what the user wants is done, and the pane shows
    what came of it when the daemon tells.
    """

    refused = pyqtSignal(str)

    def __init__(self, firewall: QubeFirewall, pane: ForwardsPane) -> None:
        super().__init__(pane)
        self._firewall = firewall
        self._pane = pane
        self.dialog: ForwardDialog | None = None
        pane.path.follow(firewall.labels)
        firewall.status_read.connect(pane.show_status)
        firewall.policy_read.connect(pane.portmap.show_policy)
        pane.add_wanted.connect(self._add)
        pane.edit_wanted.connect(self._edit)
        pane.copy_wanted.connect(self._copy)
        pane.remove_wanted.connect(self._remove)
        pane.extend_wanted.connect(self._extend)
        pane.confirm_wanted.connect(self._confirm)
        pane.portmap.wanted.connect(self._set_policy)

    def _add(self) -> None:
        self._open(None, None)

    def _edit(self, forward: ForwardStatus) -> None:
        self._open(draft_of(forward), forward.rule)

    def _copy(self, forward: ForwardStatus) -> None:
        draft = draft_of(forward)
        if fixed_end(draft.duration) is not None:
            draft = replace(draft, duration="1h")
        self._open(draft, None)

    def _open(self, draft: Draft | None, present: ForwardRule | None) -> None:
        dialog = ForwardDialog(self._firewall.qube, draft, present, self._pane.window())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.path.follow(self._firewall.labels)
        dialog.planned.connect(partial(self._plan, dialog))
        dialog.wanted.connect(partial(self._want, dialog))
        dialog.finished.connect(self._forget)
        self.dialog = dialog
        dialog.setModal(True)
        dialog.start()
        dialog.open()

    def _forget(self) -> None:
        self.dialog = None
        self._firewall.forget_plan()

    def _plan(self, dialog: ForwardDialog, rule: ForwardRule | None) -> None:
        if rule is None:
            self._firewall.forget_plan()
            return
        self._firewall.plan(rule, dialog.present, dialog.show_plan, dialog.show_refusal)

    def _want(self, dialog: ForwardDialog, rule: ForwardRule, force: bool) -> None:
        def done() -> None:
            self._pane.choose_soon(rule)
            if self.dialog is dialog:
                dialog.stored()

        def refused(reason: str) -> None:
            if self.dialog is dialog:
                dialog.show_refusal(reason)
            else:
                self.refused.emit(reason)

        self._firewall.add(rule, dialog.present, force, done, refused)

    def _remove(self, forwards: Sequence[ForwardStatus]) -> None:
        lines = [forward.line for forward in forwards]
        self._firewall.remove(lines, _nothing, self.refused.emit)

    def _extend(self, forward: ForwardStatus, duration: str) -> None:
        rule = replace(forward.rule, expire=read_end(duration, int(time.time())))
        self._firewall.add(rule, forward.rule, True, _nothing, self.refused.emit)

    def _confirm(self) -> None:
        self._firewall.confirm(_nothing, self.refused.emit)

    def _set_policy(self, policy: PortmapPolicy) -> None:
        self._firewall.set_policy(policy, self.refused.emit)


def _nothing() -> None:
    """Leave it to the status to tell what came of it."""
