# SPDX-License-Identifier: GPL-2.0-or-later
"""Which room may import which, and what the pure ones may not touch at all.

The tables below are the layers of the design, section 13. A room that is not built
yet has its line already; a room without a line fails.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

PACKAGE = "qubesforward"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE

# Room: the modules that it may import besides its own. A room's name stands for all
# modules in it; `*` is for parts of a name.
LAYERS: dict[str, tuple[str, ...]] = {
    "errors": (),
    "model": ("errors",),
    "plan": ("errors", "model"),
    "nft": ("errors", "model"),
    "qubes": ("errors", "model"),
    "portmap": (),
    "daemon": ("errors", "model", "plan", "qubes"),
    "iptables": ("errors", "model", "nft"),
    "agent": ("errors", "iptables", "model", "nft", "qubes"),
    "gateway": ("errors", "model", "portmap", "qubes"),
    "cli": ("errors", "model", "qubes.admin*"),
    "gui": (
        "errors",
        "model",
        "qubes.admin*",
        "qubes.paths",
        # What answers mean, and how it is said: data and sentences, no console.
        "cli.drawing",
        "cli.durations",
        "cli.log_lines",
        "cli.path_drawing",
        "cli.path_model",
        "cli.phrase",
        "cli.reaching",
        "cli.reading",
        "cli.request",
        "cli.sentences",
        "cli.spec",
        "cli.status",
    ),
    "fleet": (
        "errors",
        "model",
        "qubes.admin",
        "cli.closing",
        "cli.firewall",
        "cli.spec",
        "cli.status",
        "cli.waiting",
    ),
    "lab": ("errors", "model", "qubes"),
}

PURE = (
    "model/*.py",
    "plan/*.py",
    "nft/*.py",
    "iptables/*.py",
    "portmap/*.py",
    "qubes/*_wire.py",
    "cli/drawing.py",
    "cli/path_*.py",
    "fleet/declaration.py",
)

BANNED_IN_PURE = (
    "PyQt6",
    "asyncio",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
)

# Start-up time: what the tools for rules must not load.
SLOW = {"asyncio", "lxml", "subprocess", "logging", "socket"}


def module_names(root: Path) -> dict[str, Path]:
    """Return the file of every module below the package, by its name in it."""
    names = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        names[".".join(parts[:-1] if is_package else parts)] = path
    return names


def imports_of(
    source: str,
    module: str,
    modules: frozenset[str] = frozenset(),
    is_package: bool = False,
) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every module that a module imports.

    Names taken from a module count as that module, unless they are in `modules`.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                full = [PACKAGE, *module.split(".")]
                up = node.level - 1 if is_package else node.level
                base = ".".join([*full[: len(full) - up], *filter(None, [base])])
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(f"{PACKAGE}.")
                yield node.lineno, f"{PACKAGE}.{inner}" if inner in modules else base


def _is_allowed(target: str, room: str) -> bool:
    return any(
        fnmatchcase(target, pattern) or fnmatchcase(target, f"{pattern}.*")
        for pattern in (room, *LAYERS[room])
    )


def layer_breaks(
    source: str, module: str, modules: frozenset[str], is_package: bool = False
) -> list[str]:
    """Return every import that leaves the module's layer."""
    room = module.partition(".")[0]
    found = []
    for line, imported in imports_of(source, module, modules, is_package):
        # The package itself holds nothing but its docstring.
        head, _, target = imported.partition(".")
        if head == PACKAGE and target and not _is_allowed(target, room):
            found.append(f"{module}:{line}: {room} must not import {target}")
    return found


def impurities(source: str, module: str) -> list[str]:
    """Return every import that does I/O, looks at the clock, or draws lots."""
    return [
        f"{module}:{line}: a pure module must not import {imported}"
        for line, imported in imports_of(source, module)
        if imported.partition(".")[0] in BANNED_IN_PURE
    ]


def asserts(source: str, module: str) -> list[str]:
    """Return every assert: `python -O` takes them out, so they check nothing."""
    return [
        f"{module}:{node.lineno}: raise an error instead of assert"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assert)
    ]


MODULES = module_names(SOURCE)
NAMES = frozenset(MODULES)


@pytest.mark.parametrize("room", LAYERS)
def test_room_imports_only_what_is_below_it(room: str) -> None:
    breaks = [
        one
        for name, path in MODULES.items()
        if name.partition(".")[0] == room
        for one in layer_breaks(
            path.read_text(), name, NAMES, path.name == "__init__.py"
        )
    ]
    assert breaks == []


