# SPDX-License-Identifier: GPL-2.0-or-later
"""However it ends: one line, and a status that says so."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.cli import qvm_firewall, qvm_forward
from qubesforward.cli.exits import DONE, INTERRUPTED, REFUSED, USAGE, UsageError
from qubesforward.cli.exits import run_tool as run
from qubesforward.errors import AdminError, Conflict, MalformedMessage, Unavailable
from qubesforward.qubes.admin import AdminClient


def fail(error: BaseException) -> Callable[[], int]:
    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UsageError("no"), USAGE, "tool: no\n"),
        (Conflict("taken"), REFUSED, "tool: taken\n"),
        (AdminError("QubesVMNotFoundError", ""), REFUSED, "tool: no such qube\n"),
        (Unavailable(""), REFUSED, "tool: Unavailable\n"),
        (AdminError("X", "a\n  b\x1b[2J"), REFUSED, "tool: a b?[2J\n"),
        (KeyboardInterrupt(), INTERRUPTED, ""),
        (
            KeyError("x"),
            REFUSED,
            "tool: unexpected KeyError: 'x' (--verbose shows where)\n",
        ),
    ],
)
def test_an_error_is_one_line_and_a_status(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    assert run("tool", fail(error)) == status
    assert capsys.readouterr().err == line


def test_what_the_body_returns_is_the_status() -> None:
    assert run("tool", lambda: DONE) == 0
    assert run("tool", lambda: 1) == 1


class BrokenClient(AdminClient):
    """Answers every call alike, with bytes or an exception."""

    def __init__(self, answer: bytes | Exception) -> None:
        super().__init__()
        self.answer = answer

    def call(
        self, method: str, dest: str = "dom0", arg: str = "", payload: bytes = b""
    ) -> bytes:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


COMMANDS = [
    (qvm_firewall, "work"),
    (qvm_firewall, "work --raw"),
    (qvm_firewall, "work add drop"),
    (qvm_firewall, "work add forward external tcp 443"),
    (qvm_firewall, "work del --rule-no 0"),
    (qvm_firewall, "work del drop"),
    (qvm_firewall, "work del forward external tcp 443"),
    (qvm_firewall, "work reset"),
    (qvm_firewall, "work status"),
    (qvm_firewall, "work confirm"),
    (qvm_firewall, "w*"),
    (qvm_forward, ""),
    (qvm_forward, "--json"),
    (qvm_forward, "work"),
    (qvm_forward, "work 443"),
    (qvm_forward, "work 443 --dry-run"),
    (qvm_forward, "work --close 443"),
    (qvm_forward, "work --close-all"),
    (qvm_forward, "--close-all"),
]
ANSWERS = [
    b"\xff\xfe",
    b"[]",
    b'{"qubes": [{"name": "work", "forwards": [{"rule": "x"}]}]}',
    b"action=forward\n",
    b"action=\x1b[2J\n",
    AdminError("Whatever", "went wrong"),
    Unavailable("not there"),
    MalformedMessage("not a reply"),
    OSError(5, "Input/output error"),
]


def run_quietly(main: Callable[[], int]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main()
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else -1
    return status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
@pytest.mark.parametrize(("tool", "argv"), COMMANDS)
def test_whatever_the_daemon_answers_there_is_no_traceback(
    tool: object, argv: str, answer: bytes | Exception
) -> None:
    main = qvm_firewall.main if tool is qvm_firewall else qvm_forward.main
    status, out, err = run_quietly(lambda: main(argv.split(), BrokenClient(answer)))
    assert status in (DONE, REFUSED, USAGE)
    assert "Traceback" not in err
    assert "unexpected" not in err or isinstance(answer, OSError)
    assert status == DONE or err.startswith(("qvm-firewall: ", "qvm-forward: "))
    assert err.count("\n") <= 1
    assert "\x1b" not in out + err


WORDS = st.sampled_from(
    [
        *"work add del list status 443 443:8443/udp --close --close-all --for".split(),
        *"2h --until 18:30 --from 10.0.0.0/8 --json --rule-no 1 --before -- -".split(),
        *"accept forward external tcp --raw --internal --dry-run --comment".split(),
    ]
)


# No options of chance: --verbose is there to show a traceback.
TEXTS = st.text(max_size=8).filter(lambda text: not text.startswith("-"))


@given(st.lists(WORDS | TEXTS, max_size=6), st.booleans())
def test_no_command_line_makes_a_traceback(argv: list[str], is_forward: bool) -> None:
    client = BrokenClient(Unavailable("not there"))
    main = qvm_forward.main if is_forward else qvm_firewall.main
    status, _out, err = run_quietly(lambda: main(argv, client))
    assert status in (DONE, REFUSED, USAGE)
    assert "Traceback" not in err
    assert "unexpected" not in err
    assert err.count("\n") <= 1
