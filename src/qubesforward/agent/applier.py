# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the kernel hold what is wanted, whatever it holds now.

Starting, repairing and updating are one thing here: the difference between what is
in the kernel and what is wanted, applied as one transaction. They differ only in
where the first comes from: from the kernel, or from memory as long as nobody else
changed the kernel's mind.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from qubesforward.agent.backend import Upset
from qubesforward.agent.conntrack import Conntrack, severed_element
from qubesforward.agent.flow_wire import TrackedFlow
from qubesforward.agent.hooks import CustomHooks
from qubesforward.agent.kernel import Kernel
from qubesforward.agent.leftovers import Leftovers
from qubesforward.agent.netlink import NetlinkError
from qubesforward.errors import ForwardError
from qubesforward.model.entry import Entry
from qubesforward.nft.elements_wire import Element
from qubesforward.nft.forwards import (
    Place,
    diff_elements,
    entry_elements,
    hop_elements,
    is_over,
    place,
)
from qubesforward.nft.layout import render_table
from qubesforward.nft.readback import fingerprint, has_all_rules
from qubesforward.nft.refusals import Surroundings, clean_reason
from qubesforward.nft.selection import Selection
from qubesforward.nft.shapes import SHAPES

LOG = logging.getLogger(__name__)

_Before = Mapping[str, Entry | None]


