# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log's lines and files: whole lines, bounded, and readable ever after."""

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.daemon.audit import MOST_WAITING, Audit, AuditUnavailable
from qubesforward.daemon.audit_event import (
    MOST_EVENTS,
    AuditEvent,
    Happening,
    decode_event,
    encode_event,
    select_events,
)
from qubesforward.daemon.audit_file import AuditFile
from qubesforward.errors import MalformedMessage

OPENED = AuditEvent(
    Happening.OPENED,
    qube="work",
    rule="action=forward forwardtype=external srcports=443-443 comment=a b",
    origin="user",
    path=("sys-net", "sys-firewall"),
    time=1_790_000_000.125,
)


def test_an_event_is_one_line_with_its_time_in_utc() -> None:
    line = encode_event(OPENED)
    assert line.startswith(b'{"time":"2026-09-21T14:13:20.125Z","event":"opened"')
    assert line.endswith(b"\n")
    assert decode_event(line) == OPENED


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_no_text_makes_a_second_line(rule: str, reason: str, path: list[str]) -> None:
    line = encode_event(
        AuditEvent(Happening.DENIED, rule=rule, reason=reason, path=tuple(path))
    )
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert b"\x1b" not in line


@given(st.binary())
def test_a_line_that_is_no_event_is_an_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_event(data)


@pytest.mark.parametrize(
    "line",
    [
        b'{"time":"2026-09-21T14:13:20Z","event":"exploded"}',
        b'{"time":"soon","event":"opened"}',
        b'{"event":"opened"}',
        b'{"time":"2026-09-21T14:13:20Z","event":"opened","qube":7}',
        b'{"time":"2026-09-21T14:13:20Z","event":"opened","path":[1]}',
        b'{"time":"2026-09-21T14:13:20Z","event":[]}',
        b"[]",
        b"[" * 5000,
        b'{"time":"2026-09-21T14:13:20Z","event":"opened"}' + b" " * 9000,
    ],
)
def test_what_looks_like_an_event_and_is_none(line: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_event(line)


def test_a_selection_is_bounded_by_qube_time_and_number() -> None:
    old = AuditEvent(Happening.CLOSED, qube="work", time=10.0)
    other = AuditEvent(Happening.OPENED, qube="personal", path=("work",), time=30.0)
    newest_first = [encode_event(e)[:-1] for e in (other, OPENED, old)] + [b"garbage"]
    assert select_events(newest_first, "work", 20) == ([OPENED], False)
    assert select_events(newest_first, "", 0) == ([old, OPENED, other], False)
    many = [encode_event(OPENED)] * (MOST_EVENTS + 1)
    found, more = select_events(many, "work", 0)
    assert len(found) <= MOST_EVENTS
    assert more


def test_lines_are_appended_for_the_group_to_read(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "made" / "log")
    previous = os.umask(0o077)
    try:
        file.append(b"one\n")
        file.append(b"two\nthree\n")
    finally:
        os.umask(previous)
    assert file.path.read_bytes() == b"one\ntwo\nthree\n"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o640
    assert [line for line in file.read_backwards() if line] == [
        b"three",
        b"two",
        b"one",
    ]


def test_a_flood_keeps_to_two_files(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "log", largest=100)
    for number in range(100):
        file.append(b"line %d\n" % number)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200
    assert len(list(tmp_path.iterdir())) == 2
    lines = [line for line in file.read_backwards() if line]
    assert lines[0] == b"line 99"
    assert len(lines) > 11


def test_a_line_cut_off_by_a_power_cut_spoils_no_other(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "log")
    file.path.write_bytes(b'{"time":"20')
    file.append(encode_event(OPENED))
    assert select_events(file.read_backwards(), "", 0) == ([OPENED], False)


def test_a_full_disk_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = AuditFile(tmp_path / "log")
    file.append(b"one\n")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:2]))
    with pytest.raises(OSError, match="No space left"):
        file.append(b"two\n")
    assert file.path.read_bytes() == b"one\n"


@pytest.mark.parametrize("kind", ["fifo", "symlink", "directory"])
def test_what_is_no_file_is_an_error_and_no_wait(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on what it is
        AuditFile(path).append(b"one\n")
    assert not (tmp_path / "elsewhere").exists()


class BrokenFile(AuditFile):
    """A file on a disk that is full while `broken`."""

    broken = True

    def append(self, lines: bytes) -> None:
        if self.broken:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(lines)


def test_what_could_not_be_written_is_written_later_in_its_order(
    tmp_path: Path,
) -> None:
    file = BrokenFile(tmp_path / "log")
    audit = Audit(file, lambda: 50.0)
    audit.record([OPENED])
    assert "No space left" in audit.problem
    with pytest.raises(AuditUnavailable, match=r"nothing is opened.*No space left"):
        audit.require([OPENED])
    file.broken = False
    audit.record([AuditEvent(Happening.CLOSED, "work")])
    assert audit.problem == ""
    events, _ = audit.read("", 0)
    assert [e.kind for e in events] == [Happening.OPENED, Happening.CLOSED]
    audit.require([OPENED])
    assert len(audit.read("", 0)[0]) == 3


def test_what_waits_is_bounded_and_the_loss_is_logged(tmp_path: Path) -> None:
    file = BrokenFile(tmp_path / "log")
    audit = Audit(file, lambda: 50.0)
    for _ in range(MOST_WAITING + 7):
        audit.record([OPENED])
    file.broken = False
    audit.retry()
    first, *others = audit.read("", 0)[0]
    assert first.kind is Happening.LOST
    assert first.reason.startswith("7 events")
    assert len(others) == MOST_WAITING


def test_a_failed_requirement_does_not_keep_later_ones_from_being_tried(
    tmp_path: Path,
) -> None:
    file = BrokenFile(tmp_path / "log")
    audit = Audit(file, lambda: 50.0)
    with pytest.raises(AuditUnavailable):
        audit.require([OPENED])
    file.broken = False
    audit.require([OPENED])
    assert len(audit.read("", 0)[0]) == 1
