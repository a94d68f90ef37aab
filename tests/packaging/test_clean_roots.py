# SPDX-License-Identifier: GPL-2.0-or-later
"""In roots that have nothing but the packages and what they depend on.

This needs the network: ``make test-packages``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.running_lab import RunningLab, running_lab
from tests.packaging.at_work import (
    check_forward,
    check_gateway,
    check_modules,
    check_withdrawal,
)
from tests.packaging.built import (
    DEBIAN,
    DOM0_42,
    PACKAGES,
    find_package,
    modules_of,
)
from tests.packaging.clean_root import in_root, list_named, make_root

pytestmark = [pytest.mark.lab, pytest.mark.clean_root]

COMMON = "python3-qubes-forward"
VM = (COMMON, "qubes-forward-vm")
DOM0 = (COMMON, "qubes-forward-tools", "qubes-forward-dom0")
ALL_OF_DOM0 = (*DOM0, "qubes-forward-fleet", "qubes-forward-gui")

# Of a qube of Qubes: its base rules are loaded by nft, and the lab wires it with ip.
OF_QUBES = ("nftables", "iproute2")


class Roots:
    """The roots, with what had been left in each after a purge."""

    def __init__(self, top: Path, built: Path) -> None:
        self.left: dict[str, list[str]] = {}
        self.top = top
        for name, packages in (("vm", VM), ("dom0", ALL_OF_DOM0)):
            files = [find_package(built, DEBIAN, one) for one in packages]
            self.left[name] = make_root(top / name, files, OF_QUBES)


@pytest.fixture(scope="module")
def roots(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Roots:
    return Roots(tmp_path_factory.mktemp("roots"), built)


STATE = "/var/lib/qubes-forward/appvms/work/firewall.xml"
LOG = "/var/log/qubes/qubes-forward.log"
COPY = "/var/cache/salt/minion/extmods/states/qubes_forward.py"
"""What Salt makes of a state when it is told to take it in."""


@pytest.fixture
def dom0(roots: Roots, tmp_path: Path) -> Path:
    """A copy of dom0's root in which there are rules."""
    copy = tmp_path / "dom0"
    subprocess.run(["cp", "-a", str(roots.top / "dom0"), str(copy)], check=True)
    write_rules(copy)
    return copy


def write_rules(root: Path) -> None:
    for path in (STATE, LOG, COPY):
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / path[1:]).touch()


def has_rules(root: Path) -> bool:
    return (root / STATE[1:]).exists() and (root / LOG[1:]).exists()


@pytest.fixture(scope="module")
def clean(roots: Roots) -> Iterator[RunningLab]:
    """A lab whose dom0 and qubes have these roots."""
    grounds = {"dom0-root": roots.top / "dom0", "qubes-root": roots.top / "vm"}
    with running_lab(grounds=grounds) as lab:
        yield lab


@pytest.mark.parametrize("name", ["vm", "dom0"])
def test_purged_packages_leave_nothing(roots: Roots, name: str) -> None:
    assert roots.left[name] == []


def test_units_are_enabled_and_the_user_is_there(roots: Roots) -> None:
    for name, units in (
        ("vm", ["qubes-forward-agent.service", "qubes-forward-gateway.service"]),
        ("dom0", ["qubes-forwardd.service"]),
    ):
        wants = roots.top / name / "etc/systemd/system/multi-user.target.wants"
        assert [unit for unit in units if not (wants / unit).is_symlink()] == []
    passwd = (roots.top / "dom0/etc/passwd").read_text()
    assert "\nqubes-forward:" in passwd


def test_what_is_declared_needs_no_engine_to_be_loaded(clean: RunningLab) -> None:
    script = "from qubesforward.fleet.declaring import declare; print(declare)"
    clean.check("dom0", "/usr/bin/python3", "-I", "-c", script)


def test_windows_can_be_made_of_what_is_there(clean: RunningLab) -> None:
    for name in ("settings_program", "prompt_program"):
        script = f"import qubesforward.gui.{name}"
        clean.check("dom0", "/usr/bin/python3", "-I", "-c", script)


def test_a_forward_and_a_mapping_and_then_nothing(clean: RunningLab) -> None:
    for where in ("dom0", "sys-net", "work"):
        check_modules(clean, where, modules_of(DEBIAN))
    check_forward(clean)
    check_gateway(clean)
    check_withdrawal(clean)


def packaged(root: Path) -> list[str]:
    return [path.name.partition("_")[0] for path in (root / "packages").glob("*.deb")]


def test_rules_outlive_an_upgrade_and_a_removal_but_no_purge(dom0: Path) -> None:
    files = [f"/packages/{path.name}" for path in (dom0 / "packages").glob("*.deb")]
    in_root(dom0, "dpkg", "--install", *files)
    assert has_rules(dom0)
    in_root(dom0, "dpkg", "--remove", *packaged(dom0))
    assert has_rules(dom0)
    assert not (dom0 / "usr/bin/qubes-forwardd").exists()
    in_root(dom0, "dpkg", "--purge", *packaged(dom0))
    # The directory of the log is Qubes' own, and was made for this test.
    assert set(list_named(dom0)) <= {"/var/log/qubes"}


def test_rpms_leave_nothing_when_they_are_erased(built: Path, dom0: Path) -> None:
    in_root(dom0, "dpkg", "--purge", *packaged(dom0))
    # Fedora's Python looks there by itself.
    modules = dom0 / modules_of(DEBIAN)[1:]
    (modules / "fedora.pth").write_text(f"{modules_of(DOM0_42)}\n")
    files = [str(find_package(built, DOM0_42, name)) for name in PACKAGES]
    rpm = ["unshare", "--map-root-user", "rpm", f"--root={dom0}"]
    subprocess.run([*rpm, "--nodeps", "--install", *files], check=True)
    assert in_root(dom0, "qvm-firewall", "--help")
    write_rules(dom0)
    again = ["--nodeps", "--upgrade", "--replacepkgs", *files]
    subprocess.run([*rpm, *again], check=True)
    assert has_rules(dom0)
    assert in_root(dom0, "qvm-firewall", "--help")
    subprocess.run([*rpm, "--erase", *PACKAGES], check=True)
    assert not (dom0 / "srv/salt").exists()
    # Directories of Qubes, which are there where Qubes is.
    left = [path for path in list_named(dom0) if not (dom0 / path[1:]).is_dir()]
    assert left == []
    assert not [path for path in list_named(dom0) if "forward" in path]
    assert "qubes-forward:" not in (dom0 / "etc/passwd").read_text()
