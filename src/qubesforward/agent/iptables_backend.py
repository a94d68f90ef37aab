# SPDX-License-Identifier: GPL-2.0-or-later
"""iptables, as the agent uses it where nftables is missing (see `Backend`).

All chains of a family are written whole whenever one of its entries changes. Times
are part of the rules (xt_time), so the kernel closes what has ended by itself.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address

from qubesforward.agent.backend import Upset
from qubesforward.agent.conntrack import SEVERED_FOR, Conntrack
from qubesforward.agent.flow_wire import TrackedFlow
from qubesforward.agent.iptables_kernel import (
    IptablesKernel,
    find_families,
    read_tables,
    save_tables,
    write_tables,
)
from qubesforward.agent.leftovers import Leftovers
from qubesforward.agent.outbound_chains import OutboundChains
from qubesforward.agent.outbound_tables import MakeTables
from qubesforward.errors import ApplyError, ForwardError
from qubesforward.iptables.foreign import find_foreign, read_chains
from qubesforward.iptables.layout import OUTBOUND, STOCK_OUTBOUND, Place, plan_chains
from qubesforward.iptables.outbound import Outbound, plan_outbound
from qubesforward.iptables.restore import (
    Part,
    Present,
    render_removal,
    sum_counters,
)
from qubesforward.iptables.severed import severed_rule, still_severed
from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.observation import Block
from qubesforward.nft.elements_wire import Counter
from qubesforward.nft.refusals import Surroundings, clean_reason, find_misplacement
from qubesforward.nft.selection import Selection

LOG = logging.getLogger(__name__)

_PROTOS = {6: "tcp", 17: "udp"}

_NOBODY = "DROP"
"""Who judges by outbound rules where nobody enforces any."""


def has_stock_rules() -> bool:
    """Whether Qubes' own rules are here, and are those of its iptables times."""
    try:
        return 4 in find_families() and read_tables(4, counters=False).has_stock_chain
    except ApplyError:
        return False


