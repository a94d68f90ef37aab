# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch for programs: what it shows of features, and what becomes of it."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from qubesforward.gui.portmap_box import PortmapBox
from qubesforward.gui.portmap_policy import Mode, PortmapPolicy, read_policy
from qubesforward.model.rule import Reach
from tests.gui.test_forwards_model import forward


@pytest.mark.parametrize(
    ("features", "policy"),
    [
        ({}, PortmapPolicy()),
        ({"portmap": "ask"}, PortmapPolicy(Mode.ASK)),
        (
            {"portmap": "allow", "portmap-reach": "internet"},
            PortmapPolicy(Mode.ALLOW, Reach.INTERNET),
        ),
        # The daemon too takes what it cannot read for off.
        ({"portmap": "yes"}, PortmapPolicy()),
        ({"portmap": "allow", "portmap-reach": "moon"}, PortmapPolicy()),
    ],
)
def test_features_are_read(features: dict[str, str], policy: PortmapPolicy) -> None:
    assert read_policy(features) == policy
    written = {name: value for name, value in policy.features().items() if value}
    assert read_policy(written) == policy


def test_off_is_no_feature_at_all() -> None:
    assert PortmapPolicy().features() == {"portmap": None, "portmap-reach": None}


def test_what_is_shown_is_not_taken_for_a_wish(qtbot: QtBot) -> None:
    box = PortmapBox()
    qtbot.addWidget(box)
    wishes: list[object] = []
    box.wanted.connect(wishes.append)
    box.show_policy(PortmapPolicy(Mode.ALLOW, Reach.INTERNET))
    assert box.policy == PortmapPolicy(Mode.ALLOW, Reach.INTERNET)
    assert wishes == []
    box.internet.click()
    assert wishes == [PortmapPolicy(Mode.ALLOW, Reach.LAN)]


def test_ports_of_programs_are_named_and_the_users_own_are_not(qtbot: QtBot) -> None:
    box = PortmapBox()
    qtbot.addWidget(box)
    box.show_forwards(
        [
            forward("proto=tcp srcports=443-443"),
            forward("proto=udp srcports=6881-6881", is_mapping=True),
            forward("proto=tcp srcports=22-22 dstports=2222-2222", is_mapping=True),
        ]
    )
    assert box.mappings.text().endswith(": 6881/udp and 22:2222/tcp")
    assert not box.mappings.isHidden()
    box.show_forwards([])
    assert box.mappings.isHidden()
