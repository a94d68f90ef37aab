# SPDX-License-Identifier: GPL-2.0-or-later
"""Short ways to write entries in tests."""

from qubesforward.model.entry import Entry, parse_entry


def entry(text: str) -> Entry:
    """Read an entry, with the elements that are not given filled in."""
    words = dict(word.split("=") for word in text.split())
    defaults = {"in": "external", "proto": "tcp", "ports": "443", "src": "0.0.0.0/0"}
    words = defaults | words
    if words["in"] not in ("self", "serve", "answer"):
        to = "fd00::5" if ":" in words["src"] else "10.137.0.5"
        words = {"to": to, "toports": words["ports"]} | words
    return parse_entry(" ".join(f"{name}={value}" for name, value in words.items()))
