# SPDX-License-Identifier: GPL-2.0-or-later
"""All targets by name."""

from fuzz.target import Target
from fuzz.targets import (
    admin,
    hop,
    igd,
    kernel,
    mapping,
    portmap,
    qrexec,
    qubesdb,
    rules,
    status,
)

_ROOMS = (*(admin, hop, igd, kernel, mapping, portmap, qrexec, qubesdb, rules, status),)

TARGETS: dict[str, Target] = {
    target.name: target for room in _ROOMS for target in room.TARGETS
}
