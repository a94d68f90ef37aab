# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules as a stock qubesd has them: the calls, the files, and QubesDB.

It knows nothing of forwards: the calls take no argument, `action=forward` is an
unknown action, and a netvm is told the rules of the qubes behind it in stock's way,
all of a qube's anew whenever they may have changed.
Source: qubes/firewall.py and qubes/vm/mix/net.py of qubes-core-admin.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from qubesforward.errors import InvalidRule, QubesDBError
from qubesforward.lab.qubesd import network
from qubesforward.lab.qubesd.events import EventHub
from qubesforward.lab.qubesd.faults import bad_value
from qubesforward.lab.qubesd.machine import Databases
from qubesforward.lab.qubesd.state import Computer, Phase, Qube, replace_file
from qubesforward.model.rule import OutboundRule, RuleList
from qubesforward.model.text import format_enforced, format_rule, parse_rules
from qubesforward.model.xml import decode_rule_list, encode_rule_list

_FILE_NAME = "firewall.xml"
_NO_BOOT = ""
_OTHER_FAMILY = {4: "dst6", 6: "dst4"}

_log = logging.getLogger(__name__)

_Place = tuple[str, int, str]
"""A netvm, its domain number, and the address of a qube behind it."""


class StockFirewall:
    """The outbound rules of all qubes, and what netvms have been told of them."""

    def __init__(
        self, computer: Computer, databases: Databases, events: EventHub
    ) -> None:
        self._computer = computer
        self._databases = databases
        self._events = events
        self._told: dict[_Place, dict[str, str]] = {}
        self._telling = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._retelling: asyncio.Task[None] | None = None

    def get(self, qube: Qube) -> str:
        """Return the rules of a qube, a line each."""
        return "".join(f"{format_rule(rule)}\n" for rule in self._read(qube))

    async def set(self, qube: Qube, untrusted_payload: bytes) -> None:
        """Replace the rules of a qube; raises what the caller is answered."""
        try:
            rules = parse_rules(untrusted_payload.decode("ascii"))
        except (InvalidRule, UnicodeDecodeError) as error:
            raise bad_value(str(error)) from None
        outbound = tuple(rule for rule in rules if isinstance(rule, OutboundRule))
        if len(outbound) != len(rules):
            raise bad_value("'forward' is not a valid RuleAction")
        text = encode_rule_list(RuleList(outbound=outbound), time.time()).decode()
        replace_file(self._file_of(qube), text, durable=True)
        await self.reload(qube)

    async def reload(self, qube: Qube) -> None:
        """Have the rules of a qube told again, changed or not."""
        self._events.emit(qube.name, "firewall-changed")
        addresses = self._addresses(qube)
        for place in [place for place in self._told if place[2] in addresses]:
            del self._told[place]
        await self.tell()

    async def tell(self) -> None:
        """Tell every netvm that runs the rules of those behind it that run."""
        async with self._telling:
            for place, keys in self._plan().items():
                if self._told.get(place) == keys:
                    continue
                top = f"/qubes-firewall/{place[2]}"
                try:
                    await self._databases.replace_below(place[0], top, keys)
                    self._told[place] = keys
                except QubesDBError as error:
                    _log.warning("%s: outbound rules: %s", place[0], error)
        self._set_timer()

    def _plan(self) -> dict[_Place, dict[str, str]]:
        planned = {}
        for qube in self._running():
            netvm = network.netvm_of(self._computer, qube)
            backend = self._computer.running.get(netvm.name) if netvm else None
            if netvm is None or backend is None or backend.phase is Phase.STARTING:
                continue
            for address in self._addresses(qube):
                family = 6 if ":" in address else 4
                place = netvm.name, backend.xid, address
                planned[place] = _format_keys(self._read(qube), family)
        return planned

    def _running(self) -> Iterator[Qube]:
        for name, domain in self._computer.running.items():
            if domain.phase is not Phase.STARTING and name in self._computer.qubes:
                yield self._computer.qubes[name]

    def _addresses(self, qube: Qube) -> list[str]:
        found = (
            network.ip_of(self._computer, qube),
            network.ip6_of(self._computer, qube),
        )
        return [address for address in found if address]

    def _set_timer(self) -> None:
        """Arrange for rules that end to be taken out then."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ends = [
            rule.expire
            for qube in self._running()
            for rule in self._read(qube)
            if isinstance(rule.expire, int)
        ]
        if ends:
            loop = asyncio.get_running_loop()
            wait = max(0.0, min(ends) - time.time())
            self._timer = loop.call_later(wait, self._tell_soon)

    def _tell_soon(self) -> None:
        self._retelling = asyncio.get_running_loop().create_task(self.tell())

    def _read(self, qube: Qube) -> list[OutboundRule]:
        """Return the rules of a qube that have not ended, drop for a bad file."""
        file, now = self._file_of(qube), time.time()
        template = network.template_of(self._computer, qube)
        if not file.exists() and qube.klass == "DispVM" and template is not None:
            file = self._file_of(template)
        try:
            rules = decode_rule_list(file.read_bytes(), now, _NO_BOOT).outbound
        except FileNotFoundError:
            rules = RuleList().outbound
        except (OSError, InvalidRule) as error:
            _log.error("%s: %s", file, error)
            rules = ()
        return [rule for rule in rules if not rule.has_ended(now)]

    def _file_of(self, qube: Qube) -> Path:
        return self._computer.paths.directory(qube) / _FILE_NAME


def _format_keys(rules: list[OutboundRule], family: int) -> dict[str, str]:
    """Write rules as QubesDB has them; those for the other family are left out."""
    keys = {"policy": "drop"}
    for number, rule in enumerate(rules):
        if rule.dsthost is None or rule.dsthost.kind != _OTHER_FAMILY[family]:
            keys[f"{number:04}"] = format_enforced(rule)
    return keys
