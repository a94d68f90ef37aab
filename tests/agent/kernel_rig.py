# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel with the tables of Qubes, for tests that run `isolated`."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from qubesforward.agent.backend import Upset
from qubesforward.agent.nft_backend import NftBackend
from qubesforward.nft.shapes import SHAPES

QUBES = """
table ip qubes {
  chain custom-forward {
  }
  chain custom-input {
  }
}
table ip6 qubes {
  chain custom-forward {
  }
  chain custom-input {
  }
}
"""


def nft(commands: str) -> str:
    """Do something to the kernel that is not the agent's doing."""
    done = subprocess.run(
        ["nft", "-f", "-"], input=commands, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def list_nft(*words: str) -> list[dict[str, Any]]:
    """Ask nft itself what is there."""
    done = subprocess.run(["nft", "-j", "list", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, Any]] = json.loads(done.stdout)["nftables"]
    return listed


def elements_of(name: str) -> list[Any]:
    """Return the elements that nft shows for a set or map of our table."""
    kind = "map" if SHAPES[name].data else "set"
    for item in list_nft(kind, "inet", "qubes-forward", name):
        for shown in item.values():
            found: list[Any] = shown.get("elem", [])
            if shown.get("name") == name:
                return found
    raise AssertionError(f"no set {name}")


def our_rules(family: str, chain: str) -> list[str]:
    """Return the comments of the rules in a chain of Qubes."""
    listed = list_nft("chain", family, "qubes", chain)
    return [item["rule"].get("comment", "") for item in listed if "rule" in item]


class Rig:
    """An applier on a kernel, as after a start of the agent."""

    def __init__(self, now: float | None = None) -> None:
        self.upsets: list[Upset] = []
        self.now = now or 0.0
        clock = time.time if now is None else lambda: self.now
        self.applier = NftBackend(self._note_upset, clock)
        self.kernel = self.applier.kernel
        self.conntrack = self.applier.conntrack
        self.selection = self.applier.selection

    def _note_upset(self, what: Upset) -> None:
        self.upsets.append(what)
        self.applier.note_upset(what)