class IptablesBackend:
    """Our chains, kept as ordered. `outbound`: those of outbound rules, too."""

    goes_by_names = True

    def __init__(
        self,
        upset: Callable[[Upset], None],
        *,
        outbound: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._upset = partial(_upset_all, upset)
        self._kernel = IptablesKernel(self._upset)
        self._judges: dict[int, str] = {}
        self.selection = Selection(self._find_refusal)
        self._leftovers = Leftovers(self.selection, Conntrack(), self._sever)
        self._with_outbound = outbound
        self._outbound = Outbound()
        self._clock = clock
        self._here = Surroundings()
        self._place: dict[int, Place] = {}
        self._astray: frozenset[int] = frozenset()
        self._severed: dict[int, list[str]] = {}
        self._trusts = False

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on notice what others change."""
        self._kernel.watch(loop)

    def note_upset(self, what: Upset) -> None:
        """Remember that somebody else may have changed something."""
        self._kernel.distrust()
        if what is not Upset.OUTBOUND:
            self._trusts = False

    @property
    def is_upset(self) -> bool:
        """Whether `converge` has something to put right."""
        return not self._trusts

    @property
    def has_leftovers(self) -> bool:
        """Whether `clear_away` has something to do."""
        return bool(self._leftovers)

    def clear_away(self) -> None:
        """Forget connections that what has changed made wrong."""
        self._leftovers.clear_away()

    def converge(
        self,
        wanted: Mapping[str, Entry],
        here: Surroundings,
        astray: frozenset[int] = frozenset(),
        touched: Iterable[str] | None = None,
    ) -> None:
        """Apply `wanted`, of which only the `touched` changed; None if any may have."""
        try:
            self._converge(wanted, here, astray, touched)
        except ForwardError:
            self._trusts = False
            raise

    def _converge(
        self,
        wanted: Mapping[str, Entry],
        here: Surroundings,
        astray: frozenset[int],
        touched: Iterable[str] | None,
    ) -> None:
        now = self._clock()
        is_full = not self._trusts
        is_moved = (here, astray) != (self._here, self._astray)
        if is_full or is_moved or touched is None:
            touched = wanted.keys() | self.selection.accepted.keys()
        self._trusts = True
        self._here, self._astray = here, astray
        if is_full:
            self.selection.unbar()
            for family in self._kernel.families:
                self._judges[family] = self._find_judge(read_tables(family))
        before = self.selection.update(wanted, touched, here, now)
        changed = {
            entry.family
            for one, old in before.items()
            for entry in (old, self.selection.accepted.get(one))
            if entry is not None
        }
        for family in self._kernel.families:
            if is_full or is_moved or family in changed:
                self._apply(family)
        self._note_idle()
        self._leftovers.note_changed(None if is_full else before)

    def _find_refusal(self, entry: Entry, here: Surroundings) -> str | None:
        if entry.family not in self._kernel.families:
            return f"no iptables for IPv{entry.family} here"
        if entry.entrance is Entrance.ANSWER:
            # There is no set of ports that packets put themselves into.
            return f"in={entry.entrance}: needs nftables"
        if entry.entrance is Entrance.LOCAL and self._judges[entry.family] == _NOBODY:
            return f"in={entry.entrance}: nothing here enforces outbound rules of qubes"
        return find_misplacement(entry, here)

    def _note_idle(self) -> None:
        entries, sources = self.selection.accepted, self._outbound.sources
        # What was refused for want of stock's rules shall have its turn with them.
        waits = bool(self.selection.refused) and _NOBODY in self._judges.values()
        self._kernel.is_idle = not (entries or sources or waits)

    def _apply(self, family: int) -> None:
        """Write a family's entries; refuse those to blame if that is not taken."""
        accepted = self.selection.accepted
        try:
            self._write_twice(family, accepted)
        except ApplyError as error:
            LOG.warning("%s; looking what is wrong", error)
            good: dict[str, Entry] = {}
            self._write_forwards(family, good)
            own = [one for one, entry in accepted.items() if entry.family == family]
            self._apply_halves(family, good, own)
            self._write_forwards(family, good)

    def _write_twice(self, family: int, entries: Mapping[str, Entry]) -> None:
        try:
            self._write_forwards(family, entries)
        except ApplyError as error:
            # Mostly nothing is to blame: others wrote to the tables at that moment.
            LOG.warning("%s; trying again", error)
            self._write_forwards(family, entries)

    def _apply_halves(
        self, family: int, good: dict[str, Entry], more: list[str]
    ) -> None:
        both = good | {one: self.selection.accepted[one] for one in more}
        try:
            self._write_forwards(family, both)
        except ApplyError as error:
            if len(more) == 1:
                self.selection.bar(more[0], clean_reason(f"kernel: {error}"))
            elif more:
                middle = len(more) // 2
                self._apply_halves(family, good, more[:middle])
                self._apply_halves(family, good, more[middle:])
        else:
            good |= both

    def _write_forwards(self, family: int, entries: Mapping[str, Entry]) -> None:
        present = read_tables(family)
        if self._with_outbound and OUTBOUND not in present.chains("filter"):
            # Whatever is not known yet is dropped.
            chains = plan_outbound(family, Outbound())
            self._kernel.write(family, Part.OUTBOUND, chains, present)
            present = read_tables(family)
        severed = self._severed.setdefault(family, present.severed)
        severed = still_severed(severed, self._clock())
        self._severed[family] = severed
        judge = self._find_judge(present)
        if judge != self._judges.get(family, judge):
            # What was accepted for the former one may have to be refused.
            self._upset()
        place = Place(self._here.uplink, self._here.ways_in, self._astray, judge)
        chains = plan_chains(family, place, entries, severed)
        self._kernel.write(family, Part.FORWARDS, chains, present)

    def _find_judge(self, present: Present) -> str:
        if self._with_outbound:
            return OUTBOUND
        if present.has_stock_outbound:
            return STOCK_OUTBOUND
        # Stock's agent takes nftables where it can, and then asks at its own hook.
        return "" if shutil.which("nft") else _NOBODY

    def _sever(self, flows: list[TrackedFlow]) -> None:
        until = int(self._clock()) + SEVERED_FOR
        changed = set()
        for flow in flows:
            back = flow.reply
            proto = _PROTOS.get(back.proto)
            if proto is not None and flow.family in self._severed:
                target = ip_address(back.src), back.src_port
                client = ip_address(back.dst), back.dst_port
                rule = severed_rule(proto, target, client, until)
                self._severed[flow.family].append(rule)
                changed.add(flow.family)
        for family in changed:
            self._write_forwards(family, self.selection.accepted)

    @property
    def make_tables(self) -> MakeTables:
        """What makes the tables of outbound rules."""
        return partial(OutboundChains, self._apply_outbound)

    def _apply_outbound(self, outbound: Outbound) -> None:
        for family in self._kernel.families:
            chains = plan_outbound(family, outbound)
            if self._kernel.needs(family, Part.OUTBOUND, chains):
                present = read_tables(family)
                self._kernel.write(family, Part.OUTBOUND, chains, present)
        self._outbound = outbound
        self._note_idle()

    def withdraw(self) -> None:
        """Close everything, and take the chains of forwards away.

        Outbound rules stay. Raises `ApplyError`; then something may be left.
        """
        self.converge({}, Surroundings())
        self.clear_away()
        for family in self._kernel.families:
            commands = render_removal(Part.FORWARDS, read_tables(family))
            if commands:
                write_tables(family, commands)

    def read_traffic(
        self, entries: Mapping[str, Entry]
    ) -> Mapping[str, Counter | None]:
        """Return what passed by each of these entries, as far as it is there."""
        found: dict[str, Counter] = {}
        for family in {entry.family for entry in entries.values()}:
            counted = self._kernel.add_up(family, read_tables(family))
            found |= sum_counters(counted)
        return {one: found.get(one) for one in entries}

    def read_exactly(self, entry_id: str, entry: Entry) -> Counter | None:
        """Return what passed by one entry, None if the kernel does not hold it."""
        present = read_tables(entry.family)
        if entry_id not in sum_counters(present.counted):
            return None
        return sum_counters(self._kernel.add_up(entry.family, present))[entry_id]

    def read_foreign(self) -> Callable[[str, Entry], Iterator[Block]]:
        """Look at the rules of others; return what finds those in an entry's way."""
        tables = {one: read_chains(save_tables(one)) for one in self._kernel.families}
        return lambda _entry_id, entry: find_foreign(tables[entry.family], entry)


def _upset_all(upset: Callable[[Upset], None]) -> None:
    for what in Upset:
        upset(what)
