# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qubesforward.errors import LabError
from qubesforward.lab.qubesd.state import MAX_QID, Computer, Domain, LinkState, Phase
from tests.lab.qubesd_world import make_paths

_WRITER = """
import sys
from pathlib import Path
from qubesforward.lab.qubesd.state import Computer
from tests.lab.qubesd_world import make_paths
computer = Computer(make_paths(Path(sys.argv[1])))
qube = computer.add_qube("work", "AppVM")
number = 0
while True:
    number += 1
    qube.features["count"] = str(number)
    qube.properties["padding"] = "x" * (number % 5000)
    computer.save()
    print(number, flush=True)
"""


def test_kill_between_any_two_steps_leaves_what_was_saved(tmp_path: Path) -> None:
    for wait in (0.01, 0.02, 0.03, 0.05, 0.08):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        told = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        computer = Computer(make_paths(tmp_path))
        assert computer.load()
        # The last one told is kept; the one after may have been saved, but not told.
        saved = int(computer.qubes["work"].features["count"])
        last = int(told[-1]) if told else 1
        assert saved in (last, last + 1)


def test_everything_comes_back_from_the_file(tmp_path: Path) -> None:
    computer = Computer(make_paths(tmp_path))
    qube = computer.add_qube("work", "AppVM")
    qube.properties["netvm"] = ""
    qube.features["ipv6"] = "1"
    qube.tags |= {"b", "a"}
    computer.settings["default_netvm"] = "work"
    computer.save()
    again = Computer(make_paths(tmp_path))
    assert again.load()
    assert again.qubes == computer.qubes
    assert again.settings == computer.settings


def test_what_runs_comes_back_from_the_file(tmp_path: Path) -> None:
    computer = Computer(make_paths(tmp_path))
    domain = Domain(Phase.PAUSED, 7, LinkState.ATTACHED, {"dns": ["10.139.1.1"]}, 42)
    computer.running["work"] = domain
    computer.save_running()
    assert Computer(make_paths(tmp_path)).load_running() == {"work": domain}


def test_no_file_is_a_new_computer(tmp_path: Path) -> None:
    computer = Computer(make_paths(tmp_path))
    assert not computer.load()
    assert computer.load_running() == {}
    assert list(computer.qubes) == ["dom0"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 9}', '{"version": 1, "qubes": [{}]}']
)
def test_file_that_cannot_be_read_is_said_and_kept(
    tmp_path: Path, content: str
) -> None:
    computer = Computer(make_paths(tmp_path))
    computer.paths.state.write_text(content)
    with pytest.raises(LabError, match=r"qubes\.json"):
        computer.load()
    assert computer.paths.state.read_text() == content


def test_lowest_free_number_is_taken_again(tmp_path: Path) -> None:
    computer = Computer(make_paths(tmp_path))
    for name in ("a", "b", "c"):
        computer.add_qube(name, "AppVM")
    del computer.qubes["b"]
    assert computer.add_qube("d", "AppVM").qid == 2


def test_numbers_run_out_with_a_reason(tmp_path: Path) -> None:
    computer = Computer(make_paths(tmp_path))
    for number in range(1, MAX_QID):
        computer.add_qube(f"q{number}", "AppVM")
    with pytest.raises(LabError, match="at most 253"):
        computer.add_qube("more", "AppVM")


def test_file_of_qubes_is_json_that_people_can_read(tmp_path: Path) -> None:
    computer = Computer(make_paths(tmp_path))
    computer.add_qube("work", "AppVM")
    computer.save()
    content = json.loads(computer.paths.state.read_text())
    assert [qube["name"] for qube in content["qubes"]] == ["dom0", "work"]
