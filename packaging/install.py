# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts the files of one package where they belong below a directory.

Both kinds of packages are made with this, so that they cannot come to differ: the
Debian rules and the RPM spec say where a distribution keeps Python and units, and the
tables below say what is in which package. Nothing is fetched, and nothing but the
source tree is read.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
_ROOM = "qubesforward"
_DATA = {".py", ".ts", ".typed"}
"""Endings of what a room of the Python package consists of."""

_BESIDE = "usr/lib/qubes-forward"
"""Where `qvm-firewall` is: Qubes has a program of that name in /usr/bin."""

COLLECTIONS = "usr/share/ansible/collections/ansible_collections"
SALT = "srv/salt"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a package holds.

    `rooms` are parts of the Python package: its directories and single files of it.
    `programs` are names of scripts as in pyproject.toml. `units` are below
    packaging/systemd. `files` are further ones: below packaging → where they go; a
    directory means all that is in it. `fleet` are the same, below fleet. `manuals` and
    `completions` are patterns.
    """

    rooms: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    fleet: tuple[tuple[str, str], ...] = ()
    manuals: tuple[str, ...] = ()
    completions: tuple[str, ...] = ()


PACKAGES = {
    "python3-qubes-forward": Contents(
        rooms=("__init__.py", "py.typed", "errors.py", "model", "qubes"),
    ),
    "qubes-forward-tools": Contents(
        rooms=("cli",),
        programs=("qvm-firewall", "qvm-forward"),
        manuals=("qvm-*",),
        completions=("qvm-*",),
    ),
    "qubes-forward-dom0": Contents(
        rooms=("plan", "daemon"),
        programs=("qubes-forwardd",),
        units=("qubes-forwardd.service", "qubes-forwardd.socket"),
        files=(
            ("qrexec/policy.d", "etc/qubes/policy.d"),
            ("qrexec/rpc", "etc/qubes-rpc"),
            ("qrexec/rpc-config", "etc/qubes/rpc-config"),
            ("sysusers.d/qubes-forward.conf", "usr/lib/sysusers.d"),
            ("presets/60-qubes-forward-dom0.preset", "usr/lib/systemd/system-preset"),
        ),
        manuals=("qubes-forwardd*",),
        completions=("qubes-forwardd",),
    ),
    "qubes-forward-vm": Contents(
        rooms=("nft", "iptables", "portmap", "agent", "gateway"),
        programs=("qubes-forward-agent", "qubes-forward-gateway"),
        units=("qubes-forward-agent.service", "qubes-forward-gateway.service"),
        files=(
            ("post-install.d/20-qubes-forward.sh", "etc/qubes/post-install.d"),
            ("presets/60-qubes-forward-vm.preset", "usr/lib/systemd/system-preset"),
            (
                "iptables/qubes-forward-agent.conf",
                "usr/share/doc/qubes-forward-vm/examples",
            ),
        ),
        manuals=("qubes-forward-agent*", "qubes-forward-gateway*"),
        completions=("qubes-forward-agent", "qubes-forward-gateway"),
    ),
    "qubes-forward-fleet": Contents(
        rooms=("fleet",),
        # Where Ansible looks for collections without being told, and where Qubes'
        # configuration of Salt has its `base`: no engine has to be configured.
        fleet=(
            ("ansible", f"{COLLECTIONS}/qubes/forward"),
            ("salt", SALT),
        ),
    ),
    "qubes-forward-gui": Contents(
        rooms=("gui",),
        programs=("qubes-forward-settings", "qubes-forward-prompt"),
        files=(
            ("desktop/qubes-forward-settings.desktop", "usr/share/applications"),
            ("desktop/qubes-forward-prompt.desktop", "etc/xdg/autostart"),
            ("desktop/qubes-forward.svg", "usr/share/icons/hicolor/scalable/apps"),
        ),
        manuals=("qubes-forward-settings*", "qubes-forward-prompt*"),
        completions=("qubes-forward-settings", "qubes-forward-prompt"),
    ),
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where a distribution keeps things, each a path from the root, without its /."""

    python: str
    units: str


