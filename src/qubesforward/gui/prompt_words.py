# SPDX-License-Identifier: GPL-2.0-or-later
"""What the prompt says of a request. The program's own words are never among it."""

from __future__ import annotations

from PyQt6.QtCore import QCoreApplication

from qubesforward.cli.reaching import name_protocols
from qubesforward.cli.request import Request
from qubesforward.model.rule import Reach

LONGEST_NAME = 60
"""Characters of a program's own words that are shown."""


def describe_question(request: Request) -> str:
    """Ask the question, in a sentence."""
    text = QCoreApplication.translate(
        "Prompt", "May others connect to port {0} ({1}) of {2}?"
    )
    protos = "+".join(request.protos).upper()
    return text.format(request.inner, protos, request.qube)


def describe_reach(request: Request) -> str:
    """Say who could connect then."""
    if request.reach is Reach.INTERNET:
        return QCoreApplication.translate(
            "Prompt",
            "Every device of the local network, and the whole internet if your router"
            " agrees.",
        )
    return QCoreApplication.translate("Prompt", "Every device of the local network.")


def describe_outer(request: Request) -> str:
    """Say at which port others would connect."""
    wished = sorted({outer for outer in request.protos.values() if outer})
    if not wished:
        return QCoreApplication.translate("Prompt", "any that is free")
    text = QCoreApplication.translate("Prompt", "{0} if that is free")
    return text.format(", ".join(map(str, wished)))


def describe_via(request: Request) -> str:
    """Say by which protocols the program asks."""
    return ", ".join(name_protocols(request.vias))


def show_words(request: Request) -> str:
    """Return what the program calls this: plain, bounded, in quotes; or nothing."""
    # Marks of quotation would let it end the quotation and go on as if we spoke.
    words = request.name.replace("“", "'").replace("”", "'").strip()
    words = "".join(sign if sign.isprintable() else "?" for sign in words)
    if len(words) > LONGEST_NAME:
        words = f"{words[: LONGEST_NAME - 1]}…"
    return f"“{words}”" if words else ""


def count_waiting(waiting: int) -> str:
    """Say how many others wait; nothing if none does."""
    if not waiting:
        return ""
    if waiting == 1:
        return QCoreApplication.translate("Prompt", "One more question waits.")
    text = QCoreApplication.translate("Prompt", "{0} more questions wait.")
    return text.format(waiting)


def count_seconds(left: int) -> str:
    """Say when it will be denied by itself."""
    text = QCoreApplication.translate("Prompt", "Without an answer: no, in {0} s.")
    return text.format(max(left, 0))
