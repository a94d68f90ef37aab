# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of the packages at work: dom0 of the RPMs, the qubes of Debian's.

They lie over this machine's own files here, which says nothing of what they depend on:
that is for `test_clean_roots.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.engines import configure_salt, run, write
from tests.lab.forwards import forwards_of
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
    unpack,
)

pytestmark = pytest.mark.lab

DOM0 = [name for name in PACKAGES if name != "qubes-forward-vm"]
QUBES = ["python3-qubes-forward", "qubes-forward-vm"]


@pytest.fixture(scope="module")
def packaged(
    built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningLab]:
    """A lab that runs what is in the packages."""
    top = tmp_path_factory.mktemp("grounds")
    dom0, qubes = top / "dom0", top / "qubes"
    for name in DOM0:
        unpack(find_package(built, DOM0_42, name), dom0)
    for name in QUBES:
        unpack(find_package(built, DEBIAN, name), qubes)
    # Fedora's Python looks there by itself.
    looked_in = dom0 / modules_of(DEBIAN)[1:]
    looked_in.mkdir(parents=True)
    (looked_in / "fedora.pth").write_text(f"{modules_of(DOM0_42)}\n")
    grounds = {"dom0-packages": dom0, "qubes-packages": qubes}
    with running_lab(grounds=grounds) as lab:
        yield lab


def test_modules_are_the_packages_own(packaged: RunningLab) -> None:
    check_modules(packaged, "dom0", modules_of(DOM0_42))
    check_modules(packaged, "sys-net", modules_of(DEBIAN))


@pytest.mark.parametrize(
    ("where", "program"),
    [
        ("dom0", "qvm-forward"),
        ("dom0", "qvm-firewall"),
        ("dom0", "qubes-forwardd"),
        ("work", "qubes-forward-agent"),
        ("work", "qubes-forward-gateway"),
    ],
)
def test_a_program_says_what_it_takes(
    packaged: RunningLab, where: str, program: str
) -> None:
    assert program in packaged.check(where, program, "--help").partition("\n")[0]


def test_windows_can_be_made_of_what_is_there(packaged: RunningLab) -> None:
    for name in ("settings_program", "prompt_program"):
        script = f"import qubesforward.gui.{name}"
        packaged.check("dom0", "/usr/bin/python3", "-I", "-c", script)


_PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - qubes.forward.qubes_forward: {qube: work, forwards: [{port: 443}]}
"""
_STATE = """
work:
  qubes_forward.exact:
    - forwards: []
"""


def test_ansible_and_salt_find_what_they_need(packaged: RunningLab) -> None:
    modules = modules_of(DOM0_42)
    write(packaged, "/root/site.yml", _PLAY)
    run(packaged, "ansible-playbook", "site.yml", modules=modules)
    assert len(forwards_of(packaged, "work")) == 1
    # As Qubes configures Salt in dom0, with the user's own states somewhere else.
    configure_salt(packaged, "/srv/salt", "/root")
    write(packaged, "/root/closed.sls", _STATE)
    for words in (["saltutil.sync_all"], ["state.apply", "closed"]):
        run(packaged, "salt-call", "--local", *words, modules=modules)
    assert forwards_of(packaged, "work") == []


def test_a_forward_and_a_mapping_and_then_nothing(packaged: RunningLab) -> None:
    check_forward(packaged)
    check_gateway(packaged)
    check_withdrawal(packaged)
