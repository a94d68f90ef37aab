# SPDX-License-Identifier: GPL-2.0-or-later
"""Rule files: what was stored is there after any fault, and nothing is lost."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from qubesforward.daemon.store import RulesChanged, RulesUnreadable, Store
from qubesforward.model.rule import Action, OutboundRule, RuleList
from qubesforward.model.text import parse_rule

BOOT = "boot-1"
FORWARD = parse_rule("action=forward forwardtype=external srcports=443-443")
LIST = RuleList(forwards=(FORWARD,), owner="uuid-1")  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "appvms" / "work").mkdir(parents=True)
    return Store(tmp_path, lambda: 1000.0, BOOT)


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "appvms" / "work" / "firewall.xml"


def test_what_is_saved_is_read_by_the_next_run(tmp_path: Path, store: Store) -> None:
    store.save("work", "AppVM", LIST)
    again = Store(tmp_path, lambda: 1000.0, BOOT).load("work", "AppVM")
    assert again.rules.forwards == LIST.forwards
    assert again.rules.owner == "uuid-1"
    assert stat.S_IMODE(file_of(tmp_path).stat().st_mode) == 0o660


def test_no_file_is_the_default_of_qubes(store: Store) -> None:
    loaded = store.load("work", "AppVM")
    assert loaded.rules == RuleList(outbound=(OutboundRule(Action.ACCEPT),))
    assert not loaded.exists


def test_a_file_that_is_no_rules_shuts_everything_and_is_kept(
    tmp_path: Path, store: Store
) -> None:
    file_of(tmp_path).write_bytes(b"\0garbage")
    loaded = store.load("work", "AppVM")
    assert loaded.rules.outbound == ()
    assert loaded.rules.forwards == ()
    assert "firewall.xml" in loaded.problem
    with pytest.raises(RulesUnreadable, match="qvm-firewall --reload work"):
        store.save("work", "AppVM", LIST)
    assert file_of(tmp_path).read_bytes() == b"\0garbage"


def test_a_new_list_puts_an_unreadable_file_aside(tmp_path: Path, store: Store) -> None:
    file_of(tmp_path).write_bytes(b"garbage")
    store.replace_unreadable("work", "AppVM")
    store.save("work", "AppVM", LIST)
    aside = file_of(tmp_path).with_name("firewall.xml.unreadable-1000")
    assert aside.read_bytes() == b"garbage"
    assert store.load("work", "AppVM").rules == LIST


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_fault_between_two_steps_leaves_the_old_list(
    tmp_path: Path, store: Store, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save("work", "AppVM", LIST)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        if step == "fsync":
            patched.setattr(os, "fsync", fail)
        else:
            patched.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space"):
            store.save("work", "AppVM", RuleList())
    again = Store(tmp_path, lambda: 1000.0, BOOT).load("work", "AppVM")
    assert again.rules.forwards == LIST.forwards
    assert store.load("work", "AppVM").rules == LIST
    store.save("work", "AppVM", RuleList())
    assert sorted(path.name for path in file_of(tmp_path).parent.iterdir()) == [
        "firewall.xml"
    ]


def test_a_pipe_in_the_place_of_a_file_stopped_the_daemon(
    tmp_path: Path, store: Store
) -> None:
    os.mkfifo(file_of(tmp_path))
    assert "not a regular file" in store.load("work", "AppVM").problem


def test_of_a_file_that_is_too_large_no_more_is_read_than_shows_it(
    tmp_path: Path, store: Store
) -> None:
    with file_of(tmp_path).open("wb") as file:
        file.truncate(2**40)
    assert "at most" in store.load("work", "AppVM").problem


def test_of_two_unreadable_files_in_a_second_one_was_lost(
    tmp_path: Path, store: Store
) -> None:
    for content in (b"one", b"two", b"three"):
        file_of(tmp_path).write_bytes(content)
        store.forget("work")
        store.replace_unreadable("work", "AppVM")
    assert len(list(file_of(tmp_path).parent.iterdir())) == 3


def test_a_removed_qubes_list_was_saved_for_the_next_qube_of_the_name(
    tmp_path: Path, store: Store
) -> None:
    """As when one of its rules ends before the daemon hears of the removal."""
    store.save("work", "AppVM", LIST)
    file_of(tmp_path).unlink()
    with pytest.raises(RulesChanged, match="--reload work"):
        store.save("work", "AppVM", LIST)
    assert not file_of(tmp_path).exists()
    store.forget("work")
    assert store.load("work", "AppVM").rules.forwards == ()
    store.save("work", "AppVM", LIST)
    assert file_of(tmp_path).exists()


def test_a_file_that_somebody_replaced_is_not_overwritten_unread(
    tmp_path: Path, store: Store
) -> None:
    store.save("work", "AppVM", LIST)
    file_of(tmp_path).write_bytes(file_of(tmp_path).read_bytes() + b"\n")
    with pytest.raises(RulesChanged):
        store.save("work", "AppVM", RuleList())
    assert b"forward" in file_of(tmp_path).read_bytes()
