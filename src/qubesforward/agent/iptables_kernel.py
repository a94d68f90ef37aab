# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's handle on iptables: its own programs, and what they say is there.

Nobody tells of changes in the tables of iptables-legacy, so they are looked at again
and again. Only ``iptables-save`` and ``iptables-restore`` are used, so it does not
matter which kind of tables they work on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from qubesforward.errors import ApplyError
from qubesforward.iptables.layout import Chains
from qubesforward.iptables.restore import (
    Counted,
    Part,
    Present,
    parse_save,
    render_restore,
)
from qubesforward.nft.elements_wire import Counter

LOG = logging.getLogger(__name__)

_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_IPV6 = Path("/proc/sys/net/ipv6")

_PATIENCE = 10
_FOR_LOCK = "5"
"""Seconds that a program may take, and may wait for others to let go of the tables."""

_PERIOD = 0.3
_IDLE_PERIOD = 5.0
"""Seconds after which the tables are looked at again: while something of ours that
counts is there, and otherwise."""

_RESPITE = 20
"""How many times as long as that takes, at least, it is not done again."""

_NOTHING = Counter(0, 0)


def find_families() -> tuple[int, ...]:
    """Return the IP versions for which there are programs and a kernel."""
    return tuple(
        family
        for family, name in _PROGRAMS.items()
        if shutil.which(f"{name}-restore") and (family == 4 or _IPV6.exists())
    )


def read_tables(family: int, *, counters: bool = True) -> Present:
    """Return what is there of one IP version. Raises `ApplyError`."""
    options = ["--counters"] if counters else []
    return parse_save(save_tables(family, *options))


def save_tables(family: int, *options: str) -> str:
    """Return what iptables-save prints of one IP version. Raises `ApplyError`."""
    return _run([f"{_PROGRAMS[family]}-save", *options])


def write_tables(family: int, commands: str) -> None:
    """Have iptables-restore do this, table by table. Raises `ApplyError`."""
    options = ["--noflush", "--counters", "--wait", _FOR_LOCK]
    _run([f"{_PROGRAMS[family]}-restore", *options], commands)


def _run(command: list[str], text: str = "") -> str:
    LOG.debug("%s", " ".join(command))
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=True,
            env=environment,
        )
    except subprocess.CalledProcessError as error:
        said = " ".join(str(error.stderr).split())
        raise ApplyError(f"{command[0]}: {said}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyError(f"{command[0]}: {error}") from error
    return done.stdout


class IptablesKernel:
    """The tables of this network namespace, as far as they are ours.

    `changed` is called when they are not as they were left. With `is_idle` that is
    looked at less often.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        """Look what there is; raise `ApplyError` if it is none that may be used."""
        self.families = find_families()
        if 4 not in self.families:
            raise ApplyError("neither nftables nor iptables is here")
        for family in self.families:
            read_tables(family)
        self.is_idle = True
        self._changed = changed
        self._left: dict[tuple[int, Part], object] = {}
        self._written: dict[tuple[int, Part], Chains] = {}
        # What counted before, where iptables-restore does not take it over.
        self._before: dict[int, Counted] = {}

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the tables again and again, from now on."""
        loop.call_later(_PERIOD, self._look, loop, 0.0)

    def _look(self, loop: asyncio.AbstractEventLoop, rest: float) -> None:
        started = time.monotonic()
        period = _PERIOD if not self.is_idle else _IDLE_PERIOD
        if rest <= 0:
            rest = period
            self._compare()
        rest = min(rest, period) - _PERIOD
        pause = max(_PERIOD, _RESPITE * (time.monotonic() - started))
        loop.call_later(pause, self._look, loop, rest)

    def _compare(self) -> None:
        try:
            present = {
                family: read_tables(family, counters=False)
                for family in {family for family, _part in self._left}
            }
        except ApplyError as error:
            LOG.warning("cannot look at the tables: %s", error)
            return
        if any(
            present[family].look_of(part) != left
            for (family, part), left in self._left.items()
        ):
            self._changed()

    def write(self, family: int, part: Part, chains: Chains, present: Present) -> None:
        """Make what is `present` hold these chains. Raises `ApplyError`.

        Tables before the one that was not taken are changed then.
        """
        self._written.pop((family, part), None)
        before = self.add_up(family, present)
        write_tables(family, render_restore(part, chains, present, before))
        after = read_tables(family)
        self._left[family, part] = after.look_of(part)
        self._written[family, part] = chains
        self._before[family] = {
            key: _subtract(before.get(key, _NOTHING), counter)
            for key, counter in after.counted.items()
        }

    def needs(self, family: int, part: Part, chains: Chains) -> bool:
        """Whether these chains are others than those written last, as far as known."""
        return self._written.get((family, part)) != chains

    def distrust(self) -> None:
        """Do not trust that the tables are as they were left."""
        self._written.clear()

    def add_up(self, family: int, present: Present) -> Counted:
        """Return what was counted in all, by those rules that are present."""
        before = self._before.get(family, {})
        return before | {
            key: _add(before.get(key, _NOTHING), counter)
            for key, counter in present.counted.items()
        }


def _add(one: Counter, other: Counter) -> Counter:
    return Counter(one.packets + other.packets, one.bytes + other.bytes)


def _subtract(one: Counter, other: Counter) -> Counter:
    return Counter(max(0, one.packets - other.packets), max(0, one.bytes - other.bytes))
