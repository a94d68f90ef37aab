# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of guarantees names every point, and tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs/guarantees.md").read_text()
_NAMED = re.compile(r"`(tests/[^`]+?\.py)::([^`]+)`")
POINTS = 17


def defined_in(file: str) -> set[str]:
    found = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.ClassDef):
            members = (one for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}::{member.name}" for member in members}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return found


def test_every_named_test_exists() -> None:
    missing = [
        f"{file}::{name}"
        for file, name in _NAMED.findall(TABLE)
        if name not in defined_in(file)
    ]
    assert missing == []


def test_every_point_has_a_test() -> None:
    rows = [line for line in TABLE.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, POINTS + 1))
    assert all(_NAMED.search(row) for row in rows)
