# SPDX-License-Identifier: GPL-2.0-or-later
"""The systemd units: what they permit, and that systemd understands them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
DAEMON, AGENT = "qubes-forwardd.service", "qubes-forward-agent.service"
GATEWAY = "qubes-forward-gateway.service"

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")


def read_unit(name: str) -> dict[str, list[str]]:
    """Return the values of each setting of a unit; sections are left out."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        setting, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(setting, []).append(value)
    return found


def analyze(*arguments: str) -> str:
    assert ANALYZE is not None
    done = subprocess.run([ANALYZE, *arguments], capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_daemon_has_no_capability_and_no_network() -> None:
    unit = read_unit(DAEMON)
    assert unit["CapabilityBoundingSet"] == [""]
    assert "AmbientCapabilities" not in unit
    assert unit["PrivateNetwork"] == ["yes"]
    assert unit["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert (unit["User"], unit["Group"]) == (["qubes-forward"], ["qubes"])


def test_the_agent_has_one_capability() -> None:
    unit = read_unit(AGENT)
    assert unit["CapabilityBoundingSet"] == ["CAP_NET_ADMIN"]
    assert unit["AmbientCapabilities"] == ["CAP_NET_ADMIN"]
    assert unit["DynamicUser"] == ["yes"]


def test_with_iptables_the_agent_has_one_more_and_is_who_owns_its_lock() -> None:
    dropin = read_unit("../iptables/qubes-forward-agent.conf")
    assert dropin["CapabilityBoundingSet"] == ["", "CAP_NET_ADMIN CAP_NET_RAW"]
    assert dropin["User"] == ["root"]


def test_the_gateway_has_no_capability() -> None:
    unit = read_unit(GATEWAY)
    assert unit["CapabilityBoundingSet"] == [""]
    assert "AmbientCapabilities" not in unit
    assert unit["DynamicUser"] == ["yes"]


@pytest.mark.parametrize("name", [DAEMON, AGENT, GATEWAY])
def test_a_service_comes_back_and_never_gives_up(name: str) -> None:
    unit = read_unit(name)
    assert unit["Restart"] == ["on-failure"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["MemoryDenyWriteExecute"] == ["yes"]


def test_units_start_after_what_they_talk_to() -> None:
    def order(name: str, setting: str) -> set[str]:
        return set(" ".join(read_unit(name).get(setting, [])).split())

    assert {"qubesd.service", "qubes-forwardd.socket"} <= order(DAEMON, "After")
    assert {"qubes-db.service", "qubes-iptables.service"} <= order(AGENT, "After")
    # It lets packets through a hop: the rules are there by then.
    assert "qubes-network.service" in order(AGENT, "Before")
    wanted = {"qubes-db.service", "qubes-qrexec-agent.service", AGENT}
    assert wanted <= order(GATEWAY, "After")


def test_presets_enable_what_is_shipped() -> None:
    presets = (UNITS.parent / "presets").iterdir()
    enabled = " ".join(path.read_text() for path in presets)
    for path in UNITS.iterdir():
        assert f"enable {path.name}\n" in enabled


# The exposure is 10 without any sandbox; what is left is in docs/privileges.md.
@needs_systemd
@pytest.mark.parametrize(
    ("name", "most"), [(DAEMON, 0.9), (AGENT, 1.9), (GATEWAY, 1.9)]
)
def test_little_is_exposed(name: str, most: float) -> None:
    said = analyze("security", "--offline=yes", str(UNITS / name))
    if "unrecognized option" in said or "--offline" in said:
        pytest.skip("this systemd-analyze cannot look at files")
    found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    assert float(found[1]) <= most


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    for path in UNITS.iterdir():
        # The programs and their manual pages are not installed where this runs.
        text = re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", path.read_text())
        text = re.sub(r"(?m)^Documentation=.*\n", "", text)
        (tmp_path / path.name).write_text(text)
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    said = analyze("verify", *files)
    about_ours = [line for line in said.splitlines() if "qubes-forward" in line]
    assert about_ours == []
    (tmp_path / AGENT).write_text("[Service]\nExecStart=/bin/true\nNoSuchThing=1\n")
    assert "NoSuchThing" in analyze("verify", str(tmp_path / AGENT))
