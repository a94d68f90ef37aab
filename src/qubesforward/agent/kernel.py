# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's handle on the kernel's nftables.

Rules are written through libnftables, in this process; elements, and all reading
back, go by netlink (see `qubesforward.nft.elements_wire` for why).
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import nftables

from qubesforward.agent.backend import Upset
from qubesforward.agent.netlink import (
    NETLINK_NETFILTER,
    NetlinkError,
    NetlinkListener,
    NetlinkSocket,
)
from qubesforward.errors import ApplyError
from qubesforward.nft.elements_wire import (
    GETSETELEM,
    NFPROTO_INET,
    Element,
    decode_elements,
    encode_batch,
    encode_dump,
    encode_get,
    encode_nfnetlink,
)
from qubesforward.nft.forwards import Place, place
from qubesforward.nft.layout import CUSTOM_TABLE, MARKER, TABLE
from qubesforward.nft.outbound import TABLE as OUTBOUND_TABLE
from qubesforward.nft.readback import (
    GETCHAIN,
    GETGEN,
    GETRULE,
    GETTABLE,
    NEWGEN,
    PresentRule,
    decode_generation,
    decode_rule,
    decode_table_flags,
    decode_table_name,
    encode_chain_name,
    encode_rules_of,
    encode_table_name,
)
from qubesforward.nft.shapes import SHAPES

LOG = logging.getLogger(__name__)

_NFPROTO = {4: 2, 6: 10}
_NFNLGRP_NFTABLES = 7

_TRIES = 10
"""How often a set is read until two readings agree."""


@dataclass(frozen=True, slots=True)
class PresentTable:
    """Our table as it is: with which layout (by its marker), and with which rules."""

    is_ours: bool
    rules: list[PresentRule]


_WATCHED = {
    TABLE: Upset.TABLE,
    CUSTOM_TABLE: Upset.CUSTOM,
    OUTBOUND_TABLE: Upset.OUTBOUND,
}


class Kernel:
    """nftables of the network namespace that this object was made in.

    `upset` is called when somebody else may have changed what concerns us; it may be
    called too often, and from within a method that changes something.
    """

    def __init__(self, upset: Callable[[Upset], None] = lambda _what: None) -> None:
        self._nft = nftables.Nftables()
        self._socket = NetlinkSocket(NETLINK_NETFILTER)
        self._listener = NetlinkListener(NETLINK_NETFILTER, [_NFNLGRP_NFTABLES])
        self._upset = upset
        self._generation = self._read_generation()

    def close(self) -> None:
        """Close the sockets; rules stay."""
        self._socket.close()
        self._listener.close()

    def fileno(self) -> int:
        """Return the descriptor that is readable when `take_notices` has work."""
        return self._listener.fileno()

    def take_notices(self) -> None:
        """Read what others changed; call `upset` if it may concern us."""
        notices = self._listener.take()
        self._generation = self._read_generation()
        if notices is None:
            self._upset_all()
            return
        tables = {
            decode_table_name(notice.payload)
            for notice in notices
            if notice.kind != NEWGEN
        }
        for table, what in _WATCHED.items():
            if table in tables:
                self._upset(what)

    def _upset_all(self) -> None:
        for what in Upset:
            self._upset(what)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Tell our own changes from those of others, by the generation's number.

        Our own are not listened to: ten thousand elements would be as many notices.
        """
        self.take_notices()
        self._listener.pause()
        try:
            yield
        finally:
            self._listener.resume()
            generation = self._read_generation()
            if generation - self._generation > 1:
                self._upset_all()
            self._generation = generation

    def run_nft(self, commands: str) -> None:
        """Apply nft commands as one transaction, or raise `ApplyError`."""
        with self._changing():
            status, _output, problem = self._nft.cmd(commands)
        if status != 0:
            raise ApplyError(f"nft: {problem.strip().partition(chr(10))[0]}")

    def change(
        self,
        removed: Iterable[Element],
        added: Iterable[Element],
        now: float,
        *,
        exclusive: bool = True,
    ) -> None:
        """Change elements of our table as one transaction, or raise `NetlinkError`.

        With `exclusive` it is an error that an element to add is there.
        """
        batch, last = encode_batch(TABLE, removed, added, now, exclusive=exclusive)
        if last == 0:
            return
        with self._changing():
            self._socket.send_batch(batch, last)

    def read_elements(self, now: float) -> dict[Place, Element]:
        """Return all elements of our table that do not come from packets.

        Sets that are missing, as in an older layout, have none.
        """
        found: dict[Place, Element] = {}
        for name, shape in SHAPES.items():
            if "dynamic" not in shape.flags:
                found |= self._dump_set(name, now)
        return found

    def read_counted(self, now: float) -> Iterator[Element]:
        """Give the elements that count what passes."""
        for name, shape in SHAPES.items():
            if shape.counter:
                yield from self._dump_set(name, now).values()

    def _dump_set(self, name: str, now: float) -> dict[Place, Element]:
        request = encode_dump(TABLE, name)
        before: dict[Place, Element] | None = None
        for _ in range(_TRIES):
            answers = self._dump_if_there(GETSETELEM, request, f"set {name}")
            found = {
                place(element): element
                for answer in answers
                for element in decode_elements(answer, now)
            }
            # A hash that still grows after many additions is walked with gaps, so
            # what takes more than one part is only believed if it is said twice.
            if len(answers) <= 1 or (
                before is not None and before.keys() == found.keys()
            ):
                return found
            before = found
        raise ApplyError(f"set {name}: changes faster than it can be read")

    def read_element(self, element: Element, now: float) -> Element | None:
        """Return this element as it is now, None if it is not there."""
        try:
            answer = self._socket.ask(GETSETELEM, encode_get(TABLE, element), "element")
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return next(decode_elements(answer, now), None)

    def read_table(self) -> PresentTable | None:
        """Return our table, None if there is none."""
        where = encode_nfnetlink(NFPROTO_INET, encode_table_name(TABLE))
        table = self._ask_if_there(GETTABLE, where)
        if table is None:
            return None
        is_ours = decode_table_flags(table) == 0 and self._has_chain(
            NFPROTO_INET, TABLE, MARKER
        )
        return PresentTable(is_ours, self._dump_rules(where))

    def read_custom_rules(self, family: int, chain: str) -> list[PresentRule] | None:
        """Return the rules of a chain of Qubes, None if there is no such chain."""
        number = _NFPROTO[family]
        if not self._has_chain(number, CUSTOM_TABLE, chain):
            return None
        attributes = encode_rules_of(CUSTOM_TABLE, chain)
        return self._dump_rules(encode_nfnetlink(number, attributes))

    def _dump_rules(self, payload: bytes) -> list[PresentRule]:
        answers = self._socket.dump(GETRULE, payload, "rules")
        return [decode_rule(answer) for answer in answers]

    def _has_chain(self, family: int, table: str, chain: str) -> bool:
        payload = encode_nfnetlink(family, encode_chain_name(table, chain))
        return self._ask_if_there(GETCHAIN, payload) is not None

    def _dump_if_there(self, kind: int, payload: bytes, what: str) -> list[bytes]:
        try:
            return self._socket.dump(kind, payload, what)
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return []
            raise

    def _ask_if_there(self, kind: int, payload: bytes) -> bytes | None:
        try:
            return self._socket.ask(kind, payload, "nftables")
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    def _read_generation(self) -> int:
        payload = encode_nfnetlink(0)
        return decode_generation(self._socket.ask(GETGEN, payload, "generation"))
