# SPDX-License-Identifier: GPL-2.0-or-later
"""Opening and closing forwards in a lab, as a user does it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.lab.traffic import Lab

PATIENCE = 5.0
"""Seconds in which every hop must have answered; far more than it takes."""


def dom0(lab: Lab, *words: str, ok: bool = True) -> Any:
    """Run a command in dom0; a failure fails the test unless `ok` is False."""
    done = lab.exec("dom0", list(words))
    if ok:
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done


def forwards_of(lab: Lab, qube: str) -> list[dict[str, Any]]:
    """Return the forwards of a qube as its status tells them."""
    told = json.loads(dom0(lab, "qvm-forward", qube, "--json").stdout)
    return [
        forward
        for one in told["qubes"]
        if one["name"] == qube
        for forward in one["forwards"]
    ]


def wait_settled(lab: Lab, qube: str, patience: float = PATIENCE) -> list[str]:
    """Wait until no forward of a qube is pending; return their states."""
    end = time.monotonic() + patience
    while True:
        states = [str(forward["state"]) for forward in forwards_of(lab, qube)]
        if "pending" not in states or time.monotonic() > end:
            return states
        time.sleep(0.05)


@contextmanager
def forwarded(lab: Lab, qube: str, *words: str) -> Iterator[None]:
    """Have forwards, each given as one text of keywords; close all in the end."""
    try:
        for rule in words:
            dom0(lab, "qvm-firewall", qube, "add", "action=forward", *rule.split(" "))
        assert set(wait_settled(lab, qube)) == {"active"}, forwards_of(lab, qube)
        yield
    finally:
        dom0(lab, "qvm-forward", qube, "--close-all")
