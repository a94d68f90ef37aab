# SPDX-License-Identifier: GPL-2.0-or-later
"""Every part of the benchmarks still measures something, at the smallest size."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.figures import Record, Sheet, load_record, save_record
from bench.page import write_page
from bench.parts import PARTS
from bench.scale import Scale
from bench.sections import SECTIONS

pytestmark = pytest.mark.lab

NEEDS = {"throughput": ("iperf3", "socat", "systemd-socket-activate")}


@pytest.mark.parametrize("part", PARTS)
def test_part_measures_and_is_written_down(part: str, tmp_path: Path) -> None:
    for program in NEEDS.get(part, ()):
        assert shutil.which(program), f"{program}: see PACKAGES in the Makefile"
    sheet = Sheet()
    PARTS[part](Scale(tiny=True), sheet)
    record = Record(part, "2026-01-01T00:00:00", 1.0, "here", sheet.figures(), True)
    assert record.figures
    assert all(one.values for one in record.figures)
    save_record(record, tmp_path)
    assert load_record(part, tmp_path) == record
    write_page([record], tmp_path)
    section = next(one for one in SECTIONS if one.part == part)
    text = (tmp_path / "performance.md").read_text()
    assert f"## {section.title}\n" in text
    for one in record.figures:
        assert one.what[1:] in text
    drawn = {f"performance-{one.name}.svg" for one in section.drawings}
    assert drawn == {path.name for path in tmp_path.glob("*.svg")}


def test_every_part_has_its_section() -> None:
    assert [section.part for section in SECTIONS] == list(PARTS)
