# SPDX-License-Identifier: GPL-2.0-or-later
"""The labels of qubes, asked for once and kept until they change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from PyQt6.QtCore import QObject, pyqtSignal

from qubesforward.errors import MalformedMessage
from qubesforward.gui.calls import Calls
from qubesforward.gui.worker import Worker
from qubesforward.qubes.admin_wire import decode_property

_LABEL = "label"
_LONGEST = 64
"""Characters; labels are named like qubes."""


class Labels(QObject):
    """Labels by qube. `changed` has all that are known: qube → name of its label."""

    changed = pyqtSignal(object)

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._calls = Calls(worker, self)
        self._known: dict[str, str] = {}
        self._wanted: set[str] = set()
        worker.happened.connect(self._note)
        worker.qubesd_heard.connect(self._ask_all)

    @property
    def known(self) -> Mapping[str, str]:
        """The labels that are known now."""
        return self._known

    def want(self, qubes: Iterable[str]) -> None:
        """Ask for labels that are not known yet."""
        new = [name for name in qubes if name and name not in self._wanted]
        self._wanted.update(new)
        for name in new:
            self._ask(name)

    def _ask_all(self) -> None:
        for name in self._wanted:
            self._ask(name)

    def _ask(self, name: str) -> None:
        self._calls.ask(
            "admin.vm.property.Get",
            name,
            _LABEL,
            b"",
            partial(self._take, name),
            self._pass_over,
        )

    def _take(self, name: str, content: bytes) -> None:
        try:
            label = decode_property(content).value[:_LONGEST]
        except MalformedMessage:
            return
        if self._known.get(name) != label:
            self._known[name] = label
            self.changed.emit(self._known)

    def _pass_over(self, _kind: str, _message: str) -> None:
        """Leave it without a colour: a qube may be gone by now."""

    def _note(self, subject: str, name: str, _more: object) -> None:
        if name == "property-set:label" and subject in self._wanted:
            self._ask(subject)
