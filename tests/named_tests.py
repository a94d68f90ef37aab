# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that a page of the documentation names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

NAMED = re.compile(r"`(tests/[^`]+?\.py)::([^`]+)`")
"""`tests/FILE.py::TEST` or `tests/FILE.py::CLASS::TEST`."""


@cache
def defined_in(file: str) -> frozenset[str]:
    """Return the names of all tests in a file; methods behind their class."""
    found = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.ClassDef):
            members = (one for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}::{member.name}" for member in members}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return frozenset(found)


def missing_tests(page: str) -> list[str]:
    """Return the tests that a page of `docs` names and that do not exist."""
    named = NAMED.findall((ROOT / "docs" / page).read_text())
    return [f"{file}::{name}" for file, name in named if name not in defined_in(file)]