def find_contents(contents: Contents, places: Places) -> Iterator[tuple[Path, str]]:
    """Give the files to copy: where each is, and its path from the root."""
    for room in contents.rooms:
        top = SOURCE / "src" / _ROOM / room
        for path in _list_files(top):
            if path.suffix in _DATA:
                yield path, f"{places.python}/{path.relative_to(SOURCE / 'src')}"
    for unit in contents.units:
        yield SOURCE / "packaging/systemd" / unit, f"{places.units}/{unit}"
    further = [(SOURCE / "packaging" / name, to) for name, to in contents.files]
    further += [(SOURCE / "fleet" / name, to) for name, to in contents.fleet]
    for top, target in further:
        base = top if top.is_dir() else top.parent
        for path in _list_files(top):
            yield path, f"{target}/{path.relative_to(base)}"
    for pattern in contents.manuals:
        for path in sorted(Path(SOURCE, "docs/man").glob(f"{pattern}.[1-9]")):
            yield path, f"usr/share/man/man{path.suffix[1:]}/{path.name}"
    shells = {"bash": "bash-completion/completions", "zsh": "zsh/site-functions"}
    for shell, target in shells.items():
        for pattern in contents.completions:
            pattern = pattern if shell == "bash" else f"_{pattern}"
            directory = SOURCE / "packaging/completion" / shell
            for path in sorted(directory.glob(pattern)):
                yield path, f"usr/share/{target}/{path.name}"


def _list_files(top: Path) -> list[Path]:
    if not top.is_dir():
        return [top]
    return sorted(
        path
        for path in top.rglob("*")
        if path.is_symlink()
        or (path.is_file() and not path.name.startswith(".") and _is_source(path))
    )


def _is_source(path: Path) -> bool:
    return "__pycache__" not in path.parts


def render_program(function: str) -> str:
    """Return the script that calls ``MODULE:FUNCTION``.

    It is isolated: neither what the user has installed for himself, nor where it is
    started from, nor the environment can bring other code into it.
    """
    module, _, name = function.partition(":")
    return (
        "#!/usr/bin/python3 -I\n"
        "# SPDX-License-Identifier: GPL-2.0-or-later\n"
        f"import sys\n\nfrom {module} import {name}\n\nsys.exit({name}())\n"
    )


def read_programs() -> dict[str, str]:
    """Return the names of all programs with their functions, of pyproject.toml."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    return {**project["scripts"], **project["gui-scripts"]}


def install(package: str, root: Path, places: Places) -> list[str]:
    """Install a package's files below `root`; return their paths, with a / first."""
    contents = PACKAGES[package]
    installed = []
    for source, name in find_contents(contents, places):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target, follow_symlinks=False)
        if not target.is_symlink():
            target.chmod(0o755 if re.match(rb"#!", target.read_bytes()[:2]) else 0o644)
        installed.append(f"/{name}")
    functions = read_programs()
    for program in contents.programs:
        name = f"{_BESIDE if program == 'qvm-firewall' else 'usr'}/bin/{program}"
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render_program(functions[program]))
        target.chmod(0o755)
        installed.append(f"/{name}")
    return installed


def render_rpm_files(installed: Sequence[str], bytecode: str) -> Iterator[str]:
    """Give the lines of a list for ``%files -f``.

    It has our own directories, so that they go with the package, and the bytecode that
    scripts of the package make: its name has the `bytecode` tag of the interpreter.
    """
    directories = {
        str(above)
        for path in installed
        for above in Path(path).parents
        if _goes_along(above)
    }
    yield from (f"%dir {path}" for path in sorted(directories))
    caches = set()
    for path in map(Path, installed):
        if path.suffix == ".py" and _ROOM in path.parts:
            cache = path.parent / "__pycache__"
            caches.add(str(cache))
            yield f"%ghost {cache}/{path.stem}.{bytecode}.pyc"
        # Manual pages are compressed after this.
        yield f"{path}*" if "man" in path.parts else str(path)
    yield from (f"%ghost %dir {cache}" for cache in sorted(caches))


def _goes_along(directory: Path) -> bool:
    """Tell whether a directory is ours, alone or together with an engine's package.

    RPM removes what several packages have with the last of them. `/srv/salt` itself is
    in the spec, as only root may look into it.
    """
    return (
        _ROOM in directory.parts
        or any(part.startswith("qubes-forward") for part in directory.parts)
        or "ansible" in directory.parts
        or directory.parent == Path("/", SALT)
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Install one package; with `--rpm`, write a list of its files for a spec."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("root", type=Path)
    parser.add_argument("--python", required=True, help="directory of modules")
    parser.add_argument("--units", required=True, help="directory of systemd units")
    parser.add_argument("--rpm", type=Path, metavar="FILE")
    parser.add_argument("--bytecode", metavar="TAG", help="such as cpython-311")
    options = parser.parse_args(argv)
    places = Places(options.python.strip("/"), options.units.strip("/"))
    installed = install(options.package, options.root, places)
    if options.rpm:
        lines = render_rpm_files(installed, options.bytecode)
        options.rpm.write_text("".join(f"{line}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
