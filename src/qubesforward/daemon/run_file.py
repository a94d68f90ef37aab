# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that end with this boot of the computer, and with its id even if they stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_LARGEST = 16 * 1024 * 1024
_MODE = 0o600


def write_run_file(file: Path, boot_id: str, content: dict[str, Any]) -> None:
    """Write what belongs to this boot, in place of what was there. Raises OSError."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.touch(_MODE)
    text = json.dumps({"boot": boot_id, **content}, separators=(",", ":"))
    temporary.write_text(text)
    temporary.replace(file)


def read_run_file(file: Path, boot_id: str) -> dict[str, Any] | None:
    """Return what was written in this boot, None if nothing was.

    Raises OSError, ValueError, KeyError or TypeError for what is no such file.
    """
    try:
        with file.open("rb") as opened:
            found: dict[str, Any] = json.loads(opened.read(_LARGEST))
    except FileNotFoundError:
        return None
    return found if found["boot"] == boot_id else None
