# SPDX-License-Identifier: GPL-2.0-or-later
"""A QubesDB in memory, with the limits of the real one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_PATH = re.compile(r"/[a-zA-Z0-9_.:/-]{1,62}")


class MemoryStore:
    """What the enforcer uses of QubesDB; `watched` is what it asked to be told."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.watched: list[str] = []

    async def read(self, path: str) -> bytes | None:
        return self.values.get(path)

    async def multiread(self, prefix: str) -> dict[str, bytes]:
        return {p: v for p, v in self.values.items() if p.startswith(prefix)}

    async def write_many(self, items: Sequence[tuple[str, bytes]]) -> None:
        for path, value in items:
            self.put(path, value)

    async def watch(self, path: str) -> None:
        self.watched.append(path)

    def put(self, path: str, value: bytes) -> None:
        assert _PATH.fullmatch(path), path
        assert len(value) <= 3072
        self.values[path] = value

    def publish(self, source: str, rules: Iterable[str], policy: str = "drop") -> str:
        """Give a source rules, as dom0 does; return the path of the commit."""
        self.withdraw(source)
        self.put(f"/qubes-firewall/{source}/policy", policy.encode())
        for number, rule in enumerate(rules):
            path = f"/qubes-firewall/{source}/{number:04}"
            self.put(path, rule.encode("latin-1"))
        self.put(f"/qubes-firewall/{source}", b"")
        return f"/qubes-firewall/{source}"

    def withdraw(self, source: str) -> str:
        """Take a source's rules away; return the path whose removal tells."""
        below = f"/qubes-firewall/{source}/"
        self.values = {p: v for p, v in self.values.items() if not p.startswith(below)}
        self.values.pop(f"/qubes-firewall/{source}", None)
        return f"/qubes-firewall/{source}"
