# SPDX-License-Identifier: GPL-2.0-or-later
"""The search by atheris, which sees what code an input reaches (optional).

Run as ``python -m fuzz.guided TARGET SECONDS SEED DIRECTORY``: atheris never returns,
so every target has a process of its own. DIRECTORY keeps what was learned.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qubesforward"]):
    from fuzz.targets import TARGETS

from fuzz.mutation import LONGEST_INPUT
from fuzz.target import check


def main() -> None:
    """Search until the time is over; the exit status is not 0 after a finding."""
    name, seconds, seed, directory = sys.argv[1:]
    target = TARGETS[name]
    corpus = Path(directory) / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.corpus()):
        (corpus / f"seed-{number}").write_bytes(data)
    words = Path(directory) / f"{name}.words"
    words.write_text("".join(f'"{_escape(word)}"\n' for word in target.words))
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={LONGEST_INPUT}",
        *([f"-dict={words}"] if target.words else []),
        f"-artifact_prefix={directory}/{name}-",
    ]

    def try_input(data: bytes) -> None:
        check(target, data)

    atheris.Setup([sys.argv[0], str(corpus), *options], try_input)
    atheris.Fuzz()


def _escape(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
