# SPDX-License-Identifier: GPL-2.0-or-later
"""What a new connection costs on a hop, by how many forwards there are on it."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Sheet
from bench.hop import KINDS, door_text, make_entries, order_many
from bench.scale import Scale
from bench.standing import ACCEPTOR, CONNECTOR, Standing
from tests.agent.forward_world import HOP, TARGET, World, make_world

PORT = 5001
SINGLE = "a single forward beside"
RULES = "one nft rule each"
SIZES = (1, 100, 1_000, 10_000, 60_000)
MOST_RANGES = 10_000
"""Forwards for sources of odd sizes, and nft rules that are waited for."""

_LATENCY = "time to connect"
_RATE = "connections a second, one after the other"


class _Side:
    """One hop with its forwards, and somebody who connects through them."""

    def __init__(self, stack: ExitStack, name: str, size: int) -> None:
        self.name, self.size = name, size
        folder = stack.enter_context(TemporaryDirectory())
        self.world: World = stack.enter_context(make_world(Path(folder)))
        Standing(stack, self.world.target.script(ACCEPTOR, str(PORT)))
        self.connector = Standing(stack, self.world.lan.script(CONNECTOR))
        self._load()

    def _load(self) -> None:
        if self.name == RULES:
            self.world.hop_agent.kill()
            self.world.hop.nft("delete table inet qubes-forward")
            self.world.hop.nft(_render_rules(self.size))
            self.world.target_agent.order({"0ffffff0": door_text(PORT)})
            return
        entries = make_entries(self.size, KINDS[self.name], TARGET, PORT)
        order_many(self.world.hop_agent, entries)
        self.world.target_agent.order({"0ffffff0": door_text(PORT)})

    def connect(self, count: int, chance: random.Random) -> list[float]:
        """Connect to forwards picked by lot; tell the microseconds of each."""
        ports = [chance.randint(1, self.size) for _ in range(count)]
        took: list[float] = self.connector.ask(HOP, ports)
        return took


def _render_rules(size: int) -> str:
    """Write what the documentation of Qubes has users write, for each forward."""
    lines = [
        "add chain ip qubes custom-dnat"
        " { type nat hook prerouting priority filter + 1; policy accept; }"
    ]
    for port in range(1, size + 1):
        lines.append(
            f'add rule ip qubes custom-dnat iifname "ens0" tcp dport {port}'
            f" ct state new,established,related counter dnat to {TARGET}:{PORT}"
        )
    lines.append(
        f'add rule ip qubes custom-forward iifname "ens0" ip daddr {TARGET}'
        f" tcp dport {PORT} ct state new,established,related counter accept"
    )
    return "\n".join(lines) + "\n"


def measure(scale: Scale, sheet: Sheet) -> None:
    """Compare all sides at one size with one another and with a single forward."""
    for size in scale.pick(SIZES, (1, 20)):
        with ExitStack() as stack:
            names = [
                name
                for name in (*KINDS, RULES)
                if size <= MOST_RANGES or name in list(KINDS)[:2]
            ]
            sides = [_Side(stack, name, size) for name in names]
            single = _Side(stack, next(iter(KINDS)), 1)
            _compare(sides, single, scale, sheet)


def _compare(sides: list[_Side], single: _Side, scale: Scale, sheet: Sheet) -> None:
    chance = random.Random(14)
    count = scale.pick(200, 5)
    for number in range(scale.pick(31, 1)):
        for side in [single, *sides]:
            took = side.connect(count, chance)
            if number == 0 and not scale.tiny:
                continue
            size, name = sides[0].size, side.name
            name = SINGLE if side is single else name
            sheet.note(_LATENCY, name, sorted(took)[count // 2], "µs", size)
            sheet.note(_RATE, name, 1e6 * count / sum(took), "/s", size)
