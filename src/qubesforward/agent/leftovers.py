# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that a change of the forwards has made wrong, to be cleared away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from qubesforward.agent.conntrack import Conntrack
from qubesforward.agent.flow_wire import TrackedFlow
from qubesforward.errors import ApplyError, MalformedMessage
from qubesforward.model.entry import Entry
from qubesforward.nft.forwards import mark_of
from qubesforward.nft.selection import Selection

LOG = logging.getLogger(__name__)


class Leftovers:
    """What was closed and what was mapped since the last time, None for unknown.

    `sever` must keep the targets of flows from taking them up again.
    """

    def __init__(
        self,
        selection: Selection,
        conntrack: Conntrack,
        sever: Callable[[list[TrackedFlow]], None],
    ) -> None:
        self._selection = selection
        self._conntrack = conntrack
        self._sever = sever
        self._closed: set[int] | None = None
        self._opened: set[str] | None = None

    def note_changed(self, before: Mapping[str, Entry | None] | None) -> None:
        """Note what was applied before, by the IDs for which that changed."""
        if before is None:
            self._closed = self._opened = None
            return
        if self._closed is not None:
            self._closed |= {
                mark_of(entry_id) for entry_id, old in before.items() if old is not None
            }
        if self._opened is not None:
            accepted = self._selection.accepted
            self._opened |= {
                entry_id
                for entry_id, old in before.items()
                if (new := accepted.get(entry_id)) is not None
                and new.mapped
                # A later end changes no port.
                and (old is None or old.content != new.content)
            }

    def __bool__(self) -> bool:
        return self._closed != set() or self._opened != set()

    def clear_away(self) -> None:
        """Forget connections that what has changed since the last time made wrong.

        Those of closed forwards are cut already, and what is mapped anew goes on as
        before for a moment, so this is not urgent; and it takes long: the kernel
        looks through all connections there are.
        """
        closed, opened = self._closed, self._opened
        self._closed, self._opened = set(), set()
        try:
            self._clear_closed(closed)
            self._clear_strays(opened)
        except (ApplyError, MalformedMessage) as error:
            # They stay cut, because their marks are not live.
            LOG.warning("connections of changed forwards are left: %s", error)

    def _clear_closed(self, closed: set[int] | None) -> None:
        is_live = self._selection.is_live
        if closed is not None:
            closed = {mark for mark in closed if not is_live(mark)}
        if closed == set():
            return
        flows = self._conntrack.find_dead(is_live, closed)
        self._sever(flows)
        self._conntrack.delete(flows)

    def _clear_strays(self, opened: set[str] | None) -> None:
        accepted = self._selection.accepted
        ids = accepted.keys() if opened is None else opened & accepted.keys()
        mapped = [accepted[one] for one in ids if accepted[one].mapped]
        if mapped:
            self._conntrack.delete(self._conntrack.find_strays(mapped))
