# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of guarantees names every point, and tests that exist."""

import re

from tests.named_tests import NAMED, ROOT, missing_tests

TABLE = (ROOT / "docs/guarantees.md").read_text()
POINTS = 26


def test_every_named_test_exists() -> None:
    assert missing_tests("guarantees.md") == []


def test_every_point_has_a_test() -> None:
    rows = [line for line in TABLE.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, POINTS + 1))
    assert all(NAMED.search(row) for row in rows)
