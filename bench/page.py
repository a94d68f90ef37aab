# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes ``docs/performance.md`` and its plots from the records of all parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.figures import Figure, Growth, Record, divide, find_spread, fit_growth
from bench.findings import EXPLAINED, FINDINGS
from bench.numbers import format_number, format_spread
from bench.plot import Point, draw_bars, draw_lines
from bench.sections import SECTIONS, Drawing, Section
from bench.targets import TARGETS

_HEAD = """# What it costs

`make bench` measures everything on this page and writes it; `make bench
PARTS=open,connect` measures some parts anew and keeps the others. Nothing here is
edited by hand: what it says comes from `bench/`.

Ratios count more than times, because times depend on the machine. What is compared was
measured in turns, a run of each after a run of the other, so that whatever else the
machine did met all alike. A cell is the median of its runs and, in parentheses, the
10th and 90th percentile; a ratio is the median of the ratios of runs that followed one
another.
"""


def write_page(records: Sequence[Record], docs: Path) -> None:
    """Write the page and its plots into a folder."""
    docs.mkdir(parents=True, exist_ok=True)
    by_part = {record.part: record for record in records}
    lines = [_HEAD, *_render_runs(records), *_render_targets(by_part), FINDINGS]
    for section in SECTIONS:
        record = by_part.get(section.part)
        if record is not None:
            lines += _render_section(section, record, docs)
    lines += _render_growth(by_part)
    text = "\n".join(lines)
    (docs / "performance.md").write_text(text.rstrip() + "\n")


def _render_runs(records: Sequence[Record]) -> Iterator[str]:
    if any(record.tiny for record in records):
        yield "**Of tiny runs, which only show that measuring works.**\n"
    for machine in dict.fromkeys(record.machine for record in records):
        yield f"Measured on {machine}.\n"
    times = (f"{r.part} ({r.when[:16]}Z, {r.seconds:.0f} s)" for r in records)
    yield f"Runs: {', '.join(times)}.\n"


def _render_targets(records: Mapping[str, Record]) -> Iterator[str]:
    yield "## What it may cost, and what it does\n"
    yield "| | target | measured | |\n|---|---|---|---|"
    for target in TARGETS:
        found = target.find(records)
        shown, verdict = "not measured", ""
        if found is not None:
            shown = format_number(found) + target.unit
            verdict = "met" if target.is_met(found) else "**missed**"
        yield f"| {target.what} | {target.text} | {shown} | {verdict} |"
    yield ""


def _render_section(section: Section, record: Record, docs: Path) -> Iterator[str]:
    yield f"## {section.title}\n"
    yield section.how + "\n"
    for drawing in section.drawings:
        name = f"performance-{drawing.name}.svg"
        (docs / name).write_text(_draw(section, drawing, record))
        yield f"![{drawing.title}]({name})\n"
    for what in dict.fromkeys(one.what for one in record.figures):
        yield from _render_table(section, record, what)


def _render_table(section: Section, record: Record, what: str) -> Iterator[str]:
    figures = [one for one in record.figures if one.what == what]
    sides = list(dict.fromkeys(one.side for one in figures))
    sizes = list(dict.fromkeys(one.size for one in figures))
    counts = sorted({len(one.values) for one in figures})
    runs = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
    yield f"**{what[0].upper()}{what[1:]}**, in {figures[0].unit}, {runs} runs each\n"
    compared = [
        side for side in sides if section.base in sides and side != section.base
    ]
    head = [section.sizes, *sides, *(f"{s} ÷ {section.base}" for s in compared)]
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---:|" * len(head)
    for size in sizes:
        here = {one.side: one for one in figures if one.size == size}
        cells = ["" if size is None else f"{size:,}"]
        cells += [_cell(here.get(side)) for side in sides]
        cells += [_ratio_cell(here.get(s), here.get(section.base)) for s in compared]
        yield "| " + " | ".join(cells) + " |"
    yield ""


def _cell(figure: Figure | None) -> str:
    return "" if figure is None else format_spread(figure.middle, *figure.spread)


def _ratio_cell(one: Figure | None, base: Figure | None) -> str:
    ratios = divide(one, base) if one and base else ()
    return format_spread(median(ratios), *find_spread(ratios)) if ratios else ""


def _draw(section: Section, drawing: Drawing, record: Record) -> str:
    if not drawing.what:
        bars: dict[str, dict[str, Point]] = {}
        for one in record.figures:
            bars.setdefault(one.what, {})[one.side] = _point(one, 0)
        return draw_bars(drawing.title, record.figures[0].unit, bars)
    unit = next(one.unit for one in record.figures if one.what == drawing.what)
    sides = dict.fromkeys(o.side for o in record.figures if o.what == drawing.what)
    found = {side: record.sizes(drawing.what, side) for side in sides}
    if section.fits:
        lines = {
            s: [_point(o, n) for n, o in some.items()] for s, some in found.items()
        }
        return draw_lines(drawing.title, section.sizes, unit, lines)
    sizes = dict.fromkeys(size for some in found.values() for size in some)
    groups = {
        f"{size:,}": {s: _point(some[size], 0) for s, some in found.items()}
        for size in sizes
    }
    return draw_bars(drawing.title, unit, groups)


def _point(figure: Figure, x: float) -> Point:
    return Point(x, figure.middle, *figure.spread)


def _render_growth(records: Mapping[str, Record]) -> Iterator[str]:
    yield "## How costs grow\n"
    yield (
        "The exponent of a power of the size that fits best: 0 does not grow, 1 grows"
        " in proportion. *At the top* is between the two largest sizes, where what is"
        " the same at every size weighs least.\n"
    )
    yield "| part | what | | sizes | overall | at the top | |"
    yield "|---|---|---|---|---:|---:|---|"
    for section in SECTIONS:
        record = records.get(section.part)
        if record is None or not section.fits:
            continue
        for what, side, growth in _find_growths(record):
            verdict = EXPLAINED.get((section.part, what, side), "**above N log N**")
            cells = [
                section.part,
                what,
                side,
                f"{growth.sizes[0]:,} to {growth.sizes[-1]:,}",
            ]
            cells += [f"{growth.whole:.2f}", f"{growth.top:.2f}"]
            cells.append(verdict if growth.is_above_n_log_n else "")
            yield "| " + " | ".join(cells) + " |"
    yield ""


def _find_growths(record: Record) -> Iterator[tuple[str, str, Growth]]:
    for what, side in dict.fromkeys((o.what, o.side) for o in record.figures):
        sizes = record.sizes(what, side)
        growth = fit_growth({size: one.middle for size, one in sizes.items()})
        if growth is not None and not next(iter(sizes.values())).unit.startswith("/"):
            yield what, side, growth
