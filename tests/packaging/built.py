# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages, built once for all tests, and what can be done with them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2]
PACKAGES = (
    "python3-qubes-forward",
    "qubes-forward-tools",
    "qubes-forward-dom0",
    "qubes-forward-vm",
    "qubes-forward-fleet",
    "qubes-forward-gui",
)
DEBIAN = "deb"
DOM0_42, DOM0_43 = "fc37", "fc41"
KINDS = (DEBIAN, DOM0_42, DOM0_43)
PYTHON = {DEBIAN: "3", DOM0_42: "3.11", DOM0_43: "3.13"}


def build(out: Path) -> None:
    """Build all packages into a directory."""
    subprocess.run(
        [SOURCE / "packaging/build.sh", out], check=True, capture_output=True, text=True
    )


def find_package(out: Path, kind: str, name: str) -> Path:
    pattern = f"{name}_*.deb" if kind == DEBIAN else f"{name}-[0-9]*.{kind}.noarch.rpm"
    (found,) = out.glob(pattern)
    return found


def modules_of(kind: str) -> str:
    """Return where Python finds modules."""
    name = "dist-packages" if kind == DEBIAN else "site-packages"
    return f"/usr/lib/python{PYTHON[kind]}/{name}"


@cache
def list_files(package: Path) -> frozenset[str]:
    """Return the paths of all files of a package, without what says whose it is."""
    if package.suffix == ".deb":
        lines = run("dpkg-deb", "--contents", str(package)).splitlines()
        paths = [line.split(maxsplit=5)[5] for line in lines if line[0] != "d"]
        files = [path.partition(" -> ")[0].removeprefix(".") for path in paths]
    else:
        shape = "[%{FILEMODES:perms} %{FILEFLAGS:fflags} %{FILENAMES}\\n]"
        lines = run("rpm", "-qp", "--qf", shape, str(package)).splitlines()
        files = []
        for line in lines:
            mode, *flags, path = line.split()
            # Directories, and bytecode that is made where it is installed.
            if mode[0] != "d" and "g" not in "".join(flags):
                files.append(path)
    told = ("/usr/share/doc/", "/usr/share/licenses/")
    return frozenset(path for path in files if not path.startswith(told))


def unpack(package: Path, target: Path) -> None:
    """Unpack a package, as far as a test's own user may."""
    target.mkdir(exist_ok=True)
    if package.suffix == ".deb":
        run("dpkg-deb", "--extract", str(package), str(target))
    else:
        archive = subprocess.run(
            ["rpm2archive", "-"],
            input=package.read_bytes(),
            stdout=subprocess.PIPE,
            check=True,
        )
        command = ["tar", "-C", str(target), "--no-same-owner", "-xz"]
        subprocess.run(command, input=archive.stdout, check=True)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
