# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `python -m bench`: measure parts, and write the page of all of them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Record, Sheet, load_record, save_record
from bench.machine import describe_machine
from bench.page import write_page
from bench.parts import PARTS
from bench.scale import Scale
from tests.agent import outbound_world

RESULTS = Path("build/bench")


def main() -> int:
    """Measure what was asked for; 1 if some part could not be measured."""
    options = _parse_options()
    outbound_world.OWN_USERS = os.geteuid() != 0
    # What was started is ended however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    names = [name for name in options.parts.split(",") if name] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        print(f"no such part: {', '.join(sorted(unknown))}; there are", *PARTS)
        return 2
    failed = [] if options.page else [n for n in names if not _run(n, options)]
    records = [load_record(name, options.results) for name in PARTS]
    write_page([one for one in records if one is not None], options.docs)
    print(f"written: {options.docs / 'performance.md'}")
    if failed:
        print(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure, and write docs/performance.md."
    )
    parser.add_argument(
        "--parts", default="", help=f"of {','.join(PARTS)}; all if none"
    )
    parser.add_argument("--tiny", action="store_true", help="only to see that it works")
    parser.add_argument("--page", action="store_true", help="measure nothing anew")
    parser.add_argument("--results", type=Path, default=RESULTS, help="kept figures")
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    return parser.parse_args()


def _run(name: str, options: argparse.Namespace) -> bool:
    print(f"{name}: ", end="", flush=True)
    sheet = Sheet()
    when = datetime.now(UTC).isoformat(timespec="seconds")
    began = time.monotonic()
    try:
        PARTS[name](Scale(options.tiny), sheet)
    except Exception:  # noqa: BLE001 - the other parts are measured all the same
        print("failed", flush=True)
        traceback.print_exc()
        return False
    seconds = time.monotonic() - began
    print(f"{seconds:.0f} s", flush=True)
    machine = describe_machine()
    record = Record(name, when, seconds, machine, sheet.figures(), options.tiny)
    save_record(record, options.results)
    return True


if __name__ == "__main__":
    sys.exit(main())
