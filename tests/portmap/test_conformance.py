# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of what the protocols demand names tests that exist, in every row."""

from __future__ import annotations

import re

from tests.named_tests import NAMED, ROOT, missing_tests

PAGE = (ROOT / "docs/portmap.md").read_text()
_ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
_HEAD = re.compile(r"\| test \||\|---\|")


def test_every_named_test_exists() -> None:
    assert missing_tests("portmap.md") == []


def test_every_row_names_a_test() -> None:
    rows = [row for row in _ROW.findall(PAGE) if not _HEAD.search(row)]
    assert len(rows) > 100
    assert [row for row in rows if not NAMED.search(row)] == []
