# SPDX-License-Identifier: GPL-2.0-or-later
"""A short fuzzing of every decoder, the same at every run, and that it can find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.search import Progress, search
from fuzz.target import Finding, Target, check
from fuzz.targets import TARGETS

ROOT = Path(__file__).parents[1]
SEED = 20

INPUTS = 1500
"""For each target: some seconds for all of them."""


@pytest.mark.parametrize("name", TARGETS)
def test_decoder_takes_anything(name: str) -> None:
    progress = search(TARGETS[name], SEED, lambda now: now.inputs >= INPUTS)
    assert progress.kinds > 1, "no input came any further than the others"


def _target(decode: object, errors: tuple[type[Exception], ...] = ()) -> Target:
    assert callable(decode)
    return Target("made-up", decode, errors, (b"seed 1",), (b"word",))


def _never(progress: Progress) -> bool:
    assert progress.inputs < 10_000, "the bug was not found"
    return False


def _fails_at_a_word(data: bytes) -> str:
    if data.count(b"word") > 1:
        raise KeyError("bug")
    return ""


def _fails_behind_a_check(data: bytes) -> str:
    if not data.startswith(b"word"):
        raise ValueError("no word")
    if b"word" not in data[4:8]:
        raise ValueError("no second word")
    raise KeyError("bug")


@pytest.mark.parametrize("decode", [_fails_at_a_word, _fails_behind_a_check])
def test_a_bug_is_found(decode: object) -> None:
    target = _target(decode, (ValueError,))
    with pytest.raises(Finding, match="KeyError") as first:
        search(target, SEED, _never)
    with pytest.raises(Finding) as second:
        search(target, SEED, _never)
    assert first.value.data == second.value.data


def test_a_broken_promise_is_a_finding() -> None:
    def decode(data: bytes) -> str:
        assert data == b"seed 1"
        return ""

    with pytest.raises(Finding, match="AssertionError"):
        check(_target(decode), b"x")


def test_an_input_that_takes_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.target.LONGEST_SECONDS", 0.0)
    with pytest.raises(Finding, match="took"):
        check(_target(lambda data: str(sum(range(10_000)))), b"x")


def test_one_input_can_be_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"in=self proto=tcp ports=1-1 src=::/0")
    command = [sys.executable, "-m", "fuzz", "entry", "--input", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "self tcp 6" in done.stdout
