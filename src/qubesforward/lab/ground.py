# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose programs run in dom0 and in the qubes: the source tree's, or packages'.

Usually a domain sees the host's programs, and ours from the source tree. On another
ground it sees those of a root file system that packages were installed into, or the
host's with unpacked packages laid over them; ours are then the packages' and no others.
Programs of the lab itself are the source tree's on every ground.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from qubesforward.errors import LabError

PACKAGED = {
    **{
        name: f"usr/bin/{name}"
        for name in (
            "qubes-forwardd",
            "qubes-forward-agent",
            "qubes-forward-gateway",
            "qubes-forward-settings",
            "qubes-forward-prompt",
            "qvm-forward",
        )
    },
    "qvm-firewall": "usr/lib/qubes-forward/bin/qvm-firewall",
}
"""Where packages have our programs."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a domain's root is made of, as paths on the host.

    `root` is a whole root file system, empty for the host's own; `packages` a directory
    with unpacked packages, to be laid over that.
    """

    root: str = ""
    packages: str = ""

    @property
    def is_packaged(self) -> bool:
        """Whether our programs come from packages."""
        return bool(self.root or self.packages)

    def find(self, name: str, host: str) -> str:
        """Return where a file of the packages is on the host, empty if nowhere.

        `host` is where the host's root is seen now.
        """
        for top in filter(None, (self.packages, self.root)):
            if Path(f"{host}{top}/{name}").exists():
                return f"{top}/{name}"
        return ""

    def seen_from(self, host: str) -> Ground:
        """Return the same where the host's root is seen as `host`."""
        return Ground(host + self.root, self.packages and host + self.packages)


@dataclass(frozen=True, slots=True)
class Grounds:
    """Those of dom0 and of every qube."""

    dom0: Ground = field(default_factory=Ground)
    qubes: Ground = field(default_factory=Ground)


def find_grounds(words: list[str]) -> Grounds:
    """Return what options such as ``qubes-root=DIRECTORY`` say; raise `LabError`."""
    grounds = Grounds()
    for word in words:
        where, equals, directory = word.partition("=")
        domain, _, kind = where.partition("-")
        known = domain in ("dom0", "qubes") and kind in ("root", "packages")
        if not equals or not known:
            raise LabError(f"--from {word}: not as in {_EXAMPLE}")
        path = Path(directory).resolve()
        if not Path(path, "usr").is_dir():
            raise LabError(f"--from {word}: there is no {path}/usr")
        old = getattr(grounds, domain)
        grounds = replace(grounds, **{domain: replace(old, **{kind: str(path)})})
    return grounds


_EXAMPLE = "dom0-packages=DIRECTORY or qubes-root=DIRECTORY"
