# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent needs of a packet filter, and which one it uses here."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Protocol

from qubesforward.agent.netlink import NetlinkError
from qubesforward.agent.outbound_tables import MakeTables
from qubesforward.model.entry import Entry
from qubesforward.model.observation import Block
from qubesforward.nft.elements_wire import Counter
from qubesforward.nft.refusals import Surroundings
from qubesforward.nft.selection import Selection

LOG = logging.getLogger(__name__)

KINDS = ("auto", "nft", "iptables")


class Upset(Enum):
    """What somebody else may have changed."""

    TABLE = "our table"
    CUSTOM = "the chains of Qubes"
    OUTBOUND = "outbound rules"


class Backend(Protocol):
    """A packet filter that is kept as dom0 orders.

    `goes_by_names`: interfaces are known by their names, not by their groups.
    """

    goes_by_names: bool

    @property
    def selection(self) -> Selection:
        """What is applied, and what was refused."""

    @property
    def is_upset(self) -> bool:
        """Whether `converge` has something to put right."""

    @property
    def has_leftovers(self) -> bool:
        """Whether `clear_away` has something to do."""

    @property
    def make_tables(self) -> MakeTables:
        """What makes the tables of outbound rules."""

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on notice what others change."""

    def note_upset(self, what: Upset) -> None:
        """Remember that somebody else may have changed something."""

    def converge(
        self,
        wanted: Mapping[str, Entry],
        here: Surroundings,
        astray: frozenset[int] = frozenset(),
        touched: Iterable[str] | None = None,
    ) -> None:
        """Apply `wanted`, of which only the `touched` changed; None if any may have.

        Raises `ApplyError` or `MalformedMessage`; the next call then starts from what
        the kernel has.
        """

    def clear_away(self) -> None:
        """Forget connections that what has changed made wrong."""

    def read_traffic(
        self, entries: Mapping[str, Entry]
    ) -> Mapping[str, Counter | None]:
        """Return what passed by each of these entries, as far as it is there."""

    def read_exactly(self, entry_id: str, entry: Entry) -> Counter | None:
        """Return what passed by one entry, None if the kernel does not hold it."""

    def read_foreign(self) -> Callable[[str, Entry], Iterator[Block]]:
        """Look at the rules of others; return what finds those in an entry's way."""


def make_backend(
    kind: str, upset: Callable[[Upset], None], *, outbound: bool
) -> Backend:
    """Return the backend of a kind of `KINDS`; raises `ApplyError` if there is none.

    `auto` takes nftables where it is, unless Qubes' own rules here are those of its
    iptables times. `outbound`: the agent is to enforce outbound rules as well.
    """
    # Imported only where needed: of nftables the library may be missing.
    from qubesforward.agent.iptables_backend import IptablesBackend

    if uses_nftables(kind):
        from qubesforward.agent.nft_backend import NftBackend

        return NftBackend(upset)
    LOG.info("this qube has no nftables that Qubes uses: using iptables")
    return IptablesBackend(upset, outbound=outbound)


def uses_nftables(kind: str) -> bool:
    """Whether a kind of `KINDS` means nftables here."""
    from qubesforward.agent.iptables_backend import has_stock_rules

    is_found = kind == "auto" and has_nftables() and not has_stock_rules()
    return kind == "nft" or is_found


def has_nftables() -> bool:
    """Whether rules of nftables can be written here."""
    try:
        from qubesforward.agent.kernel import Kernel

        Kernel().close()
    except PermissionError:
        raise
    except (ImportError, AttributeError, OSError) as error:
        LOG.info("no nftables: %s", error)
        return False
    except NetlinkError as error:
        # Whoever may not use them shall not look for a way around that.
        if error.errno in (errno.EPERM, errno.EACCES):
            raise
        LOG.info("no nftables: %s", error)
        return False
    return True
