# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of others in this kernel that are in the way of forwards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import nftables

from qubesforward.errors import ApplyError
from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.observation import Block
from qubesforward.nft.layout import CUSTOM_TABLE, TABLE
from qubesforward.nft.outbound import TABLE as OUTBOUND_TABLE
from qubesforward.nft.packet import FORWARD, INPUT, PREROUTING, packet_of
from qubesforward.nft.walk import Found, Table, find_blocks, read_tables

_HOOKS = (PREROUTING, INPUT, FORWARD)
_HANDLE = re.compile(r"\s*(.*?) # handle ([0-9]+)")
_FAMILY_WORDS = {4: ("ip", "inet"), 6: ("ip6", "inet")}


class ForeignRules:
    """The tables of others as they are when this is made. Raises `ApplyError`."""

    def __init__(self) -> None:
        # Another handle than the agent's own: what it prints is set here.
        self._nft = nftables.Nftables()
        self._nft.set_terse_output(True)
        self._nft.set_stateless_output(True)
        self._texts: dict[tuple[str, str, str], dict[int, str]] = {}
        self._tables = list(self._read())

    def _read(self) -> Iterator[Table]:
        hooked = {
            (str(chain["family"]), str(chain["table"]))
            for item in self._list_json("chains")
            if (chain := item.get("chain")) and chain.get("hook") in _HOOKS
        }
        # Our own is not read: it may hold ten thousands of elements.
        for family, name in sorted(hooked - {("inet", TABLE)}):
            yield from read_tables(self._list_json(f"table {family} {name}"))

    def find_blocks(self, entry_id: str, entry: Entry) -> Iterator[Block]:
        """Give what would stop packets of an entry that is applied."""
        main = INPUT if entry.is_door else FORWARD
        for hook in (PREROUTING, main):
            packet = packet_of(entry_id, entry, hook)
            for table in self._tables:
                if table.family in _FAMILY_WORDS[entry.family] and not _is_meant(
                    table, hook, entry
                ):
                    for found in find_blocks(table, hook, packet):
                        yield self._describe(table, hook, found)

    def _describe(self, table: Table, hook: str, found: Found) -> Block:
        rule = "policy drop"
        if found.handle is not None:
            texts = self._read_texts((table.family, table.name, found.chain))
            rule = texts.get(found.handle, "")
        return Block(found.certainty, hook, table.family, table.name, found.chain, rule)

    def _read_texts(self, chain: tuple[str, str, str]) -> dict[int, str]:
        """Return the rules of a chain as nft writes them, by their handles."""
        if chain not in self._texts:
            self._nft.set_handle_output(True)
            listed = self._run(f"list chain {' '.join(chain)}")
            self._nft.set_handle_output(False)
            found = map(_HANDLE.fullmatch, listed.splitlines())
            self._texts[chain] = {int(one[2]): one[1] for one in found if one}
        return self._texts[chain]

    def _list_json(self, what: str) -> list[dict[str, Any]]:
        self._nft.set_json_output(True)
        try:
            listed: list[dict[str, Any]] = json.loads(self._run(f"list {what}"))[
                "nftables"
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise ApplyError(f"nft list {what}: cannot be read") from error
        finally:
            self._nft.set_json_output(False)
        return listed

    def _run(self, command: str) -> str:
        status, output, problem = self._nft.cmd(command)
        if status != 0:
            raise ApplyError(f"nft {command}: {problem.strip().partition(chr(10))[0]}")
        return str(output)


def _is_meant(table: Table, hook: str, entry: Entry) -> bool:
    """Whether a table stops packets by design, which is nothing to tell about."""
    if table.name == OUTBOUND_TABLE:
        # Outbound rules of the qube that connects hold for internal forwards too.
        return hook == PREROUTING or entry.entrance is Entrance.LOCAL
    # There Qubes drops what has a forged source.
    return table.name == CUSTOM_TABLE and hook == PREROUTING
