# SPDX-License-Identifier: GPL-2.0-or-later
"""When to ask anew what a window shows: events say only that it may have changed."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import QObject, QTimer

GATHER = 60
"""Milliseconds in which what happens is answered by one look."""

# Whatever of this happens to any qube can change a path.
_CHANGES = (
    "firewall-changed",
    "forward-",
    "portmap-",
    "property-",
    "domain-start",
    "domain-shutdown",
    "domain-add",
    "domain-delete",
)

Done = Callable[[], None]
"""Is called when something is done."""


def may_change_paths(event: str) -> bool:
    """Whether after an event of this name the status may be another one."""
    return event.startswith(_CHANGES)


class Look:
    """Asks anew after `wake`, soon, and never while an answer is still to come.

    `ask` is given what it has to call when the answer has come, or will not. `gather`
    is in milliseconds: what happens in that time is answered by one question.
    """

    def __init__(
        self, ask: Callable[[Done], None], parent: QObject, gather: int = GATHER
    ) -> None:
        self._ask = ask
        self._is_asking = False
        self._is_again = False
        self._timer = QTimer(parent)
        self._timer.setInterval(gather)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._begin)

    def wake(self) -> None:
        """Ask soon: what is known may be stale."""
        if self._is_asking:
            self._is_again = True
        elif not self._timer.isActive():
            self._timer.start()

    def _begin(self) -> None:
        self._is_asking, self._is_again = True, False
        self._ask(self._finish)

    def _finish(self) -> None:
        self._is_asking = False
        if self._is_again:
            self.wake()
