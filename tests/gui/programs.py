# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of `work` that ask for ports, by way of the gateway in sys-firewall."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from qubesforward.qubes.mapping_wire import Client, FromGateway
from tests.daemon.gateway_end import GatewayEnd
from tests.gui.daemon_thread import Computer


@contextmanager
def asking(
    computer: Computer, **policy: str
) -> Iterator[Callable[[FromGateway], None]]:
    """Have programs of `work` ask; yields how. `policy` are its features."""
    features = {name.replace("_", "-"): value for name, value in policy.items()}
    world = computer.world
    computer.do(lambda: world.features.setdefault("work", {}).update(features))
    for name in features:
        computer.do(partial(world.tell, "work", f"domain-feature-set:{name}"))
    gateway = GatewayEnd(world)
    computer.run(gateway.__aenter__())
    try:
        computer.run(gateway.wait_for(lambda told: isinstance(told, Client)))
        yield lambda message: computer.do(lambda: gateway.send(message))
    finally:
        computer.run(gateway.__aexit__(None, None, None))