class Applier:
    """The forwards of this qube's kernel.

    `clock` tells seconds since 1970. What others do to the kernel must be told with
    `note_upset`; the next `converge` then reads the kernel instead of trusting.
    """

    def __init__(
        self,
        kernel: Kernel,
        conntrack: Conntrack,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.selection = Selection()
        self.kernel = kernel
        self._clock = clock
        self._hooks = CustomHooks(kernel)
        self._here = Surroundings()
        self._hop: list[Element] = []
        self._trusts_table = False
        self._trusts_hooks = False
        self._rules: tuple[tuple[str, bytes], ...] | None = None
        self._leftovers = Leftovers(self.selection, conntrack, self._sever)

    def note_upset(self, what: Upset) -> None:
        """Remember that somebody else may have changed something."""
        if what is Upset.TABLE:
            self._trusts_table = False
        elif what is Upset.CUSTOM:
            self._trusts_hooks = False

    @property
    def is_upset(self) -> bool:
        """Whether `converge` has something to put right."""
        return not (self._trusts_hooks and self._trusts_table)

    def converge(
        self,
        wanted: Mapping[str, Entry],
        here: Surroundings,
        astray: frozenset[int] = frozenset(),
        touched: Iterable[str] | None = None,
    ) -> None:
        """Apply `wanted`, of which only the `touched` changed; None if any may have.

        `selection` then tells what is applied and what was refused. Raises
        `ApplyError` if the kernel does not take what all entries need, and
        `MalformedMessage`; then the next call starts from what the kernel has.
        """
        try:
            self._converge(wanted, here, astray, touched)
        except ForwardError:
            self._trusts_table = self._trusts_hooks = False
            raise

    def _converge(
        self,
        wanted: Mapping[str, Entry],
        here: Surroundings,
        astray: frozenset[int],
        touched: Iterable[str] | None,
    ) -> None:
        now = self._clock()
        if not self._trusts_hooks:
            self._trusts_hooks = True
            self._hooks.repair()
        here = replace(here, custom_chains=self._hooks.present)
        is_full = not self._trusts_table
        if is_full or touched is None or here != self._here:
            touched = wanted.keys() | self.selection.accepted.keys()
        # From here on, as what is noted meanwhile must not be lost.
        self._trusts_table = True
        if is_full:
            self.selection.unbar()
        self._here = here
        before = self.selection.update(wanted, touched, here, now)
        hop = hop_elements(has_uplink=here.has_uplink, astray=astray)
        old_hop, self._hop = self._hop, hop
        try:
            if is_full:
                self._apply_from_kernel(now)
            else:
                self._apply_from_memory(before, old_hop, now)
        except NetlinkError as error:
            LOG.warning("%s; looking what is wrong", error)
            self._apply_by_entry(now)
        self._leftovers.note_changed(None if is_full else before)

    def _apply_from_kernel(self, now: float) -> None:
        """Compare with what is there, which may be nothing, and put it right."""
        present = self._read_present(now)
        if present is None:
            counted = {place(e): e for e in self.kernel.read_counted(now)}
            self._make_table()
            added = (e for e in self._all_elements() if not is_over(e, now))
            self.kernel.change([], _keep_counters(added, counted), now)
        else:
            change = diff_elements(present, self._all_elements(), now)
            self.kernel.change(change.removed, change.added, now)

    def _read_present(self, now: float) -> dict[Place, Element] | None:
        """Return all elements of our table, None if it has to be made anew."""
        table = self.kernel.read_table()
        if table is None or not table.is_ours or not has_all_rules(table.rules):
            return None
        rules = fingerprint(table.rules)
        if self._rules not in (None, rules):
            return None
        self._rules = rules
        return self.kernel.read_elements(now)

    def _make_table(self) -> None:
        LOG.info("making our table")
        self.kernel.run_nft(render_table())
        table = self.kernel.read_table()
        self._rules = None if table is None else fingerprint(table.rules)

    def _apply_from_memory(
        self, before: _Before, old_hop: Iterable[Element], now: float
    ) -> None:
        present = {place(element): element for element in old_hop}
        wanted = list(self._hop)
        for entry_id, old in before.items():
            if old is not None:
                present |= {place(e): e for e in entry_elements(entry_id, old)}
            new = self.selection.accepted.get(entry_id)
            if new is not None:
                wanted += entry_elements(entry_id, new)
        change = diff_elements(present, wanted, now)
        counted = {
            place(element): self.kernel.read_element(element, now) or element
            for element in change.removed
            if SHAPES[element.set].counter
        }
        added = _keep_counters(change.added, counted)
        self.kernel.change(change.removed, added, now)

    def _all_elements(self) -> Iterator[Element]:
        yield from self._hop
        for entry_id, entry in self.selection.accepted.items():
            yield from entry_elements(entry_id, entry)

    def _apply_by_entry(self, now: float) -> None:
        """Apply what the kernel has not taken as a whole; refuse what is to blame.

        Mostly nothing is to blame, and the kernel was only not as remembered.
        """
        try:
            self._apply_from_kernel(now)
        except NetlinkError:
            owners = {
                place(element): entry_id
                for entry_id, entry in self.selection.accepted.items()
                for element in entry_elements(entry_id, entry)
            }
            present = self.kernel.read_elements(now)
            change = diff_elements(present, self._all_elements(), now)
            groups: dict[str, list[Element]] = {}
            for element in change.added:
                groups.setdefault(owners.get(place(element), ""), []).append(element)
            self.kernel.change(change.removed, groups.pop("", []), now)
            self._apply_halves(list(groups.items()), now)
            # A refused entry may have had elements that were right already.
            self._apply_from_kernel(now)

    def _apply_halves(
        self, groups: list[tuple[str, list[Element]]], now: float
    ) -> None:
        try:
            self.kernel.change([], [e for _, es in groups for e in es], now)
        except NetlinkError as error:
            if len(groups) == 1:
                self.selection.bar(groups[0][0], clean_reason(f"kernel: {error}"))
                return
            middle = len(groups) // 2
            self._apply_halves(groups[:middle], now)
            self._apply_halves(groups[middle:], now)

    @property
    def has_leftovers(self) -> bool:
        """Whether `clear_away` has something to do."""
        return bool(self._leftovers)

    def clear_away(self) -> None:
        """Forget connections that what has changed since the last time made wrong."""
        self._leftovers.clear_away()

    def _sever(self, flows: list[TrackedFlow]) -> None:
        now = self._clock()
        severed = [severed_element(flow, now) for flow in flows]
        self.kernel.change([], severed, now, exclusive=False)


def _keep_counters(
    elements: Iterable[Element], counted: Mapping[Place, Element]
) -> Iterator[Element]:
    for element in elements:
        old = counted.get(place(element))
        yield element if old is None else element._replace(counter=old.counter)
