# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch for programs: what it shows of features, and what becomes of it."""

from __future__ import annotations

import pytest
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qubesforward.daemon.features import read_policy as read_by_daemon
from qubesforward.gui.portmap_box import PortmapBox
from qubesforward.gui.portmap_policy import (
    DEFAULT_PORTS,
    FEATURES,
    Mode,
    PortmapField,
    PortmapPolicy,
    find_problems,
    read_policy,
)
from qubesforward.model.rule import Reach
from tests.gui.hands import press, press_key, type_text
from tests.gui.test_forwards_model import forward


@pytest.mark.parametrize(
    ("features", "policy"),
    [
        ({}, PortmapPolicy()),
        ({"portmap": "ask"}, PortmapPolicy(Mode.ASK)),
        (
            {"portmap": "allow", "portmap-reach": "lan"},
            PortmapPolicy(Mode.ALLOW, Reach.LAN),
        ),
        (
            {
                "portmap": "allow",
                "portmap-ports": "40000-50000",
                "portmap-cone": "40000-40015",
            },
            PortmapPolicy(Mode.ALLOW, ports="40000-50000", cone="40000-40015"),
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
    # The daemon means the same by them.
    meant = read_by_daemon("work", features)
    assert (meant is not None) == (policy.mode is not Mode.OFF)
    if meant is not None:
        assert meant.asks == (policy.mode is Mode.ASK)
        assert meant.reach is policy.reach
        assert meant.ports.short == (policy.ports or DEFAULT_PORTS.short)
        assert (meant.cone.short if meant.cone else "") == policy.cone


@pytest.mark.parametrize(
    ("ports", "cone"),
    [
        ("0-70000", ""),
        ("many", ""),
        ("", "40000-40064"),
        ("", "1000-1010"),
        ("40000-40010", "40000-40015"),
        ("", "x"),
    ],
)
def test_ports_that_the_daemon_would_not_take(ports: str, cone: str) -> None:
    features = {"portmap": "allow", "portmap-ports": ports, "portmap-cone": cone}
    present = {name: value for name, value in features.items() if value}
    assert read_by_daemon("work", present) is None
    policy = read_policy(present)
    # It is off, and what is wrong can be mended.
    assert policy.mode is Mode.OFF
    assert (policy.ports, policy.cone) == (ports, cone)
    assert find_problems(policy)


def test_off_is_no_feature_at_all() -> None:
    assert set(PortmapPolicy().features().values()) == {None}


def test_what_limits_is_set_before_what_allows() -> None:
    assert FEATURES[-1] == "portmap"
    assert tuple(PortmapPolicy().features()) == FEATURES


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


def test_a_block_is_shown_with_what_comes_of_it(qtbot: QtBot) -> None:
    box = PortmapBox()
    qtbot.addWidget(box)
    box.show()
    box.show_policy(PortmapPolicy(Mode.ALLOW))
    assert not box.details.isVisible()
    press(box.more)
    assert box.details.isVisible()
    assert not box.caveat.isVisible()
    wishes: list[object] = []
    box.wanted.connect(wishes.append)
    type_text(box.cone, "40000-4")
    press_key(box.cone, Qt.Key.Key_Return)
    assert "above the last" in box.form.problem(PortmapField.CONE)
    assert wishes == []
    type_text(box.cone, "0015")
    press_key(box.cone, Qt.Key.Key_Return)
    assert box.form.problem(PortmapField.CONE) == ""
    assert box.caveat.isVisible()
    assert "the internet" in box.caveat.text()
    assert wishes == [PortmapPolicy(Mode.ALLOW, cone="40000-40015")]
    box.internet.click()
    assert "the internet" not in box.caveat.text()
    # Whoever has set one elsewhere sees it at once.
    other = PortmapBox()
    qtbot.addWidget(other)
    other.show()
    other.show_policy(PortmapPolicy(Mode.ALLOW, cone="40000-40015"))
    assert other.caveat.isVisible()


def test_what_is_typed_outlasts_news_from_elsewhere(qtbot: QtBot) -> None:
    box = PortmapBox()
    qtbot.addWidget(box)
    box.show()
    box.show_policy(PortmapPolicy(Mode.ALLOW))
    type_text(box.cone, "400")
    box.show_policy(PortmapPolicy(Mode.ASK, Reach.LAN))
    assert (box.cone.text(), box.policy.mode) == ("400", Mode.ASK)
    box.cone.clear()
    type_text(box.cone, "4000")
    press_key(box.cone, Qt.Key.Key_Return)
    box.show_policy(PortmapPolicy(Mode.ASK, Reach.LAN, cone="5000"))
    assert box.cone.text() == "5000"


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
