# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the ways of forwards, in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qubesforward.cli.console import Console
from qubesforward.cli.drawing import format_svg, stack_drawings
from qubesforward.cli.exits import DONE, UsageError
from qubesforward.cli.firewall import Firewall
from qubesforward.cli.path_drawing import LIGHT, add_reasons, draw_path
from qubesforward.cli.path_model import build_path
from qubesforward.cli.sentences import unique
from qubesforward.cli.spec import PortSpec
from qubesforward.errors import ForwardError


def draw_forwards(
    console: Console,
    firewall: Firewall,
    qube: str,
    specs: Sequence[PortSpec],
    path: str,
) -> int:
    """Draw the ways of a qube's forwards, or of those that are named, into a file.

    Raises `UsageError` for a file that is to be of another kind, and `ForwardError`
    if there is nothing to draw, or the file cannot be written.
    """
    if not path.endswith(".svg"):
        raise UsageError(f"{path}: it will be an SVG file; end its name with .svg")
    forwards = [
        forward
        for forward in firewall.read_status(qube).find_qube(qube).forwards
        if not specs or any(spec.matches(forward.rule) for spec in specs)
    ]
    if not forwards:
        raise ForwardError(f"{qube} has no such forward: there is nothing to draw")
    hops = unique(step.qube for forward in forwards for step in forward.path)
    labels = {name: firewall.read_label(name) for name in unique([*hops, qube])}
    models = [build_path(forward, qube, labels) for forward in forwards]
    drawings = [add_reasons(draw_path(model, LIGHT), model, LIGHT) for model in models]
    svg = format_svg(stack_drawings(drawings), LIGHT.background)
    try:
        Path(path).write_text(svg, encoding="utf-8")
    except OSError as error:
        raise ForwardError(f"{path}: {error.strerror}") from error
    console.say(f"Drawn into {path}.")
    return DONE
