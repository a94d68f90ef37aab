# SPDX-License-Identifier: GPL-2.0-or-later
"""How the tools end: one clear line on stderr, and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from qubesforward.cli.reading import show_text
from qubesforward.errors import AdminError, ForwardError

DONE = 0
REFUSED = 1
"""It was refused, or went wrong."""
USAGE = 2
"""The command line says nothing that could be done."""
INTERRUPTED = 130
"""What a shell reports of a program that Ctrl-C ended."""


class UsageError(ForwardError):
    """A command line that makes no sense."""


def run_tool(name: str, body: Callable[[], int], *, verbose: bool = False) -> int:
    """Run the body of a tool; return its exit status, whatever happens in there.

    With `verbose`, errors come with their traceback.
    """
    try:
        status = body()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader (head, less) has what it wanted. Python flushes stdout once
        # more at exit, which must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - nobody is shown a traceback unasked
        if verbose:
            import traceback

            traceback.print_exc()
        complain(name, _explain(error))
        return USAGE if isinstance(error, UsageError) else REFUSED


def complain(name: str, message: str) -> None:
    """Print one line about what went wrong."""
    line = " ".join(message.split())
    print(f"{name}: {show_text(line)}", file=sys.stderr)


def _explain(error: Exception) -> str:
    if isinstance(error, AdminError) and error.kind == "QubesVMNotFoundError":
        return str(error) or "no such qube"
    if isinstance(error, ForwardError):
        return str(error) or type(error).__name__
    return f"unexpected {type(error).__name__}: {error} (--verbose shows where)"
