# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking turns at editing outbound rules."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qubesforward.cli.turns import take_turn
from qubesforward.errors import Unavailable


def test_edits_do_not_overlap(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def edit() -> None:
        with take_turn(str(tmp_path)):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.002)
            inside.pop()

    threads = [threading.Thread(target=edit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20


def test_a_turn_that_never_ends_is_not_waited_for_forever(tmp_path: Path) -> None:
    with (
        take_turn(str(tmp_path)),
        pytest.raises(Unavailable, match="another edit"),
        take_turn(str(tmp_path), patience=0.05),
    ):
        pytest.fail("two turns at once")


def test_an_editor_that_is_killed_leaves_the_turn_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from qubesforward.cli.turns import take_turn\n"
        "with take_turn(sys.argv[1]): print('in', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as editor:
        assert editor.stdout is not None
        assert editor.stdout.readline() == "in\n"
        editor.kill()
    with take_turn(str(tmp_path), patience=1):
        pass


def test_an_error_in_the_body_comes_out_as_it_is(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(KeyError), take_turn(str(directory)):
            raise KeyError("x")
        with take_turn(str(directory), patience=0.05):
            pass
