# SPDX-License-Identifier: GPL-2.0-or-later
"""Root file systems of a minimal Debian, packages of ours, and what these depend on.

They are made by mmdebstrap, from where this machine has its own packages from, and by
an ordinary user in a user namespace of his own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

_APT = Path("/etc/apt")
_PATIENCE = 600

NAMED = (
    "find / -xdev -path /packages -prune -o -path *qubes* -print -o -path *qvm-* -print"
)
"""Everything that bears our name, or a name of Qubes; a clean root has none of it."""


def release() -> str:
    """Return the name of this machine's release of Debian."""
    lines = Path("/etc/os-release").read_text().splitlines()
    fields = dict(line.partition("=")[::2] for line in lines)
    return fields["VERSION_CODENAME"].strip('"')


def make_root(
    target: Path, packages: Sequence[Path], further: Sequence[str]
) -> list[str]:
    """Make a root in `target` with packages of ours, and with `further` ones of Debian.

    Ours are installed by apt, which finds what they depend on and nothing that they
    recommend; then they are purged, and installed again. Returns what had been left
    (`list_named`).
    """
    target.mkdir()
    names = " ".join(package.name.partition("_")[0] for package in packages)
    files = " ".join(f"/packages/{package.name}" for package in packages)
    install = f"apt-get install -y --no-install-recommends {files}"
    inside = (
        f"set -e; {install}; {_quote(NAMED)} > /packages/there;"
        f" apt-get purge -y {names}; {_quote(NAMED)} > /packages/left;"
        " ! getent passwd qubes-forward >> /packages/left;"
        f" {install}"
    )
    hooks = [
        'mkdir "$1/packages"',
        f'cp {" ".join(map(str, packages))} "$1/packages/"',
        f"chroot \"$1\" sh -c '{inside}'",
    ]
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(further)}"]
    command += [f"--customize-hook={hook}" for hook in hooks]
    archive = target.with_suffix(".tar")
    sources = [str(path) for path in _find_sources()]
    _run([*command, release(), str(archive), *sources])
    unpack_root(archive, target)
    archive.unlink()
    there, left = (target / "packages" / name for name in ("there", "left"))
    # What finds nothing even where all is installed would find nothing afterwards.
    assert "/qubesforward/errors.py\n" in there.read_text()
    return left.read_text().splitlines()


def in_root(root: Path, *command: str) -> str:
    """Run a command in a root, as its administrator, and return what it printed."""
    words = ["unshare", "--map-root-user", "--mount", "--pid", "--fork"]
    return _run([*words, "chroot", str(root), *command])


def list_named(root: Path) -> list[str]:
    """Return the paths in a root that bear our name, or one of Qubes."""
    return in_root(root, "sh", "-c", _quote(NAMED)).splitlines()


def unpack_root(archive: Path, target: Path) -> None:
    """Unpack a root as far as this user may; devices are the lab's own."""
    words = ["--exclude=./dev/*", "--no-same-owner", "-xf"]
    _run(["tar", "-C", str(target), *words, str(archive)])


def _find_sources() -> list[Path]:
    listed = [_APT / "sources.list", *sorted((_APT / "sources.list.d").glob("*"))]
    return [
        path
        for path in listed
        if path.suffix in (".list", ".sources") and path.is_file()
    ]


def _quote(find: str) -> str:
    # Within single quotes, where a shell inside gets it.
    return find.replace("*", "\\*")


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr[-4000:]}"
    return done.stdout
