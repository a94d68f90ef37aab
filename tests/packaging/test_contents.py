# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in the packages, and what they want."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.packaging.built import (
    DEBIAN,
    DOM0_42,
    KINDS,
    PACKAGES,
    SOURCE,
    find_package,
    list_files,
    modules_of,
    run,
)

NEEDS = {
    "python3-qubes-forward": set[str](),
    "qubes-forward-tools": {"python3-qubes-forward"},
    "qubes-forward-dom0": {"python3-qubes-forward", "qubes-forward-tools"},
    "qubes-forward-vm": {"python3-qubes-forward"},
    "qubes-forward-fleet": {"python3-qubes-forward", "qubes-forward-tools"},
    "qubes-forward-gui": {"python3-qubes-forward", "qubes-forward-tools"},
}
"""What a package has besides itself, by its dependencies."""

COLLECTION = "/usr/share/ansible/collections/ansible_collections/qubes/forward"

FURTHER = {
    "qubes-forward-tools": {"/usr/bin/qvm-forward"},
    "qubes-forward-dom0": {
        "/usr/bin/qubes-forwardd",
        "/etc/qubes-rpc/qubes.PortMapping",
        "/etc/qubes/policy.d/31-qubes-forward-deny.policy",
        "/etc/qubes/policy.d/50-qubes-forward.policy",
        "/usr/lib/sysusers.d/qubes-forward.conf",
        "/lib/systemd/system/qubes-forwardd.service",
        "/lib/systemd/system/qubes-forwardd.socket",
    },
    "qubes-forward-vm": {
        "/usr/bin/qubes-forward-agent",
        "/usr/bin/qubes-forward-gateway",
        "/etc/qubes/post-install.d/20-qubes-forward.sh",
        "/lib/systemd/system/qubes-forward-agent.service",
        "/lib/systemd/system/qubes-forward-gateway.service",
    },
    "qubes-forward-fleet": {
        f"{COLLECTION}/galaxy.yml",
        f"{COLLECTION}/plugins/modules/qubes_forward.py",
        "/srv/salt/_modules/qubes_forward.py",
        "/srv/salt/_states/qubes_forward.py",
    },
    "qubes-forward-gui": {
        "/usr/bin/qubes-forward-settings",
        "/usr/bin/qubes-forward-prompt",
        "/etc/xdg/autostart/qubes-forward-prompt.desktop",
        "/usr/share/applications/qubes-forward-settings.desktop",
    },
}

# Where the Python package finds what the distribution has to have.
IMPORTS = {
    "lxml": ("python3-lxml", "python3-lxml"),
    "nftables": ("python3-nftables", "python3-nftables"),
    "PyQt6": ("python3-pyqt6", "python3-pyqt6"),
}
ELSEWHERE = {"/model/xml.py": "qubes-forward-dom0"}
"""Modules whose further package only one of those that have them needs."""


def modules(built: Path, kind: str, name: str) -> dict[str, str]:
    """Return the modules of a package: where in the source tree, by their paths."""
    top = f"{modules_of(kind)}/qubesforward"
    files = list_files(find_package(built, kind, name))
    return {path: path.removeprefix(top) for path in files if path.startswith(top)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_module_is_in_one_package_but_the_labs_in_none(
    built: Path, kind: str
) -> None:
    source = SOURCE / "src/qubesforward"
    wanted = sorted(
        f"/{path.relative_to(source)}"
        for path in source.rglob("*")
        if path.suffix in {".py", ".ts", ".typed"}
        and path.relative_to(source).parts[0] != "lab"
    )
    has = [
        where
        for name in PACKAGES
        for path, where in modules(built, kind, name).items()
        if path.endswith((".py", ".ts", ".typed"))
    ]
    assert sorted(has) == wanted


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_module_imports_is_in_its_package_or_in_what_that_needs(
    built: Path, name: str
) -> None:
    there = set[str]()
    for one in (name, *NEEDS[name]):
        there |= set(modules(built, DEBIAN, one).values())
    for where in modules(built, DEBIAN, name).values():
        if where.endswith(".py"):
            for module in imported(SOURCE / "src/qubesforward", where):
                path = "/" + module.replace(".", "/")
                found = {f"{path}.py", f"{path}/__init__.py"} & there
                assert found, f"{where} of {name} imports {module}"


def imported(source: Path, where: str) -> set[str]:
    """Return the modules of ours that one of them imports, at any place in it."""
    found = set()
    for node in ast.walk(ast.parse((source / where[1:]).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            top, _, module = node.module.partition(".")
            if top == "qubesforward" and module:
                found.add(module)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_depends_on_what_its_modules_use(
    built: Path, kind: str, name: str
) -> None:
    wants = depends(built, kind, name)
    assert NEEDS[name] - {"python3-qubes-forward"} <= wants
    for where in modules(built, kind, name).values():
        if not where.endswith(".py"):
            continue
        text = (SOURCE / "src/qubesforward" / where[1:]).read_text()
        for module, (debian, fedora) in IMPORTS.items():
            if re.search(rf"^\s*(from|import) {module}\b", text, re.MULTILINE):
                needed = debian if kind == DEBIAN else fedora
                by = ELSEWHERE.get(where, name)
                assert needed in depends(built, kind, by), f"{where} of {name}"


def depends(built: Path, kind: str, name: str) -> set[str]:
    package = str(find_package(built, kind, name))
    if kind == DEBIAN:
        said = run("dpkg-deb", "--field", package, "Depends")
        return set(re.findall(r"[a-z][a-z0-9.+-]+", said))
    said = run("rpm", "-qp", "--requires", package)
    return {line.split()[0] for line in said.splitlines()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FURTHER)
def test_the_rest_is_where_it_is_looked_for(built: Path, kind: str, name: str) -> None:
    files = list_files(find_package(built, kind, name))
    wanted = FURTHER[name]
    if kind != DEBIAN:
        wanted = {re.sub("^/lib/", "/usr/lib/", path) for path in wanted}
    assert wanted <= files


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_qubes_is_replaced_and_no_two_packages_have_one_file(
    built: Path, kind: str
) -> None:
    seen = set[str]()
    for name in PACKAGES:
        files = list_files(find_package(built, kind, name))
        assert not files & seen
        seen |= files
    # It has a program of that name.
    assert "/usr/bin/qvm-firewall" not in seen
    assert "/usr/lib/qubes-forward/bin/qvm-firewall" in seen
    assert not [path for path in seen if "/lab/" in path or "test" in path]


def test_rpms_of_python_and_its_bytecode_are_of_one_version(built: Path) -> None:
    package = str(find_package(built, DOM0_42, "python3-qubes-forward"))
    assert "python(abi) = 3.11" in run("rpm", "-qp", "--requires", package)
    listed = run("rpm", "-qpl", package)
    assert "/qubesforward/__pycache__/errors.cpython-311.pyc" in listed


def test_all_say_the_same_version(built: Path) -> None:
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    version = project["version"]
    galaxy = (SOURCE / "fleet/ansible/galaxy.yml").read_text()
    assert f"\nversion: {version}\n" in galaxy
    for name in PACKAGES:
        package = find_package(built, DEBIAN, name)
        assert run("dpkg-deb", "--field", str(package), "Version").strip() == version
        package = find_package(built, DOM0_42, name)
        assert run("rpm", "-qp", "--qf", "%{VERSION}", str(package)) == version


def test_the_feature_is_named_after_the_package() -> None:
    script = SOURCE / "packaging/post-install.d/20-qubes-forward.sh"
    assert "supported-service.qubes-forward=1" in script.read_text()