def test_every_room_has_its_layer() -> None:
    rooms = {name.partition(".")[0] for name in NAMES} - {"", "__main__"}
    assert rooms <= set(LAYERS)
    assert {"errors", "model", "plan"} <= rooms


def test_package_itself_imports_nothing_of_ours() -> None:
    found = imports_of((SOURCE / "__init__.py").read_text(), "", is_package=True)
    assert [name for _, name in found if name.startswith(PACKAGE)] == []


@pytest.mark.parametrize("pattern", PURE)
def test_pure_module_does_no_input_and_output(pattern: str) -> None:
    found = [
        one
        for path in SOURCE.glob(pattern)
        for one in impurities(path.read_text(), str(path.relative_to(SOURCE)))
    ]
    assert found == []


def test_nothing_is_checked_by_assert() -> None:
    found = [
        one for name, path in MODULES.items() for one in asserts(path.read_text(), name)
    ]
    assert found == []


def test_layers_have_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(LAYERS):
        ready = {
            room
            for room, below in LAYERS.items()
            if {one.partition(".")[0] for one in below} <= done
        }
        assert ready - done, f"a circle among {set(LAYERS) - done}"
        done |= ready


@pytest.mark.parametrize("module", ["model.text", "model.words"])
def test_reading_rules_loads_nothing_slow(module: str) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        f" import {PACKAGE}.{module};"
        f" print(*{SLOW} & sys.modules.keys())"
    )
    # -S: what site-packages load at start-up is not ours.
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, SOURCE.parent],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


# What the checks above must catch, so that they cannot go blind.

SOME = frozenset(
    {
        "",
        "errors",
        "model",
        "model.rule",
        "plan",
        "plan.chain",
        "qubes",
        "qubes.admin",
        "qubes.admin_wire",
        "qubes.qubesdb",
        "cli",
        "cli.table",
        "daemon",
        "daemon.main",
    }
)


@pytest.mark.parametrize(
    ("module", "line", "target"),
    [
        ("model.rule", "import qubesforward.plan.chain", "plan.chain"),
        ("model.rule", "from qubesforward.plan.chain import Chain", "plan.chain"),
        ("model.rule", "from qubesforward.plan import chain", "plan.chain"),
        ("model.rule", "from qubesforward import plan", "plan"),
        ("model.rule", "from ..plan import chain", "plan.chain"),
        ("model.rule", "from .. import plan", "plan"),
        ("errors", "from qubesforward.model.rule import Rule", "model.rule"),
        (
            "cli.table",
            "from qubesforward.qubes.qubesdb import QubesDB",
            "qubes.qubesdb",
        ),
        ("cli.table", "from qubesforward.qubes import qubesdb", "qubes.qubesdb"),
        ("cli.table", "from qubesforward.qubes import *", "qubes"),
        ("cli.table", "from qubesforward.daemon.main import main", "daemon.main"),
        (
            "cli.table",
            "from qubesforward.qubes.not_built_yet import x",
            "qubes.not_built_yet",
        ),
        ("qubes.admin", "def f():\n    import qubesforward.daemon", "daemon"),
    ],
)
def test_import_out_of_the_layer_is_seen(module: str, line: str, target: str) -> None:
    (found,) = layer_breaks(line, module, SOME)
    assert found.endswith(f"{module.partition('.')[0]} must not import {target}")


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("plan.chain", "from qubesforward.model.rule import Rule"),
        ("plan.chain", "from qubesforward.errors import ForwardError"),
        ("plan.chain", "from . import planner"),
        ("cli.table", "from qubesforward.qubes.admin import AdminClient"),
        ("cli.table", "from qubesforward.qubes import admin_wire"),
        ("cli.table", "from qubesforward import __doc__, errors"),
        ("cli.table", "from qubesforward.qubes.admin_not_built_yet import x"),
        ("cli.table", "import qubesforwarding.plan, json"),
    ],
)
def test_import_within_the_layer_is_let_be(module: str, line: str) -> None:
    assert layer_breaks(line, module, SOME) == []


@pytest.mark.parametrize(
    "line",
    ["import os.path", "from time import time", "if 1:\n    import asyncio as a"],
)
def test_impurity_is_seen(line: str) -> None:
    assert len(impurities(line, "model/x.py")) == 1
    assert impurities("from .time import x\nimport ostrich, ipaddress", "x") == []


def test_assert_is_seen() -> None:
    assert asserts("x = 1\nif x:\n    assert x", "x") != []
    assert asserts("# assert x\n", "x") == []
