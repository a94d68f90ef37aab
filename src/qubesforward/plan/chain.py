# SPDX-License-Identifier: GPL-2.0-or-later
"""The chain of network qubes above a qube."""

from __future__ import annotations

from qubesforward.errors import ForwardError
from qubesforward.model.rule import ForwardType
from qubesforward.plan.snapshot import Qube, Snapshot


class Unreachable(ForwardError):
    """There is no chain that a forward to this qube could go through; says why."""


def plan_chain(
    target: str, forwardtype: ForwardType, snapshot: Snapshot
) -> tuple[Qube, ...]:
    """Return the target and the hops that the forward needs, the outermost last.

    An internal forward needs only the target's own netvm. Raises `Unreachable`
    where a netvm is missing, or is part of a loop, or a hop has no agent.
    """
    qube = snapshot.get(target)
    if qube is None:
        raise Unreachable(f"there is no qube {target}")
    if qube.netvm is None:
        raise Unreachable(f"{target} has no netvm")
    chain = [qube]
    seen = {target}
    while chain[-1].netvm is not None:
        below, name = chain[-1].name, chain[-1].netvm
        if name in seen:
            raise Unreachable(f"the netvm of {below} is {name}: a loop")
        hop = snapshot.get(name)
        if hop is None:
            raise Unreachable(f"the netvm of {below} is {name}, which does not exist")
        if not hop.agent:
            raise Unreachable(f"{name} has no forwarding agent")
        chain.append(hop)
        seen.add(name)
        if forwardtype is ForwardType.INTERNAL:
            break
    return tuple(chain)
