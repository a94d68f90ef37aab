# SPDX-License-Identifier: GPL-2.0-or-later
"""Qubes whose packet filter is iptables, of one of its two kinds."""

from __future__ import annotations

import os
from pathlib import Path

import qubesforward.lab
from tests.agent.outbound_world import Space
from tests.agent.packet_filter import PacketFilter

KINDS = ("legacy", "nft")
"""On which tables the programs work: those of old, or nftables in old words."""

PROGRAMS = [
    f"{name}{end}"
    for name in ("iptables", "ip6tables")
    for end in ("", "-save", "-restore")
]

_BASE = Path(qubesforward.lab.__file__).parent


def install(folder: Path, kind: str) -> dict[str, str]:
    """Put the programs of a kind in front of others; return the environment to use."""
    for name in PROGRAMS:
        (folder / name).symlink_to(f"/usr/sbin/xtables-{kind}-multi")
    path = f"{folder}:{os.environ['PATH']}:/usr/sbin"
    # The lock would be that of the whole computer.
    return {"PATH": path, "XTABLES_LOCKFILE": str(folder / "lock")}


def run(space: Space, environment: dict[str, str], *commands: str) -> str:
    """Run shell commands in a space with these programs."""
    settings = [f"export {name}={value}" for name, value in environment.items()]
    return space.run(*settings, *commands)


def iptables_filter(folder: Path, kind: str) -> PacketFilter:
    """Say what a world with iptables is; its programs go in `folder`."""
    environment = install(folder, kind)

    def load(space: Space) -> None:
        load_base(space, environment)

    return PacketFilter(load, ("--backend", "iptables"), environment)


def load_base(space: Space, environment: dict[str, str]) -> None:
    """Load what Qubes had in every qube, in place of all that is there."""
    run(
        space,
        environment,
        f"iptables-restore {_BASE / 'base.rules4'}",
        f"ip6tables-restore {_BASE / 'base.rules6'}",
    )
