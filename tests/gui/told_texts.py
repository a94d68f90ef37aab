# SPDX-License-Identifier: GPL-2.0-or-later
"""Every text that other programs say and windows show, found in their source.

They say it in English: windows know it again, and tell it in the user's language.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import qubesforward

_SOURCE = Path(qubesforward.__file__).parent

_ALL_TEXTS = (
    "plan/chain.py",
    "plan/planner.py",
    "nft/refusals.py",
    "daemon/exposures.py",
    "daemon/lookout.py",
    "daemon/portmap.py",
    "daemon/rule_changes.py",
    "daemon/sighting.py",
    "daemon/status.py",
)
"""Rooms in which texts with a blank are reasons, all of them."""

_ERRORS_OF = (
    "cli/durations.py",
    "cli/log_lines.py",
    "cli/reading.py",
    "cli/spec.py",
    "cli/status.py",
    "daemon/audit.py",
    "daemon/consent.py",
    "daemon/handlers.py",
    "daemon/ledger.py",
    "daemon/payloads.py",
    "daemon/reconciler.py",
    "daemon/requests.py",
    "daemon/rules.py",
    "daemon/store.py",
    "daemon/topology.py",
    "gui/forward_draft.py",
    "gui/outbound_rules.py",
    "gui/portmap_policy.py",
    "gui/qube_firewall.py",
    "gui/talker.py",
    "model/dsthost.py",
    "model/elements.py",
    "model/hosts.py",
    "model/ports.py",
    "model/rule.py",
    "model/text.py",
    "model/values.py",
    "model/xml.py",
    "model/xml_v1.py",
    "qubes/admin.py",
    "qubes/admin_async.py",
    "qubes/admin_server.py",
    "qubes/admin_wire.py",
)
"""Rooms whose errors are shown, and the texts that they are put together from."""

_ERROR = re.compile(r"(?!Phrase)[A-Z]\w+|_malformed|_no_such")
_WORDS = {
    "always",
    "imported",
    "inner port",
    "inner port {0}: {1}",
    "needs nftables",
    "nothing here enforces outbound rules of qubes",
    "never",
    "no iptables for IPv{0} here",
    "once",
    "outer port",
    "outer port {0}: {1}",
    "port {0}/{1}: {2}",
    "reboot",
    "removed",
}
"""Reasons in rooms that are full of other texts, or of one word only."""

_REASONS = ("advice", "hint", "missing", "problem", "reason", "_INSTEAD")

_HEAD = re.compile(r"(?:\{[0-9]\}|[\w.@-])+(?:: |=)")
"""The element, or the qube, that a text is about: found before any text."""


def find_told() -> set[str]:
    """Return the texts, with numbered holes."""
    found: set[str] = set()
    for name in _ALL_TEXTS:
        found.update(_all_texts(ast.parse((_SOURCE / name).read_text())))
    for name in _ERRORS_OF:
        found.update(_errors(ast.parse((_SOURCE / name).read_text())))
    texts = {_strip_heads(each) for each in found}
    return {text for text in texts if _has_words(text)} | _WORDS


def _strip_heads(text: str) -> str:
    while head := _HEAD.match(text):
        text = text[head.end() :]
    holes = iter(range(10))
    return re.sub(r"\{[0-9]\}", lambda _hole: f"{{{next(holes)}}}", text)


def _has_words(text: str) -> bool:
    return re.search(r"[a-z]{2} | [a-z]{2}", text) is not None


def _text_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    written, holes = "", 0
    for part in node.values:
        if isinstance(part, ast.Constant):
            written += str(part.value)
        else:
            written += f"{{{holes}}}"
            holes += 1
    return written


def _all_texts(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        is_docstring = isinstance(child, ast.Expr) and _text_of(child.value)
        if is_docstring or _is_logged(child):
            continue
        text = _text_of(child)
        if text is None:
            yield from _all_texts(child)
        elif " " in text.strip():
            yield text


def _is_logged(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log.")


def _errors(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _ERROR.fullmatch(ast.unparse(node.func)):
            yield from filter(None, map(_text_of, node.args))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            yield from _reason(node, node.value)
        elif isinstance(node, ast.For):
            # for name, advice in (("srcports", "give the port"), …)
            yield from _reason(node, node.iter)


def _reason(
    node: ast.Assign | ast.AnnAssign | ast.For, value: ast.AST
) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = re.findall(r"\w+", " ".join(map(ast.unparse, targets)))
    if any(name in _REASONS for name in names):
        yield from _all_texts(ast.Expression(value))  # type: ignore[arg-type]
