# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules as the QubesDB of each netvm must hold them (design, section 7).

Paths here are relative to ``/qubes-firewall/``; the first part is the address of
the qube that the rules are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qubesforward.model.rule import OutboundRule
from qubesforward.model.text import format_enforced
from qubesforward.plan.snapshot import Snapshot

Tree = Mapping[str, Mapping[str, str]]
"""By source address, then by key (``policy``, ``0000``, …): the values."""


@dataclass(frozen=True, slots=True)
class OutboundDiff:
    """What to change in one netvm; `sources` must be committed afterwards.

    `remove` and the keys of `write` are relative paths. A source in `gone` has no
    rules any more.
    """

    remove: tuple[str, ...] = ()
    write: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def plan_outbound(
    rules: Mapping[str, tuple[OutboundRule, ...]], snapshot: Snapshot, now: float
) -> dict[str, Tree]:
    """Give, for every netvm by name, the rules of the running qubes below it.

    A qube without rules in `rules` gets the bare policy: everything is dropped.
    Expired rules (`now` is seconds since 1970) are left out.
    """
    trees: dict[str, dict[str, Mapping[str, str]]] = {}
    for qube in snapshot.values():
        if qube.netvm is None or not qube.running:
            continue
        keys = _plan_keys(rules.get(qube.name, ()), now)
        for address in (qube.ip, qube.ip6):
            if address is not None:
                trees.setdefault(qube.netvm, {})[str(address)] = keys
    return dict(trees)


def _plan_keys(rules: tuple[OutboundRule, ...], now: float) -> dict[str, str]:
    alive = [rule for rule in rules if not rule.has_ended(now)]
    keys = {f"{number:04}": format_enforced(rule) for number, rule in enumerate(alive)}
    return {"policy": "drop", **keys}


def diff_outbound(wanted: Tree, present: Tree) -> OutboundDiff:
    """Compare what a netvm must have with what its QubesDB holds."""
    remove: list[str] = []
    write: dict[str, str] = {}
    sources: list[str] = []
    for source, keys in wanted.items():
        old = present.get(source, {})
        if old == keys:
            continue
        sources.append(source)
        remove += [f"{source}/{key}" for key in old if key not in keys]
        write |= {
            f"{source}/{key}": value
            for key, value in keys.items()
            if old.get(key) != value
        }
    gone = tuple(source for source in present if source not in wanted)
    return OutboundDiff(tuple(remove), write, tuple(sources), gone)
