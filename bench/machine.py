# SPDX-License-Identifier: GPL-2.0-or-later
"""On what it was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def describe_machine() -> str:
    """Return processor, kernel, Python and nft in one line."""
    found = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = found[0] if found else platform.machine()
    nft = subprocess.run(
        ["nft", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    return (
        f"{os.cpu_count()} processors ({processor}), Linux {os.uname().release},"
        f" Python {platform.python_version()}, nft {nft[1].removeprefix('v')}"
    )
