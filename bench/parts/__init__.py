# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, part by part; each is run, kept and repeated by itself.

A part is a function that takes the scale and a sheet. One more part is one more module
here and a line in `PARTS`, and says in `bench.targets` what it may cost and in
`bench.sections` what its tables are.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.figures import Sheet
from bench.parts import (
    agent,
    connect,
    daemon,
    desktop,
    opening,
    outbound,
    planner,
    portmap,
    throughput,
    tools,
)
from bench.scale import Scale

PARTS: dict[str, Callable[[Scale, Sheet], None]] = {
    "open": opening.measure,
    "connect": connect.measure,
    "throughput": throughput.measure,
    "agent": agent.measure,
    "outbound": outbound.measure,
    "planner": planner.measure,
    "daemon": daemon.measure,
    "tools": tools.measure,
    "desktop": desktop.measure,
    "portmap": portmap.measure,
}
"""Every part by its name, in the order in which they are run and shown."""
