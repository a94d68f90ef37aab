# SPDX-License-Identifier: GPL-2.0-or-later
"""One world for a file: each test has ports of its own, and changes all back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.gateway_world import GatewayWorld, make_gateway_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayWorld]:
    with make_gateway_world(tmp_path_factory.mktemp("gateway")) as made:
        yield made
