# SPDX-License-Identifier: GPL-2.0-or-later
"""How long it takes to open a forward and to close it again, by length of the chain."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from bench.figures import Sheet
from bench.labs import CARD, CHAINS, addresses_of, bench_lab, stand
from bench.scale import Scale
from bench.scripted import closing_commands, opening_commands, quote
from bench.standing import DIALLER, SENDER, SHELL, Standing

OURS = "qubes-forward"
TYPED = "documented commands"
BATCH = "the same, one nft a qube"
SIDES = (OURS, TYPED, BATCH)

_PORTS = dict(zip(SIDES, (5001, 5002, 5003), strict=True))

# [method, target, hops, rule]: makes a call and waits until every hop has said that it
# has what was published to it; tells when it began, was answered, and when all had.
_CALLER = """
import asyncio, json, sys, time
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.paths import qubesdb_socket
from qubesforward.qubes.qubesdb import QubesDB
client = AsyncAdminClient()
open_ = {}
async def reach(hop):
    if hop not in open_:
        open_[hop] = await QubesDB.connect(qubesdb_socket(hop))
        await open_[hop].watch("/qubes-forward-handled")
    return open_[hop]
async def wait(db):
    ordered = await db.read("/qubes-forward")
    while await db.read("/qubes-forward-handled") != ordered:
        await db.next_event()
async def change(method, target, hops, rule):
    dbs = [await reach(hop) for hop in hops]
    began = time.monotonic()
    await client.call(f"admin.vm.firewall.{method}", target, "forward", rule.encode())
    answered = time.monotonic()
    await asyncio.gather(*(wait(db) for db in dbs))
    return [began, answered, time.monotonic()]
with asyncio.Runner() as runner:
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(runner.run(change(*json.loads(line)))), flush=True)
"""


class _World:
    """The lab, with somebody in every place who acts on request."""

    def __init__(self, stack: ExitStack) -> None:
        lab = stack.enter_context(bench_lab())
        self.addresses = addresses_of(lab)
        self.caller = stand(stack, lab, "dom0", _CALLER)
        self.dialler = stand(stack, lab, "lan", DIALLER)
        self.shells: dict[str, Standing] = {}
        for name in self.addresses:
            self.shells[name] = stand(stack, lab, name, SHELL)
        for chain in CHAINS.values():
            stand(stack, lab, chain[0], SENDER, *map(str, _PORTS.values()))

    def call(self, method: str, length: int) -> tuple[float, float, float]:
        """Add or remove the forward of a chain; tell three moments."""
        chain = CHAINS[length]
        port = _PORTS[OURS]
        rule = f"action=forward forwardtype=external proto=tcp srcports={port}-{port}"
        began, answered, done = self.caller.ask(method, chain[0], chain, rule)
        return began, answered, done

    def type_in(self, commands: list[tuple[str, list[str]]]) -> tuple[float, float]:
        """Run shell commands in qubes, one after the other; tell first and last."""
        moments = [
            self.shells[name].ask(f"{command} >/dev/null")
            for name, some in commands
            for command in some
        ]
        return moments[0][0], moments[-1][1]

    def dial(self, side: str) -> float:
        """Connect as soon as possible; tell when that was answered."""
        answered = self.dialler.ask("connect", CARD, _PORTS[side], 5.0)
        if answered is None:
            raise RuntimeError(f"{side}: not opened")
        return float(answered)


def measure(scale: Scale, sheet: Sheet) -> None:
    """Open and close, again and again, each way after the other."""
    with ExitStack() as stack:
        world = _World(stack)
        for number in range(scale.pick(31, 1)):
            for length in CHAINS:
                # The first round finds everything cold, and is not counted.
                into = sheet if number or scale.tiny else Sheet()
                _open_and_close_ours(world, length, into)
                for side in (TYPED, BATCH):
                    _open_and_close_typed(world, length, side, into)


def _open_and_close_ours(world: _World, length: int, sheet: Sheet) -> None:
    note = _noting(sheet, OURS, length)
    began, answered, done = world.call("Add", length)
    note("call answered", answered - began)
    note("every hop acknowledged", done - began)
    note("first connection answered", world.dial(OURS) - began)
    world.dialler.tell("flow", 0.1)
    began, _answered, done = world.call("Remove", length)
    last = float(world.dialler.listen())
    note("closed", done - began)
    note("running transfer stopped", last - began)


def _open_and_close_typed(world: _World, length: int, side: str, sheet: Sheet) -> None:
    note = _noting(sheet, side, length)
    port = _PORTS[side]
    chain = CHAINS[length]
    commands = opening_commands(chain, world.addresses, port)
    join = [(n, some if side == TYPED else ["; ".join(some)]) for n, some in commands]
    began, done = world.type_in([(n, list(map(quote, some))) for n, some in join])
    note("every hop acknowledged", done - began)
    note("first connection answered", world.dial(side) - began)
    world.dialler.tell("flow", 0.1)
    closing = closing_commands(chain, port)
    began, done = world.type_in(closing)
    last = float(world.dialler.listen())
    note("closed", done - began)
    # Base rules accept what is established, so this is when looking ended, not it.
    note("running transfer stopped", last - began)


def _noting(sheet: Sheet, side: str, length: int) -> Callable[[str, float], None]:
    def note(what: str, seconds: float) -> None:
        sheet.note(what, side, seconds * 1000, "ms", length)

    return note
