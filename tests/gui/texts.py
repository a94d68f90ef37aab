# SPDX-License-Identifier: GPL-2.0-or-later
"""Every text of the desktop that is to be translated, found in the source.

As `pylupdate6` does it: `self.tr` has its class as context, and
`QCoreApplication.translate` names it. Words and phrases that windows share with the
command line have the context of `say`; `told_texts` and `qt_texts` have others'.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from qubesforward.cli.path_drawing import LABELS, PLACES, STATES, WORDS
from qubesforward.gui import words
from qubesforward.gui.translation import DIRECTORY, TOLD, read_texts
from tests.gui.qt_texts import QT_TEXTS
from tests.gui.told_texts import find_told

SOURCE = Path(words.__file__).parent

_SHARED = SOURCE.parent / "cli"
"""Where texts are that windows have in common with the command line."""

Key = tuple[str, str]
"""Context, English text."""


class NotPlain(Exception):
    """A text that is put together before it is translated: nobody could find it."""


def find_texts() -> set[Key]:
    """Return all texts; raise `NotPlain` where one is no plain string."""
    shared = (*PLACES.values(), *STATES.values(), *WORDS, *LABELS)
    found = {(words.CONTEXT, text) for text in shared}
    found |= {(TOLD, text) for text in find_told()}
    found |= {(context, text) for context, each in QT_TEXTS.items() for text in each}
    for path in sorted([*SOURCE.glob("*.py"), *_SHARED.glob("*.py")]):
        found.update(_texts_of(ast.parse(path.read_text()), "", path.name))
    return found


def _texts_of(node: ast.AST, context: str, file: str) -> Iterator[Key]:
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.ClassDef) else context
        if isinstance(child, ast.Call):
            yield from _text_of_call(child, inner, file)
        yield from _texts_of(child, inner, file)


def _text_of_call(call: ast.Call, context: str, file: str) -> Iterator[Key]:
    name = ast.unparse(call.func)
    if name == "Phrase" and file != "phrase.py":
        text = _plain(call.args[0], file)
        if any(map(str.isalpha, text)):
            yield words.CONTEXT, text
    elif name == "self.tr":
        yield context, _plain(call.args[0], file)
    elif name == "QCoreApplication.translate" and file != "words.py":
        yield _plain(call.args[0], file), _plain(call.args[1], file)


def _plain(node: ast.AST, file: str) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise NotPlain(f"{file}: {ast.unparse(node)}")


def write_file(path: Path, language: str, known: dict[Key, str]) -> int:
    """Write a language's file with all texts; return how many are not translated.

    Those are marked as unfinished, as Qt Linguist does it. Texts that nothing shows any
    more are left out.
    """
    texts = sorted(find_texts())
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<!DOCTYPE TS>",
        f'<TS version="2.1" language="{language}" sourcelanguage="en">',
    ]
    for context, group in groupby(texts, key=lambda key: key[0]):
        lines += ["<context>", f"    <name>{escape(context)}</name>"]
        for key in group:
            lines += _write_message(key[1], known.get(key, ""))
        lines.append("</context>")
    path.write_text("\n".join([*lines, "</TS>", ""]), encoding="utf-8")
    return sum(not known.get(key) for key in texts)


def _write_message(source: str, text: str) -> list[str]:
    kind = "" if text else ' type="unfinished"'
    return [
        "    <message>",
        f"        <source>{escape(source)}</source>",
        f"        <translation{kind}>{escape(text)}</translation>",
        "    </message>",
    ]


def main() -> int:
    """Bring the files of all languages up to date: ``make languages``."""
    missing = 0
    for path in sorted(DIRECTORY.glob("*.ts")):
        count = write_file(path, path.stem, dict(read_texts(path)))
        print(f"{path.name}: {count} texts to be translated")
        missing += count
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
