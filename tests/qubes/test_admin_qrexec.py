# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls through qrexec-client-vm, whatever that does. The lab has it for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from qubesforward.errors import AdminError, MalformedMessage, Unavailable
from qubesforward.qubes.admin_qrexec import DENIED, call_by_qrexec
from qubesforward.qubes.admin_wire import NO_ANSWER, Call

CALL = Call("admin.vm.firewall.Get", "forward", "dom0", "work", b"payload")


def client(directory: Path, script: str) -> str:
    """Make a program that stands for qrexec-client-vm."""
    path = directory / "client"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_it_says_whom_and_what_it_calls_and_with_which_payload(tmp_path: Path) -> None:
    program = client(tmp_path, r"""printf '0\0%s %s ' "$1" "$2"; cat""")
    answer = call_by_qrexec(program, CALL, 10)
    assert answer == b"work admin.vm.firewall.Get+forward payload"
    bare = Call("admin.vm.List", "", "dom0", "dom0")
    assert call_by_qrexec(program, bare, 10) == b"dom0 admin.vm.List+ "


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("exit 126", DENIED, "does not let this qube call"),
        (r"printf '2\0InvalidRule\0\0no %%s\0rule\0'", "InvalidRule", "^no rule$"),
        ("exit 0", NO_ANSWER, "dom0 refused the call"),
    ],
)
def test_errors_of_the_other_side(
    tmp_path: Path, script: str, kind: str, text: str
) -> None:
    with pytest.raises(AdminError, match=text) as caught:
        call_by_qrexec(client(tmp_path, script), CALL, 10)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("exit 127", "dom0 has no service admin.vm.firewall.Get.forward"),
        ("exit 125", "is qubes-forwardd running in dom0"),
        ("exec sleep 10", "did not answer .* within 0.2 s"),
    ],
)
def test_nobody_there(tmp_path: Path, script: str, text: str) -> None:
    with pytest.raises(Unavailable, match=text):
        call_by_qrexec(client(tmp_path, script), CALL, 0.2)


def test_no_client_and_no_reply(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        call_by_qrexec(str(tmp_path / "missing"), CALL, 10)
    with pytest.raises(MalformedMessage):
        call_by_qrexec(client(tmp_path, "echo nonsense"), CALL, 10)
