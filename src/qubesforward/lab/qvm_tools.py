# SPDX-License-Identifier: GPL-2.0-or-later
"""The `qvm-*` tools of the lab's dom0, each under its own name, with Qubes' flags.

One program: which tool it is follows from the name it was started under, or from the
first argument (``python3 -m qubesforward.lab.qvm_tools qvm-ls``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from qubesforward.errors import ForwardError
from qubesforward.lab.qvm_life import (
    kill_qubes,
    pause_qubes,
    shut_down_qubes,
    start_qubes,
    unpause_qubes,
)
from qubesforward.lab.qvm_ls import list_qubes
from qubesforward.lab.qvm_make import clone_qube, create_qube, remove_qubes
from qubesforward.lab.qvm_settings import (
    edit_features,
    edit_prefs,
    edit_system_prefs,
    edit_tags,
)
from qubesforward.qubes.admin import AdminClient

_CALL_SECONDS = 120.0
"""A start waits for all netvms of the chain to start."""

TOOLS: dict[str, Callable[[AdminClient, Sequence[str]], int]] = {
    "qvm-ls": list_qubes,
    "qvm-prefs": edit_prefs,
    "qubes-prefs": edit_system_prefs,
    "qvm-features": edit_features,
    "qvm-tags": edit_tags,
    "qvm-create": create_qube,
    "qvm-clone": clone_qube,
    "qvm-remove": remove_qubes,
    "qvm-start": start_qubes,
    "qvm-shutdown": shut_down_qubes,
    "qvm-kill": kill_qubes,
    "qvm-pause": pause_qubes,
    "qvm-unpause": unpause_qubes,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool that `argv` (program name first) asks for; its exit status."""
    words = list(sys.argv if argv is None else argv)
    name = words.pop(0).rpartition("/")[2]
    if name not in TOOLS and words:
        name = words.pop(0)
    if name not in TOOLS:
        print(f"no such tool; there are {' '.join(sorted(TOOLS))}", file=sys.stderr)
        return 2
    try:
        return TOOLS[name](AdminClient(timeout=_CALL_SECONDS), words)
    except ForwardError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
