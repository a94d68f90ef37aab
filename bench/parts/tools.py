# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tools cost as whole processes, from the start to the end."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from bench.figures import Sheet
from bench.labs import bench_lab, stand
from bench.scale import Scale
from tests.lab.standing import Caller

NOTHING = "python3 -c pass"

COMMANDS = {
    NOTHING: [sys.executable, "-c", "pass"],
    "qvm-forward": ["qvm-forward"],
    "qvm-forward work": ["qvm-forward", "work"],
    "qvm-firewall work": ["qvm-firewall", "work"],
}
SIZES = (1, 10, 100, 1_000)
_FIRST = 20_000

# [command]: runs it and tells the milliseconds that it took, and those of processor.
_TIMER = """
import json, os, subprocess, sys, time
print("ready", flush=True)
for line in sys.stdin:
    (command,) = json.loads(line)
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = status
    if status:
        sys.exit(f"{command}: {status}")
    used = usage.ru_utime + usage.ru_stime
    print(json.dumps([1000 * took, 1000 * used]), flush=True)
"""


def measure(scale: Scale, sheet: Sheet) -> None:
    """Run all tools in turn, at growing numbers of forwards."""
    with ExitStack() as stack:
        lab = stack.enter_context(bench_lab())
        caller = stack.enter_context(Caller(lab))
        timer = stand(stack, lab, "dom0", _TIMER)
        present = 0
        for size in scale.pick(SIZES, (1, 3)):
            for first in range(present, size, _AT_ONCE):
                lines = map(_rule, range(first, min(first + _AT_ONCE, size)))
                payload = "".join(lines)
                caller.call("admin.vm.firewall.Add", "work", "forward", payload)
            present = size
            for number in range(scale.pick(16, 1)):
                for name, command in COMMANDS.items():
                    took, used = timer.ask(command)
                    if number or scale.tiny:
                        sheet.note("whole process", name, took, "ms", size)
                        sheet.note("processor time", name, used, "ms", size)


_AT_ONCE = 500
"""Rules of one call, which may have 64 KiB."""


def _rule(number: int) -> str:
    port = _FIRST + number
    return f"action=forward forwardtype=external proto=tcp srcports={port}-{port}\n"
