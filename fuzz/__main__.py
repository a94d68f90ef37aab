# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `python -m fuzz`."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from fuzz.search import Progress, search
from fuzz.target import Finding, Target, check
from fuzz.targets import TARGETS

_LEARNED = Path("build/fuzz")


def main() -> int:
    """Fuzz for the time that was given; 1 after a finding."""
    options = _parse_options()
    targets = [TARGETS[name] for name in options.target or TARGETS]
    _LEARNED.mkdir(parents=True, exist_ok=True)
    if options.input:
        return _run(lambda: check(targets[0], options.input.read_bytes()))
    is_guided = not options.builtin and importlib.util.find_spec("atheris") is not None
    print(f"seed {options.seed}, by {'atheris' if is_guided else 'mutation'}")
    share = options.seconds / len(targets)
    if is_guided:
        return max(_guide(target, share, options.seed) for target in targets)
    return max(_search(target, share, options.seed) for target in targets)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description="Fuzz the decoders that face other domains."
    )
    parser.add_argument("target", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=60, help="for all together")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--builtin", action="store_true", help="even with atheris")
    parser.add_argument("--input", type=Path, help="try this file on TARGET only")
    return parser.parse_args()


def _search(target: Target, seconds: float, seed: int) -> int:
    end = time.monotonic() + seconds

    def is_over(_progress: Progress) -> bool:
        return time.monotonic() > end

    def run() -> str:
        progress = search(target, seed, is_over)
        return f"{progress.inputs} inputs, {progress.kinds} kinds of outcome"

    return _run(run, target.name)


def _run(run: Callable[[], str], name: str = "") -> int:
    try:
        print(f"{name}: {run()}".removeprefix(": "), flush=True)
    except Finding as finding:
        file = _LEARNED / f"finding-{sha256(finding.data).hexdigest()[:16]}"
        file.write_bytes(finding.data)
        print(f"FINDING {finding}\n  {finding.data[:200]!r}\n  all of it: {file}")
        return 1
    return 0


def _guide(target: Target, seconds: float, seed: int) -> int:
    numbers = [str(max(1, round(seconds))), str(seed & 0x7FFFFFFF)]
    command = [sys.executable, "-m", "fuzz.guided", target.name, *numbers]
    done = subprocess.run(
        [*command, str(_LEARNED)], check=False, capture_output=True, text=True
    )
    said = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()]
    if done.returncode != 0:
        print(f"FINDING {target.name}", *said, sep="\n  ", flush=True)
        return 1
    print(f"{target.name}: {said[-1] if said else ''}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
