# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from qubesforward.errors import UnknownQube
from qubesforward.qubes.paths import QUBESDB_SOCKET, qubesdb_socket


def test_every_qube_has_its_socket_in_dom0() -> None:
    assert qubesdb_socket("sys-net") == "/var/run/qubes/qubesdb.sys-net.sock"
    assert qubesdb_socket("dom0") == QUBESDB_SOCKET


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\0b", "a\n", "x" * 65, "\u00e4"])
def test_name_that_would_be_another_path_is_refused(name: str) -> None:
    with pytest.raises(UnknownQube):
        qubesdb_socket(name)
